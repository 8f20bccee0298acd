//! What a worker keeps on disk: one embedded database, written by one thread.
//!
//! Writes that wait at the same time share one sync of the disk. Every value carries a checksum
//! over its table, key and bytes, so that damage is found when it is read and never believed.

mod envelope;
mod thread;

use std::path::{Path, PathBuf};

use remuda_model::{Chain, ErrorKind, Failure};
use tokio::sync::{mpsc, oneshot};

use self::thread::Op;

/// Writes that may wait for the thread; a full queue holds back the writers.
const QUEUE: usize = 1024;

/// The tables of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    /// Single values: whose directory it is, the epoch, labels, wanted status.
    Meta,
    /// Task id → record.
    Tasks,
    /// Key-value data of the node, for users.
    Data,
    /// Event number (big endian) → event.
    Events,
}

/// One change of the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Writes a value.
    Put { table: Table, key: Vec<u8>, value: Vec<u8> },
    /// Removes it.
    Delete { table: Table, key: Vec<u8> },
}

impl Change {
    /// Writes a single value.
    pub(crate) fn meta(key: &str, value: impl Into<Vec<u8>>) -> Self {
        Self::Put { table: Table::Meta, key: key.as_bytes().to_vec(), value: value.into() }
    }
}

/// The records of a worker cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the database open.
    #[error("{path} is in use by another process")]
    InUse {
        /// The database.
        path: PathBuf,
    },
    /// The file is not what a worker has written.
    #[error("{path} is damaged: {what}")]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// The file cannot be opened.
    #[error("cannot open {path}")]
    Open {
        /// The database.
        path: PathBuf,
        /// Why.
        #[source]
        source: redb::DatabaseError,
    },
    /// The disk refuses.
    #[error("cannot read or write {path}")]
    Disk {
        /// The database.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::sync::Arc<redb::Error>,
    },
    /// The agent shuts down.
    #[error("the records of this node are closed")]
    Closed,
}

/// A handle to the database; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    ops: mpsc::Sender<Op>,
}

/// Changes on their way to the disk; they arrive whether anybody waits or not.
#[derive(Debug)]
pub(crate) struct Pending(oneshot::Receiver<Result<(), StoreError>>);

impl Pending {
    /// Waits until the changes are on disk.
    pub(crate) async fn done(self) -> Result<(), StoreError> {
        self.0.await.unwrap_or(Err(StoreError::Closed))
    }
}

impl StoreError {
    /// What a caller learns whose work could not be recorded.
    pub(crate) fn into_failure(self) -> Failure {
        Failure::new(ErrorKind::Unavailable, Chain(&self).to_string())
            .code("disk_failed")
            .hint("check the disk of the node's data directory")
    }
}

/// What the database holds when it is opened.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) meta: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) tasks: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) events: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) data_keys: Vec<Vec<u8>>,
}

impl Loaded {
    /// A single value.
    pub(crate) fn meta(&self, key: &str) -> Option<&[u8]> {
        let found = self.meta.iter().find(|(name, _)| name == key.as_bytes());
        found.map(|(_, value)| value.as_slice())
    }
}

impl Store {
    /// Opens or makes the database, reads what is needed at the start, and starts its thread.
    pub(crate) async fn open(path: &Path) -> Result<(Self, Loaded), StoreError> {
        let owned = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || thread::open(&owned)).await;
        // The database code asserts on some kinds of damage instead of returning an error.
        let damaged = |_panic| StoreError::Damaged {
            path: path.to_owned(),
            what: "its pages contradict each other".to_owned(),
        };
        let (database, loaded) = opened.map_err(damaged)??;
        let (ops, inbox) = mpsc::channel(QUEUE);
        thread::spawn(path.to_owned(), database, inbox);
        Ok((Self { ops }, loaded))
    }

    /// Makes all of the changes or none; they are on disk when this returns.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the changes may still be made.
    pub(crate) async fn write(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.submit(changes).await.done().await
    }

    /// Puts changes into the queue of the disk, after all that were put there before, and gives
    /// back the way to learn when they are on it.
    pub(crate) async fn submit(&self, changes: Vec<Change>) -> Pending {
        let (reply, done) = oneshot::channel();
        // When the thread is gone, so is `reply`, and `done` says so.
        drop(self.send(Op::Write { changes, reply }).await);
        Pending(done)
    }

    /// One value, after everything that was written before.
    pub(crate) async fn read(
        &self,
        table: Table,
        key: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let (reply, done) = oneshot::channel();
        self.send(Op::Read { table, key, reply }).await?;
        done.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Finishes what was asked before and releases the file.
    pub(crate) async fn close(&self) {
        let (reply, done) = oneshot::channel();
        if self.send(Op::Close { reply }).await.is_ok() {
            // An error means that the thread is gone, and so is its hold on the file.
            drop(done.await);
        }
    }

    async fn send(&self, op: Op) -> Result<(), StoreError> {
        self.ops.send(op).await.map_err(|_closed| StoreError::Closed)
    }
}

#[cfg(test)]
mod tests;
