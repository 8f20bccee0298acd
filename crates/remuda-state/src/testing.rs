//! Short ways to make records in tests.

use std::collections::BTreeMap;

use remuda_model::{Generation, Labels, NodeId, Revision, Roles, TokenId};

use crate::{Certificate, Change, Command, NodeRecord, Scope, TokenRecord};

pub(crate) fn id(name: &str) -> NodeId {
    name.parse().expect("a node name")
}

pub(crate) fn ids(names: &[&str]) -> Vec<NodeId> {
    names.iter().map(|name| id(name)).collect()
}

pub(crate) fn node(name: &str, roles: Roles) -> NodeRecord {
    NodeRecord {
        id: id(name),
        roles,
        generation: Generation(1),
        version: "0.1.0".to_owned(),
        addresses: Vec::new(),
        labels: Labels::default(),
        attributes: BTreeMap::new(),
        active: false,
        created: Revision(0),
        modified: Revision(0),
    }
}

/// The node joins by its join token and gets the certificate of this number.
pub(crate) fn joins(name: &str, number: u8) -> Command {
    let certificate = Certificate { serial: vec![number], until_ms: 1_000 };
    Command::once(Change::IssueCertificate { node: id(name), certificate, joins: true, now_ms: 1 })
}

pub(crate) fn token(name: &str) -> TokenRecord {
    TokenRecord {
        id: name.parse::<TokenId>().expect("a token id"),
        name: name.to_owned(),
        scope: Scope::Admin,
        hash: [7; 32],
        created_ms: 1,
        expires_ms: None,
    }
}
