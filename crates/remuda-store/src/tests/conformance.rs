//! The library's own storage suite.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{Arc, Mutex},
};

use openraft::testing::{StoreBuilder, Suite};
use remuda_model::Release;
use tempfile::TempDir;

use super::cluster::id;
use crate::{
    disk::{Disk, Files, Record, Synced},
    log::LogStore,
    machine::{Known, Machine},
    meta::MetaFile,
    snapshot::SnapshotDir,
    types::{StorageError, Types},
};

struct Builder;

impl StoreBuilder<Types, LogStore, Machine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, Machine), StorageError> {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let meta = Arc::new(MetaFile::open(dir.path(), &id("dev1"), &log).unwrap());
        let log = LogStore::open(&log, Arc::clone(&meta)).unwrap();
        let snapshots = SnapshotDir::open(&dir.path().join("snapshots")).unwrap();
        let (machine, _) = Machine::new(None, snapshots, meta, Known::of(Release::CURRENT));
        Ok((dir, log, machine))
    }
}

#[test]
fn log_and_machine_pass_the_storage_suite() {
    Suite::test_all(Builder).expect("all of it passes");
}

/// The simplest disk: it forgets nothing.
#[derive(Debug, Default)]
struct Memory {
    records: Mutex<Vec<Record>>,
    files: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Disk for Memory {
    fn records(&self) -> io::Result<Vec<Record>> {
        Ok(self.records.lock().unwrap().clone())
    }

    fn append(&self, record: Record) -> io::Result<()> {
        self.records.lock().unwrap().push(record);
        Ok(())
    }

    fn sync(&self, done: Synced) {
        done(Ok(()));
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.files.lock().unwrap().get(name).cloned())
    }

    fn replace(&self, name: &str, bytes: Vec<u8>) -> io::Result<()> {
        self.files.lock().unwrap().insert(name.to_owned(), bytes);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.lock().unwrap().remove(name);
        Ok(())
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.files.lock().unwrap().keys().cloned().collect())
    }
}

struct OnDisk;

impl StoreBuilder<Types, LogStore, Machine, Arc<Memory>> for OnDisk {
    async fn build(&self) -> Result<(Arc<Memory>, LogStore, Machine), StorageError> {
        let disk = Arc::new(Memory::default());
        let files = Files::Simulated(Arc::<Memory>::clone(&disk));
        let dir = Path::new("replica");
        let meta = MetaFile::open_in(files.clone(), dir, &id("dev1"), false).unwrap();
        let meta = Arc::new(meta);
        let log = Arc::<Memory>::clone(&disk);
        let log = LogStore::open_on(log, &dir.join("log"), Arc::clone(&meta)).unwrap();
        let snapshots = SnapshotDir::open_in(files, &dir.join("snapshots")).unwrap();
        let (machine, _) = Machine::new(None, snapshots, meta, Known::of(Release::CURRENT));
        Ok((disk, log, machine))
    }
}

#[test]
fn the_same_on_the_disk_of_a_simulator() {
    Suite::test_all(OnDisk).expect("all of it passes");
}
