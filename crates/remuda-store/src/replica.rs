//! The replica: one copy of the cluster state and its handle.

mod commit;
mod hand_over;
mod membership;
mod metrics;
mod open;
mod serve;

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use openraft::{
    ServerState,
    error::{CheckIsLeaderError, RaftError},
};
use remuda_model::{NodeId, Release};
use remuda_runtime::{Backoff, Supervisor};
use remuda_state::{Applied, Change, ClusterState, Command, MAX_COMMAND_BYTES};
use tokio::{
    sync::watch,
    time::{Instant, timeout, timeout_at},
};

use self::metrics::Stats;
use crate::{
    BootstrapError, Leadership, ProposeError, Timing, WaitError,
    incoming::Incoming,
    log::LogStore,
    network::Wire,
    snapshot::SnapshotDir,
    types::{Member, Metrics, Raft, RaftVote},
};

/// How long founding a cluster may take.
const BOOTSTRAP_LIMIT: Duration = Duration::from_secs(30);

/// A command that a majority has on its disks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its log index.
    pub index: u64,
    /// What it did.
    pub applied: Applied,
}

/// One copy of the cluster state. Cheap to clone; all clones are the same copy, which runs until
/// [`shutdown`](Self::shutdown).
#[derive(Clone)]
pub struct Replica {
    inner: Arc<Inner>,
}

struct Inner {
    /// This node as the others should know it.
    me: Member,
    node: NodeId,
    release: Release,
    id: u64,
    timing: Timing,
    raft: Raft,
    log: LogStore,
    snapshots: SnapshotDir,
    wire: Arc<Wire>,
    state: watch::Receiver<Arc<ClusterState>>,
    leadership: watch::Receiver<Leadership>,
    incoming: Mutex<Option<Incoming>>,
    queue: commit::Queue,
    /// Set while this node gives its lead away, and for ever after.
    leaving: Arc<AtomicBool>,
    supervisor: Supervisor,
    stats: Stats,
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica").field("node", &self.inner.node).finish_non_exhaustive()
    }
}

impl Replica {
    /// Founds a cluster with this node as the one voter, and commits the first commands. Called
    /// again after a crash in between, it goes on where it was.
    ///
    /// # Errors
    ///
    /// When the node belongs to a cluster already, a command is refused or cannot be committed.
    pub async fn bootstrap(&self, first: Vec<Command>) -> Result<(), BootstrapError> {
        if self.is_initialized() && !self.is_unfinished() {
            return Err(BootstrapError::Initialized);
        }
        let members = [(self.inner.id, self.inner.me.clone())];
        let founded = self.inner.raft.initialize(std::collections::BTreeMap::from(members)).await;
        match founded {
            Ok(()) => {}
            Err(RaftError::APIError(_)) if self.is_unfinished() => {}
            Err(RaftError::APIError(_)) => return Err(BootstrapError::Initialized),
            Err(RaftError::Fatal(_)) => return Err(BootstrapError::Propose(ProposeError::Stopped)),
        }
        let end = Instant::now() + BOOTSTRAP_LIMIT;
        let mut leadership = self.leadership();
        timeout_at(end, leadership.wait_for(|now| now.is_leader))
            .await
            .map_err(|_elapsed| BootstrapError::Propose(ProposeError::NoQuorum))?
            .map_err(|_closed| BootstrapError::Propose(ProposeError::Stopped))?;
        for command in first {
            let left = end.saturating_duration_since(Instant::now());
            let done = self.propose(command, left).await.map_err(BootstrapError::Propose)?;
            done.applied.outcome.map_err(BootstrapError::Refused)?;
        }
        Ok(())
    }

    /// Whether this node is the only one, and its cluster has no identity yet.
    fn is_unfinished(&self) -> bool {
        let metrics = self.inner.raft.metrics().borrow().clone();
        let voters: Vec<u64> = metrics.membership_config.membership().voter_ids().collect();
        voters == [self.inner.id] && self.state().cluster().is_none()
    }

    /// Whether the node belongs to a cluster, or has been called by one.
    pub fn is_initialized(&self) -> bool {
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow();
        metrics.last_log_index.is_some() || metrics.vote != RaftVote::default()
    }

    /// Commits a command: on return a majority has it on its disks, and this replica has applied
    /// it. The command may have been refused; see [`Applied::outcome`].
    ///
    /// # Errors
    ///
    /// At once when this node does not lead. After the deadline the outcome is unknown.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the command may be committed or not.
    pub async fn propose(
        &self,
        command: Command,
        deadline: Duration,
    ) -> Result<Committed, ProposeError> {
        let size = remuda_state::encode(&command).len();
        if size > MAX_COMMAND_BYTES {
            return Err(ProposeError::TooLarge(size));
        }
        self.check_level(&command.change)?;
        self.leads()?;
        let start = Instant::now();
        let committed = self.inner.queue.commit(command, size, deadline).await;
        match &committed {
            Ok(_) => self.inner.stats.committed.took(start.elapsed()),
            Err(ProposeError::NoQuorum) => self.inner.stats.unknown.one(),
            Err(_) => (),
        }
        committed
    }

    /// The log index after which a read on any replica is linearizable: a majority has confirmed
    /// that this node led when it was asked. Wait for the index with
    /// [`wait_applied`](Self::wait_applied) before reading.
    ///
    /// # Errors
    ///
    /// At once when this node does not lead; after the deadline when no majority answers.
    pub async fn read_index(&self, deadline: Duration) -> Result<u64, ProposeError> {
        let end = Instant::now() + deadline;
        let heartbeat = self.inner.timing.heartbeat;
        let mut backoff = Backoff::new(heartbeat / 4, heartbeat, self.inner.id);
        loop {
            self.leads()?;
            match timeout_at(end, self.inner.raft.get_read_log_id()).await {
                Ok(Ok((index, _))) => return Ok(index.map_or(0, |id| id.index)),
                Ok(Err(RaftError::APIError(CheckIsLeaderError::ForwardToLeader(_)))) => {
                    return Err(ProposeError::NotLeader { leader: self.leader() });
                }
                Ok(Err(RaftError::APIError(CheckIsLeaderError::QuorumNotEnough(_)))) => {
                    let pause = tokio::time::sleep(backoff.next_delay());
                    timeout_at(end, pause).await.map_err(|_elapsed| ProposeError::NoQuorum)?;
                }
                Ok(Err(RaftError::Fatal(_))) => return Err(ProposeError::Stopped),
                Err(_) => return Err(ProposeError::NoQuorum),
            }
        }
    }

    /// Waits until the state of this replica contains the index.
    ///
    /// # Errors
    ///
    /// After the deadline, or when the replica has stopped.
    pub async fn wait_applied(&self, index: u64, deadline: Duration) -> Result<(), WaitError> {
        let mut state = self.watch_state();
        match timeout(deadline, state.wait_for(|state| state.applied() >= index)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(WaitError::Stopped),
            Err(_) => Err(WaitError::TimedOut),
        }
    }

    /// The node that this replica runs on.
    pub fn name(&self) -> &NodeId {
        &self.inner.node
    }

    /// The state as this replica has it.
    pub fn state(&self) -> Arc<ClusterState> {
        self.inner.state.borrow().clone()
    }

    /// The state as it changes.
    pub fn watch_state(&self) -> watch::Receiver<Arc<ClusterState>> {
        self.inner.state.clone()
    }

    /// Who leads, as it changes.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.leadership.clone()
    }

    /// Stops replicating and closes the files. Give the lead away first
    /// ([`hand_over`](Self::hand_over)), or the others need an election time to notice.
    pub async fn shutdown(&self) {
        self.inner.supervisor.shutdown(Duration::from_secs(1)).await;
        if self.inner.raft.shutdown().await.is_err() {
            tracing::warn!("the replica had stopped before");
        }
        let (log, snapshots) = (self.inner.log.clone(), self.inner.snapshots.clone());
        let close = move || {
            snapshots.close();
            log.close();
        };
        if remuda_runtime::blocking(close).await.is_err() {
            tracing::error!("cannot close the files");
        }
    }

    pub(crate) fn metrics(&self) -> Metrics {
        self.inner.raft.metrics().borrow().clone()
    }

    fn leader(&self) -> Option<NodeId> {
        Leadership::read(&self.metrics()).leader
    }

    /// What a replica does not understand stops it once it is committed: this one, or one of an
    /// older version, which may be there until the level is raised.
    fn check_level(&self, change: &Change) -> Result<(), ProposeError> {
        change.understood_by(self.inner.release.protocol)?;
        let (needed, level) = (change.level(), self.state().level());
        if needed > level && !matches!(change, Change::RaiseLevel { .. }) {
            return Err(ProposeError::LevelTooLow { needed, level });
        }
        Ok(())
    }

    /// Says so when this node cannot commit anything.
    fn leads(&self) -> Result<(), ProposeError> {
        let metrics = self.metrics();
        leads(&metrics)?;
        if self.inner.leaving.load(Ordering::Relaxed) {
            return Err(not_leader(&metrics));
        }
        Ok(())
    }
}

/// Says so when the node of these metrics does not lead.
fn leads(metrics: &Metrics) -> Result<(), ProposeError> {
    if metrics.running_state.is_err() {
        return Err(ProposeError::Stopped);
    }
    if metrics.state == ServerState::Leader { Ok(()) } else { Err(not_leader(metrics)) }
}

/// Names the leader when it is another node.
fn not_leader(metrics: &Metrics) -> ProposeError {
    let is_other = metrics.current_leader != Some(metrics.id);
    let leader = Leadership::read(metrics).leader.filter(|_| is_other);
    ProposeError::NotLeader { leader }
}
