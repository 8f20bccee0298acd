//! The conversation between a worker and its owner.
//!
//! The worker opens it after [`Owned`](super::announce::Placement::Owned) or
//! [`Relay`](super::announce::Placement::Relay) and sends [`FromWorker::Hello`] first. Messages are
//! length-prefixed on one stream of event priority, so each side sees them in order.

use remuda_model::{Epoch, Event, Labels, LinkUrl, NodeId, NodeStats, NodeStatus};
use serde::{Deserialize, Serialize};

use super::announce::Announce;

/// What the worker says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromWorker {
    /// The first message: who it is and how it is.
    Hello {
        /// Who.
        announce: Box<Announce>,
        /// The epoch under which it was placed.
        epoch: Epoch,
        /// Its status.
        status: NodeStatus,
        /// How many tasks run.
        running_tasks: u32,
        /// The number of the first event that it still keeps.
        next_event: u64,
        /// The number of the last event that it has made; 0 before the first.
        last_event: u64,
    },
    /// Its status has changed.
    Status(NodeStatus),
    /// Its labels have changed.
    Labels(Labels),
    /// Its measurements, every ten seconds.
    Stats {
        /// What it measured.
        stats: NodeStats,
        /// How many tasks run.
        running_tasks: u32,
    },
    /// Events in order, at most 256.
    Events(Vec<Event>),
    /// It shuts down and will not come back soon.
    Goodbye,
}

/// What the owner says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromOwner {
    /// The session is accepted; these events have been seen before.
    Welcome {
        /// Every event up to this number may be forgotten.
        acknowledged: u64,
    },
    /// Every event up to this number has arrived and may be forgotten.
    Acknowledge(u64),
    /// The worker has another owner now: connect there, then let this session end.
    Moved {
        /// The ownership counter.
        epoch: Epoch,
        /// The new owner.
        owner: NodeId,
        /// Where it can be dialled.
        addresses: Vec<LinkUrl>,
    },
}
