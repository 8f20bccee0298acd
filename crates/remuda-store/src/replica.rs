//! The replica: one copy of the cluster state and its handle.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use remuda_model::{Failure, LinkUrl, NodeId};
use remuda_state::{Applied, ClusterState, Command};
use tokio::sync::watch;

use crate::{
    BootstrapError, Leadership, MembershipError, OpenError, ProposeError, RaftTransport,
    ReplicaConfig, WaitError,
};

/// A command that a majority has on its disks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its log index.
    pub index: u64,
    /// What it did.
    pub applied: Applied,
}

/// One copy of the cluster state. Cheap to clone; all clones are the same copy.
#[derive(Clone, Debug)]
pub struct Replica {
    state: watch::Receiver<Arc<ClusterState>>,
    leadership: watch::Receiver<Leadership>,
}

impl Replica {
    /// Opens the directory, and makes it if it does not exist.
    pub async fn open(
        config: ReplicaConfig,
        transport: Arc<dyn RaftTransport>,
    ) -> Result<Self, OpenError> {
        let _ = transport;
        Err(OpenError::Locked { dir: config.dir })
    }

    /// Founds a cluster with this node as the one voter, and commits the first commands.
    pub async fn bootstrap(&self, first: Vec<Command>) -> Result<(), BootstrapError> {
        let _ = first;
        Err(BootstrapError::Initialized)
    }

    /// Whether the node belongs to a cluster.
    pub fn is_initialized(&self) -> bool {
        false
    }

    /// Answers a call that another replica sent through its [`RaftTransport`].
    pub async fn serve(&self, rpc: Bytes) -> Result<Bytes, Failure> {
        Ok(rpc)
    }

    /// Commits a command.
    pub async fn propose(
        &self,
        command: Command,
        deadline: Duration,
    ) -> Result<Committed, ProposeError> {
        let _ = (command, deadline);
        Err(ProposeError::Stopped)
    }

    /// The log index after which a read on any replica is linearizable.
    pub async fn read_index(&self, deadline: Duration) -> Result<u64, ProposeError> {
        let _ = deadline;
        Err(ProposeError::Stopped)
    }

    /// Waits until the state of this replica contains the index.
    pub async fn wait_applied(&self, index: u64, deadline: Duration) -> Result<(), WaitError> {
        let _ = (index, deadline);
        Err(WaitError::Stopped)
    }

    /// The state as this replica has it.
    pub fn state(&self) -> Arc<ClusterState> {
        self.state.borrow().clone()
    }

    /// The state as it changes.
    pub fn watch_state(&self) -> watch::Receiver<Arc<ClusterState>> {
        self.state.clone()
    }

    /// Who leads, as it changes.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    /// Lets a node replicate without a vote, or changes its addresses.
    pub async fn add_learner(
        &self,
        node: &NodeId,
        addresses: Vec<LinkUrl>,
    ) -> Result<(), MembershipError> {
        let _ = addresses;
        Err(MembershipError::UnknownNode(node.clone()))
    }

    /// Makes these nodes, and no others, vote; former voters go on as learners.
    pub async fn set_voters(&self, voters: BTreeSet<NodeId>) -> Result<(), MembershipError> {
        let _ = voters;
        Err(MembershipError::NoVoter)
    }

    /// Ends the replication to a node; it loses its vote first.
    pub async fn remove(&self, node: &NodeId) -> Result<(), MembershipError> {
        Err(MembershipError::UnknownNode(node.clone()))
    }

    /// Gives the lead away before a clean stop; tells whether another node leads now.
    pub async fn hand_over(&self, deadline: Duration) -> bool {
        let _ = deadline;
        false
    }

    /// Stops replicating and closes the files.
    pub async fn shutdown(&self) {}
}
