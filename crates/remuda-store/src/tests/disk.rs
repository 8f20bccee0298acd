//! Damaged, foreign and newer files.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use remuda_state::{Change, ClusterRecord, Command};

use super::cluster::{Cluster, PATIENCE, has, id, token, within};
use crate::{OpenError, Replica, log::LogStore, meta::MetaFile};

fn init() -> Command {
    Command::once(Change::Init(ClusterRecord {
        id: "0123456789abcdefghjkmnpqrs".parse().unwrap(),
        name: "test".to_owned(),
        created_ms: 1,
    }))
}

/// A replica that was stopped after these many commands.
async fn stopped_after(n_commands: usize) -> Cluster {
    let cluster = Cluster::new();
    let a = cluster.start("a").await;
    within("bootstrap", a.bootstrap(vec![init()])).await.unwrap();
    for n in 0..n_commands {
        a.propose(token(&format!("t{n}")), PATIENCE).await.unwrap();
    }
    cluster.stop("a").await;
    cluster
}

/// A replica that was stopped when its files had come so far, and the number of its commands.
async fn stopped_once(is_so: impl Fn(&Replica, &Path) -> bool) -> (Cluster, usize) {
    let cluster = Cluster::new();
    let a = cluster.start("a").await;
    within("bootstrap", a.bootstrap(vec![init()])).await.unwrap();
    let mut n_commands = 0;
    // Snapshots and purges happen beside the commands, on a slow disk long after them.
    while !is_so(&a, &cluster.path("a")) {
        assert!(n_commands < 20_000, "in vain");
        a.propose(token(&format!("t{n_commands}")), PATIENCE).await.unwrap();
        n_commands += 1;
    }
    cluster.stop("a").await;
    (cluster, n_commands)
}

fn snapshots(replica: &Path) -> Vec<PathBuf> {
    let mut files = files(&replica.join("snapshots"));
    files.retain(|file| file.extension().is_some_and(|extension| extension == "snapshot"));
    files
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort_unstable();
    files
}

/// The one file of the log.
fn log_file(replica: &Path) -> PathBuf {
    let mut files = files(&replica.join("log"));
    files.retain(|file| !file.ends_with("LOCK"));
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in files(from) {
        let target = to.join(file.file_name().unwrap());
        if file.is_dir() {
            copy(&file, &target);
        } else {
            fs::copy(&file, &target).unwrap();
        }
    }
}

pub(super) fn open_log(dir: &Path) -> Result<LogStore, OpenError> {
    let log = dir.join("log");
    let meta = Arc::new(MetaFile::open(dir, &id("a"), &log)?);
    LogStore::open(&log, meta)
}

async fn n_tokens(replica: &Replica) -> usize {
    let index = replica.leadership().borrow().last_log;
    replica.wait_applied(index, PATIENCE).await.unwrap();
    replica.state().tokens().count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_tail_loses_nothing_before_it() {
    let cluster = stopped_after(4).await;
    let whole = fs::read(log_file(&cluster.path("a"))).unwrap();
    let mut last = None;
    // The last 150 bytes hold the last entry and the records after it.
    for cut in 1..=150 {
        let dir = cluster.path(&format!("cut{cut}"));
        copy(&cluster.path("a"), &dir);
        fs::write(log_file(&dir), &whole[..whole.len() - cut]).unwrap();
        let log = open_log(&dir).unwrap_or_else(|error| panic!("cut by {cut}: {error}"));
        let kept = log.last_index();
        assert!(last.is_none_or(|last| kept <= last), "cutting more keeps more");
        last = Some(kept);
        log.close();
        // What was cut off is gone for good, not found again later.
        let again = open_log(&dir).unwrap();
        assert_eq!(again.last_index(), kept);
        again.close();
    }
    let dir = cluster.path("cut150");
    let replica = cluster.try_start_in(&dir, "a").await.unwrap();
    assert!(n_tokens(&replica).await >= 2);
    assert!(has(&replica, "t0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_the_log_is_named_and_never_taken_for_a_cut() {
    let cluster = stopped_after(2).await;
    let source = cluster.path("a");
    let file = log_file(&source);
    let good = fs::read(&file).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&file, &bad).unwrap();
        match open_log(&source) {
            Err(OpenError::Corrupt { file, .. }) => assert!(file.ends_with("log")),
            Err(other) => panic!("byte {at}: {other:?}"),
            Ok(_) => panic!("byte {at} of {} was not noticed", good.len()),
        }
        assert_eq!(fs::read(&file).unwrap(), bad, "nothing is deleted, byte {at}");
    }
    fs::write(&file, &good).unwrap();
    let replica = cluster.start("a").await;
    assert_eq!(n_tokens(&replica).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_snapshot_is_replaced_by_the_one_before() {
    let (cluster, n_commands) = stopped_once(|_, dir| snapshots(dir).len() >= 2).await;
    let kept = snapshots(&cluster.path("a"));
    assert_eq!(kept.len(), 2, "{kept:?}");
    let newest = kept.last().unwrap();
    let mut bytes = fs::read(newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(newest, &bytes).unwrap();
    let replica = cluster.start("a").await;
    assert_eq!(n_tokens(&replica).await, n_commands);
    cluster.stop("a").await;
    assert_eq!(fs::read(newest).unwrap(), bytes, "it is still there to be looked at");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_snapshot_that_the_log_reaches_the_node_does_not_start() {
    let purged = |replica: &Replica, _: &Path| replica.metrics().purged.is_some();
    let (cluster, _) = stopped_once(purged).await;
    let all = snapshots(&cluster.path("a"));
    for file in &all {
        let bytes = fs::read(file).unwrap();
        fs::write(file, &bytes[..bytes.len() - 1]).unwrap();
    }
    let error = cluster.try_start("a").await.unwrap_err();
    let OpenError::Corrupt { file, .. } = &error else { panic!("{error:?}") };
    assert_eq!(Some(file), all.last());
    assert!(error.hint().contains("join again"));
    for file in all {
        fs::remove_file(file).unwrap();
    }
    let error = cluster.try_start("a").await.unwrap_err();
    assert!(matches!(error, OpenError::Gap { from: 0, .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_or_incomplete_directory_is_refused() {
    let cluster = stopped_after(1).await;
    let dir = cluster.path("a");
    let error = cluster.try_start_in(&dir, "b").await.unwrap_err();
    assert!(matches!(error, OpenError::WrongNode { .. }), "{error:?}");
    let first = cluster.start("a").await;
    let error = cluster.try_start("a").await.unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error:?}");
    first.shutdown().await;
    let meta = fs::read(dir.join("meta")).unwrap();
    fs::remove_file(dir.join("meta")).unwrap();
    let error = cluster.try_start("a").await.unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
    fs::write(dir.join("meta"), meta).unwrap();
    fs::remove_dir_all(dir.join("log")).unwrap();
    let error = cluster.try_start("a").await.unwrap_err();
    assert!(matches!(error, OpenError::LogLost { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_of_another_cluster_are_refused() {
    let (cluster, _) = stopped_once(|_, dir| !snapshots(dir).is_empty()).await;
    let meta =
        MetaFile::open(&cluster.path("a"), &id("a"), &cluster.path("a").join("log")).unwrap();
    meta.note_cluster(&"zzzzzzzzzzzzzzzzzzzzzzzzzz".parse().unwrap()).unwrap();
    let error = cluster.try_start("a").await.unwrap_err();
    assert!(matches!(error, OpenError::ForeignCluster { .. }), "{error:?}");
}

#[tokio::test]
async fn timing_that_contradicts_itself_is_refused() {
    let cluster = Cluster::new();
    let mut config = crate::ReplicaConfig {
        dir: cluster.path("a"),
        node: id("a"),
        addresses: Vec::new(),
        timing: crate::Timing::LAN,
    };
    config.timing.election_min = config.timing.heartbeat / 2;
    let error = Replica::open(config, cluster.port("a")).await.unwrap_err();
    assert!(matches!(error, OpenError::Timing(_)), "{error:?}");
}
