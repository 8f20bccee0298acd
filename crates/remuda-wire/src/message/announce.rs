//! How a worker finds its owner.

use std::collections::BTreeMap;

use remuda_model::{Epoch, Failure, Generation, Labels, LinkUrl, NodeId, Roles};
use serde::{Deserialize, Serialize};

/// A worker presents itself to a control node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announce {
    /// Its name; must be that of the link's peer.
    pub node: NodeId,
    /// Its boot counter.
    pub generation: Generation,
    /// Made at random when its process starts: tells apart two processes that count the same boot,
    /// as copies of one data directory do.
    pub boot: u64,
    /// Its roles.
    pub roles: Roles,
    /// The version it runs.
    pub version: String,
    /// Where it can be dialled; empty for a node that only dials.
    pub addresses: Vec<LinkUrl>,
    /// Its labels.
    pub labels: Labels,
    /// Facts that it found about itself.
    pub attributes: BTreeMap<String, String>,
    /// The highest epoch it has obeyed.
    pub epoch: Epoch,
    /// Control nodes that it could not dial since it started looking.
    pub unreachable: Vec<NodeId>,
}

/// What the control node answers. `Result` because a refusal is an answer too.
pub type Answer = Result<Placement, Failure>;

/// Where a worker belongs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Placement {
    /// Here: open a session on this link.
    Owned {
        /// The ownership counter.
        epoch: Epoch,
    },
    /// At another control node: dial it and announce there.
    Redirect {
        /// The ownership counter.
        epoch: Epoch,
        /// The owner.
        owner: NodeId,
        /// Where it can be dialled.
        addresses: Vec<LinkUrl>,
    },
    /// At another control node that the worker cannot dial: open a session on this link, and this
    /// node passes it on to the owner.
    Relay {
        /// The ownership counter.
        epoch: Epoch,
        /// The owner.
        owner: NodeId,
    },
}
