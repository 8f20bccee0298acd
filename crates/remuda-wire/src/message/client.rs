//! Programs that use the cluster over a link of their own.

use remuda_model::{Failure, NodeId, NodeView};
use serde::{Deserialize, Serialize};

use super::work;

/// One call of a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Call {
    /// Do this on a node.
    Work {
        /// The node.
        node: NodeId,
        /// How long the client waits, in milliseconds.
        deadline_ms: u64,
        /// What.
        op: work::Op,
    },
    /// All nodes.
    Nodes,
}

/// The answer.
pub type Reply = Result<Done, Failure>;

/// What came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Done {
    /// Of `Work`.
    Work(work::Done),
    /// Of `Nodes`.
    Nodes(Vec<NodeView>),
}
