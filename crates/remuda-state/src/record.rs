//! The records that the state consists of.

use std::collections::BTreeMap;

use remuda_model::{ClusterId, Generation, Labels, LinkUrl, NodeId, Revision, Roles, TokenId};
use serde::{Deserialize, Serialize};

/// The cluster itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterRecord {
    /// Its identity, for life.
    pub id: ClusterId,
    /// Its name, for people.
    pub name: String,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
}

/// One node that the cluster knows, connected or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Its name.
    pub id: NodeId,
    /// Its roles. Written by the node's announcement.
    pub roles: Roles,
    /// Its boot counter. Written by the node's announcement; never goes back.
    pub generation: Generation,
    /// The version it runs. Written by the node's announcement.
    pub version: String,
    /// Where it can be dialled; empty for a node that only dials. Written by the announcement.
    pub addresses: Vec<LinkUrl>,
    /// Its labels. Written by the announcement and by [`Change::SetLabels`](crate::Change).
    pub labels: Labels,
    /// Facts that it found about itself. Written by the announcement.
    pub attributes: BTreeMap<String, String>,
    /// Whether this control node may own workers; always false for others. Taken from the first
    /// [`Change::PutNode`](crate::Change), afterwards written by `SetActive` only.
    pub active: bool,
    /// The log index that made the record. Written by `apply`.
    pub created: Revision,
    /// The log index of its last change. Written by `apply`.
    pub modified: Revision,
}

/// A certificate that a node was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Its number.
    pub serial: Vec<u8>,
    /// The last moment at which it holds, in milliseconds since 1970.
    pub until_ms: u64,
}

/// What a token lets its bearer do; each scope includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// See everything but secrets.
    Read,
    /// Run work and change nodes.
    Operate,
    /// Administer the cluster and its tokens.
    Admin,
}

/// One API token. Its secret is nowhere in the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// The public half.
    pub id: TokenId,
    /// What people call it.
    pub name: String,
    /// What it allows.
    pub scope: Scope,
    /// SHA-256 of the secret half.
    pub hash: [u8; 32],
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// When it ends, in milliseconds since 1970; never when absent.
    pub expires_ms: Option<u64>,
}

impl TokenRecord {
    /// Whether the token is no longer valid at that time.
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_ms.is_some_and(|end| now_ms >= end)
    }
}
