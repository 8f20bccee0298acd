//! Dead leaders and cut links.

use std::time::Duration;

use super::cluster::{
    Cluster, PATIENCE, TIMING, applied, commit, has, ids, leader, token, wait_for, within,
};
use crate::{ProposeError, Replica};

const SHORT: Duration = Duration::from_millis(500);

/// The replicas other than the one.
fn others(replicas: &[Replica], one: &Replica) -> Vec<Replica> {
    let name = one.name();
    replicas.iter().filter(|replica| replica.name() != name).cloned().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_leader_has_every_acknowledged_write() {
    let (cluster, mut replicas) = Cluster::voting(&["a", "b", "c"]).await;
    for round in 0..2 {
        let name = format!("round{round}");
        commit(&replicas, &name).await;
        let old = leader(&replicas).await;
        cluster.stop(old.name().as_str()).await;
        replicas = others(&replicas, &old);
        let new = leader(&replicas).await;
        assert!(has(&new, &name));
        replicas.push(cluster.start(old.name().as_str()).await);
    }
    let index = commit(&replicas, "end").await;
    for replica in &replicas {
        applied(replica, index).await;
        assert!(has(replica, "round0") && has(replica, "round1"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_restart_from_their_disks() {
    let (cluster, replicas) = Cluster::voting(&["a", "b", "c"]).await;
    for n in 0..50 {
        commit(&replicas, &format!("t{n}")).await;
    }
    let hash = leader(&replicas).await.state().tokens().count();
    cluster.stop_all().await;
    let mut replicas = Vec::new();
    for name in ["a", "b", "c"] {
        replicas.push(cluster.start(name).await);
    }
    let index = commit(&replicas, "after").await;
    for replica in &replicas {
        applied(replica, index).await;
        assert_eq!(replica.state().tokens().count(), hash + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_isolated_leader_acknowledges_nothing() {
    let (cluster, replicas) = Cluster::voting(&["a", "b", "c"]).await;
    commit(&replicas, "before").await;
    let old = leader(&replicas).await;
    cluster.cut(&[old.name().as_str()]);
    assert_eq!(old.propose(token("lost"), SHORT).await, Err(ProposeError::NoQuorum));
    assert_eq!(old.read_index(SHORT).await, Err(ProposeError::NoQuorum));
    let rest = others(&replicas, &old);
    let index = commit(&rest, "meanwhile").await;
    assert!(!has(&old, "meanwhile"));
    cluster.heal();
    applied(&old, index).await;
    assert!(has(&old, "meanwhile") && !has(&old, "lost"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_isolated_follower_does_not_stand_for_election_again_and_again() {
    let (cluster, replicas) = Cluster::voting(&["a", "b", "c"]).await;
    let old = leader(&replicas).await;
    let follower = others(&replicas, &old).remove(0);
    let term = wait_for(&old, "the term", |now| now.is_leader).await.term;
    cluster.cut(&[follower.name().as_str()]);
    let not_leader = follower.propose(token("x"), SHORT).await;
    assert!(matches!(not_leader, Err(ProposeError::NotLeader { .. })), "{not_leader:?}");
    // Ten election times pass. On a busy machine the first may pass before the guard has looked.
    tokio::time::sleep(TIMING.election_max * 10).await;
    let raised = follower.leadership().borrow().term;
    assert!(raised <= term + 1, "{term} became {raised}");
    cluster.heal();
    let index = commit(&replicas, "healed").await;
    applied(&follower, index).await;
    assert!(has(&follower, "healed"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_five_dead_do_not_matter_and_three_do() {
    let (cluster, replicas) = Cluster::voting(&["a", "b", "c", "d", "e"]).await;
    cluster.stop("d").await;
    cluster.stop("e").await;
    commit(&replicas[..3], "three").await;
    let leads = leader(&replicas[..3]).await;
    let dies = others(&replicas[..3], &leads).remove(0);
    cluster.stop(dies.name().as_str()).await;
    assert_eq!(leads.propose(token("two"), SHORT).await, Err(ProposeError::NoQuorum));
    let d = cluster.start("d").await;
    let living = [leads.clone(), others(&others(&replicas[..3], &leads), &dies).remove(0), d];
    commit(&living, "again").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stops_hands_over() {
    let (cluster, replicas) = Cluster::voting(&["a", "b", "c"]).await;
    commit(&replicas, "before").await;
    let old = leader(&replicas).await;
    assert!(within("hand_over", old.hand_over(PATIENCE)).await);
    let refused = old.propose(token("x"), SHORT).await;
    assert!(matches!(refused, Err(ProposeError::NotLeader { leader: Some(_) })), "{refused:?}");
    cluster.stop(old.name().as_str()).await;
    let rest = others(&replicas, &old);
    let new = leader(&rest).await;
    assert!(has(&new, "before"));
    commit(&rest, "after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_voter_has_nobody_to_hand_over_to() {
    let cluster = Cluster::new();
    let a = cluster.start("a").await;
    within("bootstrap", a.bootstrap(Vec::new())).await.unwrap();
    assert!(!within("hand_over", a.hand_over(PATIENCE)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_for_others_are_refused() {
    use crate::rpc::{Envelope, Request};
    let (_cluster, replicas) = Cluster::voting(&["a", "b", "c"]).await;
    let call = |to: &str| {
        let (from, to) = (super::cluster::id("b"), super::cluster::id(to));
        let envelope = Envelope { from, to, cluster: None, request: Request::Ping };
        bytes::Bytes::from(remuda_state::encode(&envelope))
    };
    replicas[0].serve(call("a")).await.unwrap();
    assert_eq!(replicas[0].serve(call("b")).await.unwrap_err().code, "wrong_node");
    for garbage in [&b""[..], b"\xff\xff\xff\xff", &[0; 100]] {
        let garbage = bytes::Bytes::copy_from_slice(garbage);
        assert_eq!(replicas[0].serve(garbage).await.unwrap_err().code, "invalid");
    }
    assert_eq!(replicas[0].leadership().borrow().voters, ids(&["a", "b", "c"]));
}
