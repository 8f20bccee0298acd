//! Data directories that a worker must not use.

use remuda_plugin::TwoClasses;
use remuda_runtime::Supervisor;

use super::cluster::{DEADLINE, config, try_start};
use crate::{StartError, StoreError, Worker, WorkerConfig};

#[tokio::test]
async fn the_directory_of_another_node_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (_worker, supervisor) = try_start(dir.path(), "w1").await.expect("starts");
    assert!(supervisor.shutdown(DEADLINE).await);
    let error = try_start(dir.path(), "w2").await.expect_err("another node's");
    assert!(matches!(&error, StartError::Foreign { found, .. } if found == "w1"), "{error:?}");
    assert!(error.to_string().contains("belongs to node `w1`, not to `w2`"));
    try_start(dir.path(), "w1").await.expect("its own node may still use it");
}

#[tokio::test]
async fn a_directory_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _first = try_start(dir.path(), "w1").await.expect("starts");
    let error = try_start(dir.path(), "w1").await.expect_err("in use");
    assert!(matches!(error, StartError::Records(StoreError::InUse { .. })), "{error:?}");
    assert!(error.hint().contains("another agent"));
}

#[tokio::test]
async fn damaged_records_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("worker.redb"), vec![7; 100_000]).unwrap();
    let error = try_start(dir.path(), "w1").await.expect_err("damaged");
    assert!(matches!(error, StartError::Records(StoreError::Damaged { .. })), "{error:?}");
}

#[tokio::test]
async fn two_classes_of_one_name_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let class = remuda_plugin::erase(super::class::TestClass::new(true).0);
    let first = config(&dir.path().join("first"), "w1", class).await;
    // The first worker has added its class `node` to the table.
    let second = WorkerConfig {
        classes: first.classes.clone(),
        data_dir: dir.path().join("second"),
        ..config(dir.path(), "w1", remuda_plugin::erase(super::class::TestClass::new(true).0)).await
    };
    let _worker = Worker::start(first, Supervisor::new()).await.expect("starts");
    let error = Worker::start(second, Supervisor::new()).await.expect_err("twice");
    assert!(matches!(error, StartError::TwoClasses(TwoClasses(name)) if name.as_str() == "node"));
}
