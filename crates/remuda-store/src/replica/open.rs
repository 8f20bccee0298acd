//! From a directory to a running replica.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, RwLock, atomic::AtomicBool},
    time::Duration,
};

use futures_util::future::BoxFuture;
use openraft::{Config, SnapshotPolicy};
use remuda_model::Release;
use remuda_runtime::Supervisor;
use tokio::sync::watch;

use super::{Inner, Replica, commit::Committer, metrics::Stats};
use crate::{
    Leadership, OpenError, RaftTransport, ReplicaConfig, Timing,
    disk::{self, Disk},
    guard::Guard,
    leadership,
    log::LogStore,
    machine::{Known, Machine},
    meta::MetaFile,
    network::{Network, Wire},
    snapshot::{Loaded, SnapshotDir},
    types::{Member, Raft, raft_id},
};

/// How long one part of a snapshot may take to be sent and answered.
const PART_LIMIT: Duration = Duration::from_secs(20);

impl Replica {
    /// Opens the directory, and makes it if it does not exist. A replica that is new waits for
    /// [`bootstrap`](Self::bootstrap), or for the leader of a cluster to call.
    ///
    /// # Errors
    ///
    /// When the directory cannot be used as it is. Nothing in it is deleted then.
    pub async fn open(
        config: ReplicaConfig,
        transport: Arc<dyn RaftTransport>,
    ) -> Result<Self, OpenError> {
        Self::open_as(Release::CURRENT, config, transport).await
    }

    /// As [`open`](Self::open), as a node of this release: what a newer one has written is not
    /// understood.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn open_as(
        release: Release,
        config: ReplicaConfig,
        transport: Arc<dyn RaftTransport>,
    ) -> Result<Self, OpenError> {
        Self::open_in(disk::Files::System, release, config, transport).await
    }

    /// As [`open`](Self::open), on the disk of a simulator.
    ///
    /// # Errors
    ///
    /// When what is on the disk cannot be used.
    pub async fn open_on(
        disk: Arc<dyn Disk>,
        config: ReplicaConfig,
        transport: Arc<dyn RaftTransport>,
    ) -> Result<Self, OpenError> {
        let files = disk::Files::Simulated(disk);
        Self::open_in(files, Release::CURRENT, config, transport).await
    }

    /// Boxed here, so that the consensus library is compiled once, with this crate, and not with
    /// every program that opens a replica.
    fn open_in(
        kind: disk::Files,
        release: Release,
        config: ReplicaConfig,
        transport: Arc<dyn RaftTransport>,
    ) -> BoxFuture<'static, Result<Self, OpenError>> {
        Box::pin(Self::assemble(kind, release, config, transport))
    }

    async fn assemble(
        kind: disk::Files,
        release: Release,
        config: ReplicaConfig,
        transport: Arc<dyn RaftTransport>,
    ) -> Result<Self, OpenError> {
        let raft_config = raft_config(config.timing)?;
        let (dir, node) = (config.dir.clone(), config.node.clone());
        let files = remuda_runtime::blocking(move || Files::open(kind, &dir, &node, release)).await;
        let files = files.unwrap_or_else(|error| {
            let what = error.to_string();
            Err(OpenError::Replay { dir: config.dir.clone(), what })
        })?;
        let known = Known::of(release);
        let (machine, state) =
            Machine::new(files.snapshot, files.snapshots.clone(), files.meta, known.clone());
        let wire = Arc::new(Wire {
            node: config.node.clone(),
            transport,
            state: state.clone(),
            members: RwLock::new(BTreeMap::new()),
            longest_pause: config.timing.election_min,
        });
        let id = raft_id(&config.node);
        let network = Network(Arc::clone(&wire));
        let raft =
            Raft::new(id, raft_config, network, files.log.clone().that_follows(id), machine).await;
        let raft = raft.map_err(|error| {
            files.log.close();
            let dir = config.dir.clone();
            match known.stopped_by.get() {
                Some(change) => OpenError::NewerLog { dir, change: *change },
                None => OpenError::Replay { dir, what: error.to_string() },
            }
        })?;
        let stopped = |error: &dyn std::error::Error| OpenError::Replay {
            dir: config.dir.clone(),
            what: error.to_string(),
        };
        // Only from here on do the metrics say what the log holds.
        raft.with_raft_state(|_| ()).await.map_err(|error| stopped(&error))?;
        if votes_alone(&raft, id) {
            // Nobody else can lead, and nobody need be waited for.
            raft.trigger().elect().await.map_err(|error| stopped(&error))?;
        }
        let supervisor = Supervisor::new();
        let leaving = Arc::new(AtomicBool::new(false));
        let metrics = raft.metrics();
        let (publish, leadership) = watch::channel(Leadership::read(&metrics.borrow()));
        supervisor.spawn(
            "leadership",
            leadership::follow(metrics, Arc::clone(&wire), publish, supervisor.token()),
        );
        let guard = Guard {
            raft: raft.clone(),
            wire: Arc::clone(&wire),
            period: config.timing.election_min / 2,
            ttl: config.timing.election_max,
            leaving: Arc::clone(&leaving),
        };
        supervisor.spawn("election guard", guard.run(supervisor.token()));
        let (queue, committer) = Committer::new(raft.clone(), state.clone());
        supervisor.spawn("group commit", committer.run(supervisor.token()));
        let inner = Inner {
            me: Member::new(&config.node, config.addresses),
            node: config.node,
            release,
            id,
            timing: config.timing,
            raft,
            log: files.log,
            snapshots: files.snapshots,
            wire,
            state,
            leadership,
            incoming: Mutex::new(None),
            queue,
            leaving,
            supervisor,
            stats: Stats::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }
}

fn votes_alone(raft: &Raft, id: u64) -> bool {
    let metrics = raft.metrics().borrow().clone();
    metrics.membership_config.membership().voter_ids().eq([id])
}

/// What is in the directory.
struct Files {
    meta: Arc<MetaFile>,
    log: LogStore,
    snapshots: SnapshotDir,
    snapshot: Option<(crate::types::Meta, remuda_state::ClusterState)>,
}

impl Files {
    fn open(
        kind: disk::Files,
        dir: &std::path::Path,
        node: &remuda_model::NodeId,
        release: Release,
    ) -> Result<Self, OpenError> {
        kind.make_dir(dir).map_err(|source| OpenError::Io { path: dir.into(), source })?;
        let log_dir = dir.join("log");
        let (meta, log) = match &kind {
            disk::Files::System => {
                let meta = Arc::new(MetaFile::open(dir, node, &log_dir)?);
                let log = LogStore::open(&log_dir, Arc::clone(&meta))?;
                (meta, log)
            }
            disk::Files::Simulated(disk) => {
                let records = disk.records();
                let records =
                    records.map_err(|source| OpenError::Io { path: log_dir.clone(), source })?;
                let meta = MetaFile::open_in(kind.clone(), dir, node, !records.is_empty())?;
                let meta = Arc::new(meta);
                let log = LogStore::open_on(Arc::clone(disk), &log_dir, Arc::clone(&meta))?;
                (meta, log)
            }
        };
        let snapshots = SnapshotDir::open_in(kind, &dir.join("snapshots"))?;
        let Loaded { snapshot, damage } = snapshots.load(release.protocol)?;
        // Entries up to the purged one must be in the snapshot.
        let next =
            snapshot.as_ref().map_or(0, |(meta, _)| meta.last_log_id.map_or(0, |id| id.index + 1));
        if let Some(purged) = log.purged().filter(|purged| *purged >= next) {
            let gap = OpenError::Gap { dir: dir.into(), from: next, to: purged };
            return Err(damage.unwrap_or(gap));
        }
        if let (Some(expected), Some((_, state))) = (meta.cluster(), &snapshot)
            && let Some(found) = state.cluster().map(|cluster| cluster.id.clone())
            && found != expected
        {
            return Err(OpenError::ForeignCluster { dir: dir.into(), expected, found });
        }
        Ok(Self { meta, log, snapshots, snapshot })
    }
}

fn raft_config(timing: Timing) -> Result<Arc<Config>, OpenError> {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis(timing.heartbeat) == 0 || timing.snapshot_after == 0 {
        return Err(OpenError::Timing(
            "heartbeat and snapshot interval must not be zero".to_owned(),
        ));
    }
    // With the log of two snapshots kept, a damaged newest one can be done without.
    let kept = timing.snapshot_after.saturating_mul(2).max(100);
    let config = Config {
        cluster_name: "remuda".to_owned(),
        heartbeat_interval: millis(timing.heartbeat),
        election_timeout_min: millis(timing.election_min),
        election_timeout_max: millis(timing.election_max),
        install_snapshot_timeout: millis(PART_LIMIT),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(timing.snapshot_after),
        replication_lag_threshold: kept,
        max_in_snapshot_log_to_keep: kept,
        ..Config::default()
    };
    config.validate().map(Arc::new).map_err(|error| OpenError::Timing(error.to_string()))
}
