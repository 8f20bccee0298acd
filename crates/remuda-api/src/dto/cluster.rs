//! The cluster itself and the health of the control node that is asked.

use std::collections::BTreeMap;

use remuda_model::{ClusterId, NodeId, NodeStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The cluster as the control node that was asked sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cluster {
    /// Its identity.
    #[schema(value_type = String)]
    pub id: ClusterId,
    /// Its name.
    pub name: String,
    /// The control node that orders changes now.
    #[schema(value_type = Option<String>)]
    pub leader: Option<NodeId>,
    /// The term of the leader.
    pub term: u64,
    /// Control nodes whose majority decides.
    #[schema(value_type = Vec<String>)]
    pub voters: Vec<NodeId>,
    /// Control nodes that replicate without a vote.
    #[schema(value_type = Vec<String>)]
    pub learners: Vec<NodeId>,
    /// All control nodes.
    pub controls: Vec<ControlNode>,
    /// The ownership of workers counts up when the list of active control nodes changes.
    pub epoch: u64,
    /// The protocol version that every control node speaks. While a cluster is upgraded, it is that
    /// of the older version.
    #[serde(default)]
    pub level: u16,
    /// Number of the last change that this node has in its log.
    pub last_log: u64,
    /// Number of the last change that this node has applied.
    pub applied: u64,
    /// How many nodes the cluster knows.
    pub nodes: u64,
    /// Whether nothing is wrong.
    pub healthy: bool,
    /// What is wrong, in words.
    pub reasons: Vec<String>,
    /// The same with a stable word and advice for each.
    #[serde(default)]
    pub problems: Vec<Problem>,
    /// How many nodes have each status.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, u64>)]
    pub by_status: BTreeMap<NodeStatus, u64>,
}

/// Something that needs attention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A stable word, such as `voter_unreachable`.
    pub code: String,
    /// What it is, for people.
    pub message: String,
    /// What to do, for people.
    pub hint: String,
}

/// A control node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ControlNode {
    /// Its name.
    #[schema(value_type = String)]
    pub id: NodeId,
    /// Whether it owns workers.
    pub active: bool,
    /// Whether the answering control node has a link to it.
    #[serde(default)]
    pub linked: bool,
    /// The version it runs, when it says so.
    #[serde(default)]
    #[schema(required = true)]
    pub version: Option<String>,
    /// How many entries its log lacks, when known.
    #[serde(default)]
    #[schema(required = true)]
    pub lag: Option<u64>,
    /// How far its clock is ahead of that of the answering control node, in milliseconds.
    #[serde(default)]
    #[schema(required = true)]
    pub clock_ahead_ms: Option<i64>,
    /// When its last link was lost, in milliseconds since 1970, while there is none.
    #[serde(default)]
    #[schema(required = true)]
    pub lost_ms: Option<u64>,
    /// How many connected workers it owns, when it says so.
    #[serde(default)]
    #[schema(required = true)]
    pub workers: Option<u32>,
    /// Why its replica has stopped by itself.
    #[serde(default)]
    #[schema(required = true)]
    pub fault: Option<String>,
}

/// What a new node needs to join. Whoever holds it can join: keep it secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinToken {
    /// For `remuda agent --token`.
    pub token: String,
}

impl std::fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinToken").finish_non_exhaustive()
    }
}

/// The process answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Always `ok`.
    pub status: String,
}

/// Whether the control node can serve reads and changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ready {
    /// It knows a leader.
    pub ready: bool,
}

/// What runs here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// The version of the control node.
    pub version: String,
    /// The newest version of the API that it speaks.
    pub api: String,
}
