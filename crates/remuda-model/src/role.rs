//! What a node does in its cluster.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// One role that a peer claims and proves on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Replicates the cluster state and owns workers; is a worker too.
    Control,
    /// Runs work.
    Worker,
    /// A program that uses the cluster with an API token; not a node.
    Client,
}

impl Role {
    /// The word used in certificates, transcripts and texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Worker => "worker",
            Self::Client => "client",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        match text {
            "control" => Ok(Self::Control),
            "worker" => Ok(Self::Worker),
            "client" => Ok(Self::Client),
            _ => Err(UnknownRole(text.to_owned())),
        }
    }
}

/// The text names no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown role `{0}`: expected `control`, `worker` or `client`")]
pub struct UnknownRole(pub String);

/// The roles of one node. Every node is a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "Vec<Role>", from = "Vec<Role>")]
pub struct Roles {
    control: bool,
}

impl Roles {
    /// A node that only runs work.
    pub const WORKER: Self = Self { control: false };
    /// A control node, which runs work as well.
    pub const CONTROL: Self = Self { control: true };

    /// Whether the node replicates the cluster state.
    pub fn is_control(self) -> bool {
        self.control
    }

    /// The role by which the node presents itself on links.
    pub fn link_role(self) -> Role {
        if self.control { Role::Control } else { Role::Worker }
    }
}

impl From<Roles> for Vec<Role> {
    fn from(roles: Roles) -> Self {
        if roles.control { vec![Role::Control, Role::Worker] } else { vec![Role::Worker] }
    }
}

impl From<Vec<Role>> for Roles {
    fn from(roles: Vec<Role>) -> Self {
        Self { control: roles.contains(&Role::Control) }
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.control { "control,worker" } else { "worker" })
    }
}
