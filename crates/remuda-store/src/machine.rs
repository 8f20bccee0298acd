//! The state in memory: applies committed entries, makes and installs snapshots.

#![expect(clippy::result_large_err, reason = "the library's error type")]

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use openraft::{
    AnyError, EntryPayload, OptionalSend, RaftSnapshotBuilder, storage::RaftStateMachine,
};
use remuda_model::Release;
use remuda_state::{Applied, Batch, ClusterState, UnknownChange};
use tokio::sync::watch;

use crate::{
    meta::MetaFile,
    snapshot::SnapshotDir,
    types::{Entry, IoError, Members, Meta, RaftLogId, Snapshot, StorageError, Types},
};

/// What a snapshot holds: state, last log id, members.
#[derive(Clone, Debug, Default)]
struct View {
    state: ClusterState,
    last: Option<RaftLogId>,
    members: Members,
}

impl View {
    fn meta(&self) -> Meta {
        let id = self.last.map_or_else(|| "empty".to_owned(), |last| last.to_string());
        Meta { last_log_id: self.last, last_membership: self.members.clone(), snapshot_id: id }
    }
}

/// The state machine of one replica.
#[derive(Debug)]
pub(crate) struct Machine {
    view: View,
    /// The last snapshot that is on disk. Sharing all records with the state, it costs little.
    current: Arc<Mutex<Option<(Meta, ClusterState)>>>,
    dir: SnapshotDir,
    meta: Arc<MetaFile>,
    publish: watch::Sender<Arc<ClusterState>>,
    known: Known,
}

/// What this replica understands, and the first committed change that it did not.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// The newest protocol version.
    pub(crate) protocol: u16,
    pub(crate) stopped_by: Arc<OnceLock<UnknownChange>>,
}

impl Known {
    pub(crate) fn of(release: Release) -> Self {
        Self { protocol: release.protocol, stopped_by: Arc::default() }
    }
}

/// Writes one snapshot while the state goes on.
#[derive(Debug)]
pub(crate) struct Builder {
    view: View,
    current: Arc<Mutex<Option<(Meta, ClusterState)>>>,
    dir: SnapshotDir,
}

impl Machine {
    /// The state as of the snapshot, if there is one, and a view of it as it changes.
    pub(crate) fn new(
        snapshot: Option<(Meta, ClusterState)>,
        dir: SnapshotDir,
        meta: Arc<MetaFile>,
        known: Known,
    ) -> (Self, watch::Receiver<Arc<ClusterState>>) {
        let view = snapshot.clone().map_or_else(View::default, |(meta, state)| View {
            state,
            last: meta.last_log_id,
            members: meta.last_membership,
        });
        let (publish, watch) = watch::channel(Arc::new(view.state.clone()));
        let current = Arc::new(Mutex::new(snapshot));
        (Self { view, current, dir, meta, publish, known }, watch)
    }

    fn apply_one(&mut self, entry: Entry) -> Result<Vec<Applied>, StorageError> {
        let index = entry.log_id.index;
        let applied = match entry.payload {
            EntryPayload::Blank => {
                self.view.state.advance(index);
                Vec::new()
            }
            EntryPayload::Membership(members) => {
                self.view.state.advance(index);
                self.view.members = Members::new(Some(entry.log_id), members);
                Vec::new()
            }
            EntryPayload::Normal(batch) => self.commands(entry.log_id, &batch)?,
        };
        self.view.last = Some(entry.log_id);
        Ok(applied)
    }

    fn commands(&mut self, id: RaftLogId, batch: &Batch) -> Result<Vec<Applied>, StorageError> {
        // Going on without a change would make this replica differ from the others for ever.
        batch.understood_by(self.known.protocol).map_err(|error| {
            self.known.stopped_by.get_or_init(|| error);
            tracing::error!(%error, index = id.index, "stopped: install the newer version");
            IoError::apply(id, AnyError::new(&error))
        })?;
        Ok(self.view.state.apply_batch(id.index, batch))
    }

    /// Notes the cluster in the directory, so that it is never mixed with another.
    fn check_cluster(&self) -> Result<(), StorageError> {
        let Some(cluster) = self.view.state.cluster() else { return Ok(()) };
        match self.meta.cluster() {
            Some(known) if known == cluster.id => Ok(()),
            Some(known) => {
                let text = format!("state of cluster {} in a directory of {known}", cluster.id);
                Err(IoError::write_state_machine(AnyError::error(text)).into())
            }
            None => self
                .meta
                .note_cluster(&cluster.id)
                .map_err(|error| IoError::write_state_machine(AnyError::new(&error)).into()),
        }
    }

    fn publish(&self) {
        self.publish.send_replace(Arc::new(self.view.state.clone()));
    }
}

async fn write(dir: &SnapshotDir, meta: &Meta, state: &ClusterState) -> Result<(), StorageError> {
    let (dir, meta, state) = (dir.clone(), meta.clone(), state.clone());
    let signature = meta.signature();
    let written = remuda_runtime::blocking(move || dir.write(&meta, &state)).await;
    let written = written.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    written.map_err(|error| IoError::write_snapshot(Some(signature), AnyError::new(&error)).into())
}

/// Keeps the newest snapshot: one that was built may be older than one installed meanwhile.
fn keep(current: &Mutex<Option<(Meta, ClusterState)>>, meta: Meta, state: ClusterState) {
    let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
    if current.as_ref().is_none_or(|(known, _)| known.last_log_id <= meta.last_log_id) {
        *current = Some((meta, state));
    }
}

impl RaftSnapshotBuilder<Types> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot, StorageError> {
        let (meta, state) = (self.view.meta(), self.view.state.clone());
        write(&self.dir, &meta, &state).await?;
        keep(&self.current, meta.clone(), state.clone());
        Ok(Snapshot { meta, snapshot: Box::new(state) })
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<RaftLogId>, Members), StorageError> {
        Ok((self.view.last, self.view.members.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Vec<Applied>>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let applied =
            entries.into_iter().map(|entry| self.apply_one(entry)).collect::<Result<_, _>>()?;
        self.check_cluster()?;
        self.publish();
        Ok(applied)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            view: self.view.clone(),
            current: Arc::clone(&self.current),
            dir: self.dir.clone(),
        }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<ClusterState>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &Meta,
        snapshot: Box<ClusterState>,
    ) -> Result<(), StorageError> {
        write(&self.dir, meta, &snapshot).await?;
        self.view = View {
            state: *snapshot,
            last: meta.last_log_id,
            members: meta.last_membership.clone(),
        };
        self.check_cluster()?;
        keep(&self.current, meta.clone(), self.view.state.clone());
        self.publish();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, StorageError> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(current.map(|(meta, state)| Snapshot { meta, snapshot: Box::new(state) }))
    }
}
