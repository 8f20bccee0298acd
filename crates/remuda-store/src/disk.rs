//! A disk of a simulator in place of a directory.
//!
//! It keeps what the replica writes, says when that is durable, and may lose the rest in a crash.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;

/// Told when everything that was appended before is durable.
pub type Synced = Box<dyn FnOnce(io::Result<()>) + Send>;

/// One record of the log, in the order of writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The vote of the node.
    Vote(Bytes),
    /// An entry after the last one.
    Entry {
        /// Its index.
        index: u64,
        /// Its id.
        id: Bytes,
        /// The entry itself.
        entry: Bytes,
    },
    /// Entries from this index on are void.
    Truncate(u64),
    /// Entries up to this id are not needed any more.
    Purge(Bytes),
    /// Entries up to this id are committed; a hint.
    Committed(Bytes),
}

/// What a replica needs of a simulated disk.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// The records that are there.
    fn records(&self) -> io::Result<Vec<Record>>;

    /// Adds a record. It is durable after the next [`sync`](Self::sync).
    fn append(&self, record: Record) -> io::Result<()>;

    /// Makes all records durable, then says so; from whatever task, at whatever time.
    fn sync(&self, done: Synced);

    /// A whole file, if it is there.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>>;

    /// Replaces a whole file; durable on return.
    fn replace(&self, name: &str, bytes: Vec<u8>) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// The names of all files, in order.
    fn names(&self) -> io::Result<Vec<String>>;
}

/// Where files that are written whole lie.
#[derive(Clone, Debug)]
pub(crate) enum Files {
    /// In directories.
    System,
    /// On this disk, under their paths.
    Simulated(Arc<dyn Disk>),
}

impl Files {
    pub(crate) fn make_dir(&self, dir: &Path) -> io::Result<()> {
        match self {
            Self::System => std::fs::create_dir_all(dir),
            Self::Simulated(_) => Ok(()),
        }
    }

    /// The files of a directory, in no order.
    pub(crate) fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        match self {
            Self::System => std::fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect(),
            Self::Simulated(disk) => {
                let paths = disk.names()?.into_iter().map(PathBuf::from);
                Ok(paths.filter(|path| path.parent() == Some(dir)).collect())
            }
        }
    }

    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        match self {
            Self::System => std::fs::remove_file(path),
            Self::Simulated(disk) => disk.remove(&name(path)),
        }
    }
}

pub(crate) fn name(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
