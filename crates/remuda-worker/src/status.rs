//! The status of the node, as a pure state machine.
//!
//! What people want (`ready`, `standby` or `stopped`) is kept over reconnects and restarts; what
//! the node shows follows from that, from its connection and from its running tasks.

use remuda_model::{Failure, NodeStatus};
use serde::{Deserialize, Serialize};

/// What people want of the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Wanted {
    /// Take requests and tasks.
    #[default]
    Ready,
    /// Take requests; let tasks go on.
    Standby,
    /// Take requests; let tasks go on until none is left.
    Stopped,
}

impl Wanted {
    /// What a request for a status means.
    pub(crate) fn from_status(status: NodeStatus) -> Result<Self, Failure> {
        match status {
            NodeStatus::Ready => Ok(Self::Ready),
            NodeStatus::Standby => Ok(Self::Standby),
            NodeStatus::Stopped | NodeStatus::Stopping => Ok(Self::Stopped),
            NodeStatus::Launching | NodeStatus::Connecting | NodeStatus::NotConnected => {
                Err(Failure::invalid(format!("a node cannot be made {status}"))
                    .hint("choose `ready`, `standby` or `stopped`"))
            }
        }
    }
}

/// How far the node is with its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// The process has just started.
    New,
    /// It looks for its owner.
    Looking,
    /// Its owner has it.
    Placed,
}

/// The status and what it follows from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StatusMachine {
    connection: Connection,
    wanted: Wanted,
    /// The process is about to end and lets its tasks finish; kept by nobody.
    draining: bool,
    running: u32,
}

impl StatusMachine {
    /// The status of a process that has just started.
    pub(crate) fn new(wanted: Wanted) -> Self {
        Self { connection: Connection::New, wanted, draining: false, running: 0 }
    }

    /// What the node shows.
    pub(crate) fn status(self) -> NodeStatus {
        match self.connection {
            Connection::New => NodeStatus::Launching,
            Connection::Looking => NodeStatus::Connecting,
            Connection::Placed if self.draining => self.ending(),
            Connection::Placed => match self.wanted {
                Wanted::Ready => NodeStatus::Ready,
                Wanted::Standby => NodeStatus::Standby,
                Wanted::Stopped => self.ending(),
            },
        }
    }

    fn ending(self) -> NodeStatus {
        if self.running == 0 { NodeStatus::Stopped } else { NodeStatus::Stopping }
    }

    /// The link to the owner is found, or lost.
    pub(crate) fn connection(&mut self, connection: Connection) {
        self.connection = connection;
    }

    /// People want something else. Asking for `ready` or `standby` also ends a drain.
    pub(crate) fn want(&mut self, wanted: Wanted) {
        self.wanted = wanted;
        self.draining = self.draining && wanted == Wanted::Stopped;
    }

    /// The process is about to end.
    pub(crate) fn drain(&mut self) {
        self.draining = true;
    }

    /// So many tasks run.
    pub(crate) fn running(&mut self, running: u32) {
        self.running = running;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(wanted: Wanted) -> StatusMachine {
        let mut machine = StatusMachine::new(wanted);
        machine.connection(Connection::Placed);
        machine
    }

    #[test]
    fn a_node_is_launched_connects_and_is_ready() {
        let mut machine = StatusMachine::new(Wanted::Ready);
        assert_eq!(machine.status(), NodeStatus::Launching);
        machine.connection(Connection::Looking);
        assert_eq!(machine.status(), NodeStatus::Connecting);
        machine.connection(Connection::Placed);
        assert_eq!(machine.status(), NodeStatus::Ready);
    }

    #[test]
    fn standby_is_kept_over_a_reconnect() {
        let mut machine = placed(Wanted::Standby);
        machine.connection(Connection::Looking);
        machine.connection(Connection::Placed);
        assert_eq!(machine.status(), NodeStatus::Standby);
    }

    #[test]
    fn stopping_turns_stopped_with_the_last_task() {
        let mut machine = placed(Wanted::Ready);
        machine.running(2);
        machine.want(Wanted::Stopped);
        assert_eq!(machine.status(), NodeStatus::Stopping);
        machine.running(1);
        assert_eq!(machine.status(), NodeStatus::Stopping);
        machine.running(0);
        assert_eq!(machine.status(), NodeStatus::Stopped);
        machine.want(Wanted::Ready);
        assert_eq!(machine.status(), NodeStatus::Ready);
    }

    #[test]
    fn a_drain_is_no_wish_and_ends_when_people_say_so() {
        let mut machine = placed(Wanted::Ready);
        machine.drain();
        assert_eq!((machine.status(), machine.wanted), (NodeStatus::Stopped, Wanted::Ready));
        machine.want(Wanted::Standby);
        assert_eq!(machine.status(), NodeStatus::Standby);
    }

    #[test]
    fn only_three_words_can_be_wished() {
        assert!(Wanted::from_status(NodeStatus::Launching).is_err());
        assert!(Wanted::from_status(NodeStatus::NotConnected).is_err());
        assert_eq!(Wanted::from_status(NodeStatus::Stopping), Ok(Wanted::Stopped));
    }
}
