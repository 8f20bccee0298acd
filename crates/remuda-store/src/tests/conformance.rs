//! The library's own storage suite.

use std::sync::Arc;

use openraft::testing::{StoreBuilder, Suite};
use tempfile::TempDir;

use super::cluster::id;
use crate::{
    log::LogStore,
    machine::Machine,
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
        let (machine, _) = Machine::new(None, snapshots, meta);
        Ok((dir, log, machine))
    }
}

#[test]
fn log_and_machine_pass_the_storage_suite() {
    Suite::test_all(Builder).expect("all of it passes");
}
