//! Control nodes among themselves.

use remuda_model::{ClassName, Failure, NodeId, NodeView, TaskId};
use serde::{Deserialize, Serialize};

use super::work;

/// One call to another control node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Call {
    /// To the leader: commit this change (bytes of `remuda-state`).
    Propose(Vec<u8>),
    /// To the leader: after which log index is a read linearizable?
    ReadIndex,
    /// The nodes that you own, as you see them.
    OwnedNodes,
    /// To the owner: do this on your worker.
    Work {
        /// The worker.
        node: NodeId,
        /// How long the caller still waits, in milliseconds.
        deadline_ms: u64,
        /// What.
        op: work::Op,
    },
    /// To the leader: let me replicate the state; sent by a control node that has just joined or
    /// come back.
    Enlist(Box<Enlist>),
    /// To the leader: I shut down; do without me.
    Leave,
}

/// A control node offers itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enlist {
    /// Its name; must be that of the link's peer.
    pub node: NodeId,
    /// Where other control nodes dial it.
    pub addresses: Vec<remuda_model::LinkUrl>,
}

/// The answer.
pub type Reply = Result<Done, Failure>;

/// What came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Done {
    /// Of `Propose`: the outcome (bytes of `remuda-state`) and its log index.
    Committed {
        /// Log index.
        index: u64,
        /// Bytes of `remuda-state`.
        outcome: Vec<u8>,
    },
    /// Of `ReadIndex`.
    ReadIndex(u64),
    /// Of `OwnedNodes`.
    Nodes(Vec<NodeView>),
    /// Of `Work`.
    Work(work::Done),
    /// Of the others.
    Accepted,
}

/// The first message of a relayed stream towards a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relay {
    /// The worker.
    pub node: NodeId,
    /// The protocol to open there.
    pub protocol: String,
    /// How often the stream may still be passed on.
    pub hops: u8,
}

/// The first message of a relayed stream from a worker to its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayUp {
    /// The worker, as the relaying node has authenticated it.
    pub node: NodeId,
    /// The protocol that the worker opened.
    pub protocol: String,
}

/// The first message of an event stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribe {
    /// Only of this node.
    pub node: Option<NodeId>,
    /// Only of this class.
    pub class: Option<ClassName>,
    /// Only of this task.
    pub task: Option<TaskId>,
    /// Only those with a higher number (of the one node); kept ones are sent first.
    pub after: Option<u64>,
    /// Also those of workers that other control nodes own.
    pub whole_cluster: bool,
}
