//! The log on disk: votes and entries in raft-log, acknowledged only after fsync.

pub(crate) mod backend;
pub(crate) mod codec;
mod journal;

use std::{
    fmt::{self, Debug},
    io,
    ops::{Bound, RangeBounds},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use backend::Backend;
use bytes::Bytes;
use codec::{Blob, Payload};
use journal::Journal;
use openraft::{
    AnyError, LogState, OptionalSend, RaftLogReader,
    storage::{LogFlushed, RaftLogStorage},
};
use raft_log::RaftLog;
use tokio::sync::oneshot;

use crate::{
    OpenError,
    disk::Disk,
    meta::MetaFile,
    types::{Entry, IoError, RaftLogId, RaftVote, StorageError, Types},
};

/// How many bytes of entries one replication call carries, at least one entry. The library gives
/// such a call one heartbeat's time, so that more would never arrive over a slow link.
const BATCH_BYTES: usize = 64 * 1024;
/// Entries kept in memory besides the disk.
const CACHE_ITEMS: usize = 10_000;
const CACHE_BYTES: usize = 64 * 1024 * 1024;
/// A file of the log; it is deleted when all its entries are purged.
const FILE_BYTES: usize = 64 * 1024 * 1024;
const FILE_RECORDS: usize = 256 * 1024;
const READ_BUFFER: usize = 1024 * 1024;

/// Told when the disk has the bytes.
pub(crate) struct Flushed(Box<dyn FnOnce(io::Result<()>) + Send>);

impl raft_log::Callback for Flushed {
    fn send(self, result: io::Result<()>) {
        (self.0)(result);
    }
}

/// What raft-log stores for us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogTypes;

impl raft_log::Types for LogTypes {
    type LogId = Blob<RaftLogId>;
    type LogPayload = Payload;
    type Vote = Blob<RaftVote>;
    type Callback = Flushed;
    type UserData = Blob<()>;

    fn log_index(log_id: &Self::LogId) -> u64 {
        log_id.0.index
    }

    fn payload_size(payload: &Payload) -> u64 {
        u64::try_from(payload.0.len()).unwrap_or(u64::MAX)
    }
}

/// The log of one replica; clones share it.
#[derive(Clone)]
pub(crate) struct LogStore {
    /// Empty once the log is closed.
    log: Arc<Mutex<Option<Backend>>>,
    meta: Arc<MetaFile>,
    /// A node that must not take up the lead of an earlier boot.
    follows: Option<u64>,
}

impl Debug for LogStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogStore").finish_non_exhaustive()
    }
}

impl LogStore {
    /// Opens the log in its directory. A half-written record at the very end, which was never
    /// acknowledged, is cut off.
    pub(crate) fn open(dir: &Path, meta: Arc<MetaFile>) -> Result<Self, OpenError> {
        std::fs::create_dir_all(dir)
            .map_err(|source| OpenError::Io { path: dir.into(), source })?;
        let text = dir.to_str().ok_or_else(|| OpenError::Io {
            path: dir.into(),
            source: io::Error::new(io::ErrorKind::InvalidInput, "the path is not UTF-8"),
        })?;
        let mut config = raft_log::Config::new(text);
        config.log_cache_max_items = Some(CACHE_ITEMS);
        config.log_cache_capacity = Some(CACHE_BYTES);
        config.wal.chunk_max_size = Some(FILE_BYTES);
        config.wal.chunk_max_records = Some(FILE_RECORDS);
        config.wal.read_buffer_size = Some(READ_BUFFER);
        // Entries that arrive during one fsync share the next; waiting for more only adds latency.
        config.wal.flush_batch_wait = Some(Duration::ZERO);
        // Damaged files must never take the process down.
        let opened = catch_unwind(AssertUnwindSafe(|| RaftLog::open(Arc::new(config))));
        let corrupt = |what| OpenError::Corrupt { file: dir.into(), what };
        let log = match opened {
            Ok(Ok(log)) => log,
            Ok(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(OpenError::Locked { dir: dir.into() });
            }
            Ok(Err(error)) => return Err(corrupt(error.to_string())),
            Err(_) => return Err(corrupt("it cannot be replayed".to_owned())),
        };
        Self::with_backend(Backend::Files(Box::new(log)), dir, meta)
    }

    /// As [`open`](Self::open), on the disk of a simulator.
    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        dir: &Path,
        meta: Arc<MetaFile>,
    ) -> Result<Self, OpenError> {
        let journal = Journal::open(disk)
            .map_err(|error| OpenError::Corrupt { file: dir.into(), what: error.to_string() })?;
        Self::with_backend(Backend::Simulated(journal), dir, meta)
    }

    fn with_backend(log: Backend, dir: &Path, meta: Arc<MetaFile>) -> Result<Self, OpenError> {
        if meta.voted() && log.state().vote.is_none() {
            return Err(OpenError::LogLost { dir: dir.into() });
        }
        Ok(Self { log: Arc::new(Mutex::new(Some(log))), meta, follows: None })
    }

    /// The log for this node, which does not take up the lead of an earlier boot. An entry of that
    /// lead may be committed on other disks and lost on this one: the library would put another
    /// entry with the same id in its place, and would answer reads without it.
    pub(crate) fn that_follows(self, node: u64) -> Self {
        Self { follows: Some(node), ..self }
    }

    /// Writes what is pending, and releases the directory.
    pub(crate) fn close(&self) {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(log);
    }

    /// The last purged index.
    pub(crate) fn purged(&self) -> Option<u64> {
        let purged = self.with(|log| Ok(log.state().purged.map(|id| id.index)));
        purged.ok().flatten()
    }

    /// The last index; 0 in an empty log.
    #[cfg(test)]
    pub(crate) fn last_index(&self) -> u64 {
        self.with(|log| Ok(log.state().last.map_or(0, |id| id.index))).expect("open")
    }

    fn with<R>(&self, work: impl FnOnce(&mut Backend) -> io::Result<R>) -> io::Result<R> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        work(log.as_mut().ok_or_else(|| io::Error::other("the log is closed"))?)
    }

    /// Does the work and returns when the disk has it.
    async fn durably(&self, work: impl FnOnce(&mut Backend) -> io::Result<()>) -> io::Result<()> {
        let (done, flushed) = oneshot::channel();
        self.with(|log| {
            work(log)?;
            // The receiver may be gone: then nobody wants to know.
            log.flush(Some(Flushed(Box::new(|result| drop(done.send(result))))))
        })?;
        flushed.await.unwrap_or_else(|_| Err(io::Error::other("the log was closed meanwhile")))
    }

    fn entries(&self, from: u64, to: u64, bytes: usize) -> io::Result<Vec<Entry>> {
        self.with(|log| {
            let mut read = 0_usize;
            // One at least.
            let more = |entry: &Bytes| {
                let is_first = read == 0;
                read = read.saturating_add(entry.len());
                is_first || read <= bytes
            };
            let entries = log.read(from, to, more)?;
            let decode = |entry: &Bytes| remuda_state::decode(entry).map_err(io::Error::other);
            entries.iter().map(decode).collect()
        })
    }
}

fn any(error: &io::Error) -> AnyError {
    AnyError::new(error)
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, StorageError> {
        let from = match range.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(to) => *to,
            Bound::Unbounded => u64::MAX,
        };
        if from >= to {
            return Ok(Vec::new());
        }
        self.entries(from, to, usize::MAX)
            .map_err(|error| IoError::read_log_at_index(from, any(&error)).into())
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, StorageError> {
        self.entries(start, end, BATCH_BYTES)
            .map_err(|error| IoError::read_log_at_index(start, any(&error)).into())
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError> {
        let (purged, last) = self
            .with(|log| {
                let state = log.state();
                Ok((state.purged, state.last))
            })
            .map_err(|error| IoError::read_logs(any(&error)))?;
        Ok(LogState { last_purged_log_id: purged, last_log_id: last.max(purged) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &RaftVote) -> Result<(), StorageError> {
        let failed = |error: &io::Error| IoError::write_vote(any(error));
        if !self.meta.voted() {
            self.meta.note_vote().map_err(|error| failed(&error))?;
        }
        self.durably(|log| log.save_vote(*vote)).await.map_err(|error| failed(&error).into())
    }

    async fn read_vote(&mut self) -> Result<Option<RaftVote>, StorageError> {
        let as_follower = |vote: RaftVote| {
            let own = Some(vote.leader_id.node_id) == self.follows;
            if own { RaftVote::new(vote.leader_id.term, vote.leader_id.node_id) } else { vote }
        };
        self.with(|log| Ok(log.state().vote.map(as_follower)))
            .map_err(|error| IoError::read_vote(any(&error)).into())
    }

    async fn save_committed(&mut self, committed: Option<RaftLogId>) -> Result<(), StorageError> {
        let Some(committed) = committed else { return Ok(()) };
        // Only a hint that saves replaying at the next start, so it need not reach the disk now.
        self.with(|log| {
            let state = log.state();
            let is_news = state.committed.is_none_or(|known| known < committed);
            if is_news && state.last.is_some_and(|last| committed <= last) {
                log.commit(committed)?;
                log.flush(None)?;
            }
            Ok(())
        })
        .map_err(|error| IoError::write_logs(any(&error)).into())
    }

    async fn read_committed(&mut self) -> Result<Option<RaftLogId>, StorageError> {
        self.with(|log| {
            let state = log.state();
            Ok(state.committed.min(state.last))
        })
        .map_err(|error| IoError::read_logs(any(&error)).into())
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: LogFlushed<Types>,
    ) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut entries: Vec<(RaftLogId, Bytes)> = entries
            .into_iter()
            .map(|entry| (entry.log_id, Bytes::from(remuda_state::encode(&entry))))
            .collect();
        self.with(|log| {
            let state = log.state();
            entries.retain(|(id, _)| state.purged.is_none_or(|purged| id.index > purged.index));
            if let Some((first, _)) = entries.first()
                && state.last.is_some_and(|last| first.index <= last.index)
            {
                log.truncate(first.index)?;
            }
            log.append(entries)?;
            let done = Flushed(Box::new(|result| callback.log_io_completed(result)));
            log.flush(Some(done))
        })
        .map_err(|error| IoError::write_logs(any(&error)).into())
    }

    async fn truncate(&mut self, log_id: RaftLogId) -> Result<(), StorageError> {
        self.durably(|log| log.truncate(log_id.index))
            .await
            .map_err(|error| IoError::write_logs(any(&error)).into())
    }

    async fn purge(&mut self, log_id: RaftLogId) -> Result<(), StorageError> {
        self.durably(|log| log.purge(log_id))
            .await
            .map_err(|error| IoError::write_logs(any(&error)).into())
    }
}
