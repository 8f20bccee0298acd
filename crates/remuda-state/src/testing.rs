//! Short ways to make records in tests.

use std::collections::BTreeMap;

use remuda_model::{Generation, Labels, NodeId, Revision, Roles, TokenId};

use crate::{NodeRecord, Scope, TokenRecord};

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
