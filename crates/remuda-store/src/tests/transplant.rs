//! States that go on without the nodes that replicated them.

use remuda_state::{Change, ClusterRecord, ClusterState, Command};

use super::cluster::{Cluster, applied, commit, has, id, leader, token, wait_for};
use crate::{OpenError, plant, salvage};

/// Far behind any log of this test.
const LATER: u64 = 1 << 40;

fn planted() -> ClusterState {
    let mut state = ClusterState::new();
    let cluster = "0123456789abcdefghjkmnpqrs".parse().expect("a cluster");
    let record = ClusterRecord { id: cluster, name: "x".to_owned(), created_ms: 1 };
    for (index, command) in
        [(LATER, Command::once(Change::Init(record))), (LATER + 1, token("kept"))]
    {
        state.apply(index, &command).into_result().expect("applied");
    }
    state
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planted_state_goes_on_and_is_replicated() {
    let cluster = Cluster::new();
    let state = planted();
    plant(&cluster.path("a"), &id("a"), &state).expect("planted");
    let again = plant(&cluster.path("a"), &id("a"), &state).expect_err("there is one");
    assert!(matches!(again, OpenError::Corrupt { .. }), "{again}");

    let first = cluster.start("a").await;
    assert_eq!(first.state().hash(), state.hash(), "the state is the one that was planted");
    let alone = [first.clone()];
    let index = commit(&alone, "after").await;
    assert!(first.is_initialized());
    assert!(index > LATER + 1, "{index}");
    assert_eq!(leader(&alone).await.leadership().borrow().voters, [id("a")].into());

    // Another one gets all of it, by the snapshot.
    let second = cluster.start("b").await;
    first.add_learner(&id("b"), Vec::new()).await.expect("added");
    wait_for(&first, "the learner to answer", |now| now.matched.contains_key(&id("b"))).await;
    first.set_voters([id("a"), id("b")].into()).await.expect("votes");
    let both = [first, second];
    let index = commit(&both, "both").await;
    for replica in &both {
        applied(replica, index).await;
        assert!(has(replica, "kept") && has(replica, "after"));
    }
    cluster.stop_all().await;
    let first = cluster.start("a").await;
    assert!(has(&first, "kept"), "it lasts");
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_node_gives_everything_that_has_reached_it() {
    let (cluster, replicas) = Cluster::voting(&["a", "b", "c"]).await;
    // More than one snapshot, and entries behind the last.
    let mut index = 0;
    for n in 0..50 {
        index = commit(&replicas, &format!("t{n}")).await;
    }
    for replica in &replicas {
        applied(replica, index).await;
    }
    let hashes: Vec<_> = replicas.iter().map(|replica| replica.state().tokens().count()).collect();
    let busy = salvage(&cluster.path("b"), &id("b")).await.expect_err("it runs");
    assert!(matches!(busy, OpenError::Locked { .. }), "{busy}");
    cluster.stop_all().await;
    for name in ["a", "b", "c"] {
        let state = salvage(&cluster.path(name), &id(name)).await.expect("read");
        assert_eq!(state.tokens().count(), hashes[0]);
        assert!(state.token(&"t49".parse().expect("a token")).is_some());
        assert!(state.applied() >= index);
    }
    let foreign = salvage(&cluster.path("a"), &id("x")).await.expect_err("of another node");
    assert!(matches!(foreign, OpenError::WrongNode { .. }), "{foreign}");
    let none = salvage(&cluster.path("nobody"), &id("a")).await.expect_err("nothing there");
    assert!(none.to_string().contains("nobody"), "{none}");
    assert!(!cluster.path("nobody").exists(), "looking makes nothing");
    // And the replicas start again as if nothing had been.
    let a = cluster.start("a").await;
    let b = cluster.start("b").await;
    commit(&[a, b], "again").await;
    cluster.stop_all().await;
}
