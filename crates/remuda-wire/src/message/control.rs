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
    /// How are you?
    Health,
    /// To the owner: have your worker get a new certificate.
    Renew {
        /// The worker.
        node: NodeId,
    },
    /// One of the nodes that you own, as you see it.
    OwnedNode {
        /// The worker.
        node: NodeId,
    },
}

impl Call {
    /// The first protocol version that has the call; it is made on links that speak it.
    pub fn since(&self) -> u16 {
        match self {
            Self::Health | Self::Renew { .. } | Self::OwnedNode { .. } => 2,
            _ => 1,
        }
    }
}

/// A control node offers itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enlist {
    /// Its name; must be that of the link's peer.
    pub node: NodeId,
    /// Where other control nodes dial it.
    pub addresses: Vec<remuda_model::LinkUrl>,
}

/// How a control node is, as it sees itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The version it runs.
    pub version: String,
    /// Its clock, in milliseconds since 1970.
    pub wall_ms: u64,
    /// The term, as far as it knows.
    pub term: u64,
    /// The leader, as far as it knows.
    pub leader: Option<NodeId>,
    /// The last entry in its log.
    pub last_log: u64,
    /// The last entry in its state.
    pub applied: u64,
    /// Why its replica has stopped by itself.
    pub fault: Option<String>,
    /// The control nodes that it has a link to, itself included.
    pub linked: Vec<NodeId>,
    /// How many workers it owns that are connected.
    pub workers: u32,
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
    /// Of `OwnedNodes`; of `OwnedNode` one or none.
    Nodes(Vec<NodeView>),
    /// Of `Work`.
    Work(work::Done),
    /// Of the others.
    Accepted,
    /// Of `Health`.
    Health(Box<Health>),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_version_2_never_change() {
        assert_eq!(crate::encode(&Call::Health)[..], [6]);
        let id = |text: &str| text.parse::<NodeId>().expect("a node name");
        assert_eq!(crate::encode(&Call::Renew { node: id("w") })[..], [7, 1, b'w']);
        assert_eq!(crate::encode(&Call::OwnedNode { node: id("w") })[..], [8, 1, b'w']);
        let health = Health {
            version: "0.1.0".to_owned(),
            wall_ms: 300,
            term: 2,
            leader: Some(id("c1")),
            last_log: 9,
            applied: 8,
            fault: Some("disk".to_owned()),
            linked: vec![id("c1"), id("c2")],
            workers: 5,
        };
        let bytes = crate::encode(&Done::Health(Box::new(health)));
        let golden = b"\x05\x050.1.0\xac\x02\x02\x01\x02c1\x09\x08\x01\x04disk\x02\x02c1\x02c2\x05";
        assert_eq!(bytes[..], golden[..]);
        assert!(crate::decode::<Done>(golden).is_ok());
    }
}
