//! What is written at which level, and who reads it.

use remuda_model::{Release, Revision};
use remuda_state::{Change, ClusterRecord, Command, UnknownChange};

use super::cluster::{Cluster, PATIENCE, TIMING, id, token, within};
use crate::{OpenError, ProposeError, Replica, ReplicaConfig, Timing};

fn init() -> Command {
    Command::once(Change::Init(ClusterRecord {
        id: "0123456789abcdefghjkmnpqrs".parse().unwrap(),
        name: "test".to_owned(),
        created_ms: 1,
    }))
}

fn raise(level: u16) -> Command {
    Command::once(Change::RaiseLevel { level })
}

async fn open(cluster: &Cluster, release: Release, timing: Timing) -> Result<Replica, OpenError> {
    let (dir, node) = (cluster.path("a"), id("a"));
    let config = ReplicaConfig { dir, node, addresses: Vec::new(), timing };
    Replica::open_as(release, config, cluster.port("a")).await
}

/// Waits until it leads again.
async fn leads(replica: &Replica) {
    let mut leadership = replica.leadership();
    within("the lead", leadership.wait_for(|now| now.is_leader)).await.unwrap();
}

#[tokio::test]
async fn each_release_takes_up_what_the_other_wrote_until_the_level_is_raised() {
    let cluster = Cluster::new();
    // With snapshots soon, so that the older release has to read those too.
    let timing = Timing { snapshot_after: 5, ..TIMING };
    let a = open(&cluster, Release::PREVIOUS, timing).await.unwrap();
    within("bootstrap", a.bootstrap(vec![init()])).await.unwrap();
    a.shutdown().await;
    for (round, release) in
        [Release::CURRENT, Release::PREVIOUS, Release::CURRENT].into_iter().enumerate()
    {
        let a = open(&cluster, release, timing).await.unwrap();
        leads(&a).await;
        for n in 0..12 {
            a.propose(token(&format!("t{round}-{n}")), PATIENCE).await.unwrap();
        }
        assert_eq!((a.state().level(), a.state().tokens().count()), (1, 12 * (round + 1)));
        a.shutdown().await;
    }

    let a = open(&cluster, Release::CURRENT, timing).await.unwrap();
    leads(&a).await;
    a.propose(raise(2), PATIENCE).await.unwrap();
    assert_eq!(a.state().level(), 2);
    a.shutdown().await;
    let refused = open(&cluster, Release::PREVIOUS, timing).await.expect_err("a newer log");
    assert!(matches!(refused, OpenError::NewerLog { .. }), "{refused:?}");
    assert!(refused.hint().contains("newer version"), "{}", refused.hint());

    // Nothing is lost by the attempt, and a snapshot of the level is refused by its number.
    let a = open(&cluster, Release::CURRENT, timing).await.unwrap();
    leads(&a).await;
    let mut leadership = a.leadership();
    for n in 0..12 {
        a.propose(token(&format!("late-{n}")), PATIENCE).await.unwrap();
    }
    let raised = a.state().applied() - 12;
    within("a snapshot", leadership.wait_for(|now| now.snapshot > raised)).await.unwrap();
    assert_eq!((a.state().level(), a.state().tokens().count()), (2, 48));
    a.shutdown().await;
    let refused = open(&cluster, Release::PREVIOUS, timing).await.expect_err("a newer snapshot");
    assert!(matches!(refused, OpenError::Newer { version: 2, .. }), "{refused:?}");
}

#[tokio::test]
async fn nothing_is_written_that_some_replica_may_not_understand() {
    let cluster = Cluster::new();
    let a = open(&cluster, Release::CURRENT, TIMING).await.unwrap();
    within("bootstrap", a.bootstrap(vec![init()])).await.unwrap();
    let before = a.leadership().borrow().last_log;
    let later = Command::once(Change::FollowAuthority { revision: Revision(1), nodes: Vec::new() });
    let refused = a.propose(later.clone(), PATIENCE).await;
    assert_eq!(refused, Err(ProposeError::LevelTooLow { needed: 2, level: 1 }));
    let refused = a.propose(raise(Release::CURRENT.protocol + 1), PATIENCE).await;
    assert_eq!(refused, Err(ProposeError::Unknown(UnknownChange(10))));
    let newer = Change::Unknown { number: 99, fields: Vec::new() };
    let refused = a.propose(Command::once(newer), PATIENCE).await;
    assert_eq!(refused, Err(ProposeError::Unknown(UnknownChange(99))));
    assert_eq!(a.leadership().borrow().last_log, before, "nothing of it is in the log");
    a.propose(raise(2), PATIENCE).await.unwrap();
    a.propose(later, PATIENCE).await.unwrap();
    a.shutdown().await;
}
