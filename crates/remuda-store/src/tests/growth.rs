//! Founding, growing, shrinking.

use std::{collections::BTreeSet, time::Duration};

use remuda_model::{Generation, Labels, Revision, Roles};
use remuda_state::{Change, ClusterRecord, Command, NodeRecord, Outcome};

use super::cluster::{
    Cluster, PATIENCE, TIMING, applied, commit, has, id, ids, leader, token, wait_for, within,
};
use crate::{BootstrapError, MembershipError, ProposeError};

const SHORT: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_is_a_cluster() {
    let cluster = Cluster::new();
    let replica = cluster.start("a").await;
    assert!(!replica.is_initialized());
    let refused = replica.propose(token("early"), SHORT).await;
    assert_eq!(refused, Err(ProposeError::NotLeader { leader: None }));
    within("bootstrap", replica.bootstrap(vec![token("t")])).await.unwrap();
    assert!(replica.is_initialized());
    assert!(has(&replica, "t"));
    let done = replica.propose(token("t"), PATIENCE).await.unwrap();
    assert_eq!(done.applied.outcome, Ok(Outcome::Unchanged), "{done:?}");
    assert_eq!(replica.read_index(PATIENCE).await, Ok(done.index));
    replica.shutdown().await;
    assert_eq!(replica.propose(token("late"), SHORT).await, Err(ProposeError::Stopped));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_founded_once() {
    let cluster = Cluster::new();
    let replica = cluster.start("a").await;
    let record = ClusterRecord {
        id: "0123456789abcdefghjkmnpqrs".parse().unwrap(),
        name: "test".to_owned(),
        created_ms: 1,
    };
    let init = Command::once(Change::Init(record));
    // The second attempt goes on after a crash that came before the cluster had its identity.
    within("bootstrap", replica.bootstrap(Vec::new())).await.unwrap();
    within("bootstrap", replica.bootstrap(vec![init.clone()])).await.unwrap();
    let again = within("bootstrap", replica.bootstrap(vec![init])).await;
    assert_eq!(again, Err(BootstrapError::Initialized));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_command_id_is_committed_and_done_once() {
    let cluster = Cluster::new();
    let replica = cluster.start("a").await;
    within("bootstrap", replica.bootstrap(Vec::new())).await.unwrap();
    let command = Command { id: Some([1; 16]), ..token("t") };
    let first = replica.propose(command.clone(), PATIENCE).await.unwrap();
    let second = replica.propose(command, PATIENCE).await.unwrap();
    assert!(matches!(first.applied.outcome, Ok(Outcome::Changed(_))));
    assert_eq!(first.applied, second.applied);
    assert_ne!(first.index, second.index);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn voters_grow_to_five_and_shrink_again() {
    let names = ["a", "b", "c", "d", "e"];
    let (cluster, mut replicas) = Cluster::voting(&names).await;
    let index = commit(&replicas, "five").await;
    for replica in &replicas {
        applied(replica, index).await;
        assert!(has(replica, "first") && has(replica, "five"));
    }
    let hashes: BTreeSet<[u8; 32]> = replicas
        .iter()
        .filter(|replica| replica.state().applied() == index)
        .map(|replica| replica.state().hash())
        .collect();
    assert_eq!(hashes.len(), 1, "equal at an equal index");
    let a = leader(&replicas[..1]).await;
    within("remove", a.remove(&id("e"))).await.unwrap();
    within("set_voters", a.set_voters(ids(&["a", "b", "c"]))).await.unwrap();
    let now = wait_for(&a, "the change to be seen", |now| now.voters.len() == 3).await;
    assert_eq!((now.voters, now.learners), (ids(&["a", "b", "c"]), ids(&["d"])));
    cluster.stop("e").await;
    replicas.pop();
    let index = commit(&replicas, "four").await;
    applied(&replicas[3], index).await;
    within("remove", a.remove(&id("d"))).await.unwrap();
    within("remove", a.remove(&id("nobody"))).await.unwrap();
    let none = within("set_voters", a.set_voters(BTreeSet::new())).await;
    assert_eq!(none, Err(MembershipError::NoVoter));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_and_a_dead_learner_get_no_vote() {
    let cluster = Cluster::new();
    let a = cluster.start("a").await;
    within("bootstrap", a.bootstrap(Vec::new())).await.unwrap();
    let stranger = within("set_voters", a.set_voters(ids(&["a", "b"]))).await;
    assert_eq!(stranger, Err(MembershipError::UnknownNode(id("b"))));
    within("add_learner", a.add_learner(&id("b"), Vec::new())).await.unwrap();
    let dead = within("set_voters", a.set_voters(ids(&["a", "b"]))).await;
    assert_eq!(dead, Err(MembershipError::Behind(id("b"))));
    let only = within("remove", a.remove(&id("a"))).await;
    assert_eq!(only, Err(MembershipError::NoVoter));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_of_a_member_can_change() {
    let cluster = Cluster::new();
    let a = cluster.start("a").await;
    within("bootstrap", a.bootstrap(Vec::new())).await.unwrap();
    within("add_learner", a.add_learner(&id("b"), Vec::new())).await.unwrap();
    let urls = vec!["remuda://10.0.0.2:1973".parse().unwrap()];
    within("add_learner", a.add_learner(&id("b"), urls.clone())).await.unwrap();
    let now = wait_for(&a, "the address", |now| now.addresses.get(&id("b")) == Some(&urls)).await;
    assert_eq!(now.learners, ids(&["b"]));
}

fn large_node(n: usize) -> Command {
    Command::once(Change::PutNode(NodeRecord {
        id: id(&format!("n{n}")),
        roles: Roles::WORKER,
        generation: Generation(1),
        version: String::new(),
        addresses: Vec::new(),
        labels: Labels::default(),
        attributes: [("large".to_owned(), "x".repeat(60_000))].into(),
        active: false,
        created: Revision(0),
        modified: Revision(0),
    }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_learner_gets_a_snapshot() {
    let cluster = Cluster::new();
    let a = cluster.start("a").await;
    within("bootstrap", a.bootstrap(vec![token("t0")])).await.unwrap();
    // More than one call carries.
    for n in 0..70 {
        a.propose(large_node(n), PATIENCE).await.unwrap();
    }
    let mut last = 0;
    for n in 1..80 {
        last = a.propose(token(&format!("t{n}")), PATIENCE).await.unwrap().index;
    }
    // The log alone cannot tell everything any more.
    within("a purge", async {
        while a.metrics().purged.is_none() {
            tokio::time::sleep(TIMING.heartbeat).await;
        }
    })
    .await;
    cluster.stop("a").await;
    let a = cluster.start("a").await;
    let b = cluster.start("b").await;
    wait_for(&a, "the only voter to lead", |now| now.is_leader).await;
    within("add_learner", a.add_learner(&id("b"), Vec::new())).await.unwrap();
    applied(&b, last).await;
    assert!(has(&b, "t0") && has(&b, "t79"));
    assert_eq!(b.state().n_nodes(), 70);
    assert!(remuda_state::encode(&*b.state()).len() > crate::rpc::PART_BYTES);
    cluster.stop("b").await;
    let b = cluster.start("b").await;
    assert!(has(&b, "t0"), "the snapshot is on its disk");
}

/// On one thread, so that nothing of the replica runs between its opening and the question.
#[tokio::test]
async fn a_replica_knows_what_it_is_once_it_is_open() {
    let cluster = Cluster::new();
    let a = cluster.start("a").await;
    within("bootstrap", a.bootstrap(vec![token("first")])).await.unwrap();
    cluster.stop("a").await;
    let again = cluster.start("a").await;
    assert!(again.is_initialized());
    let last_log = again.leadership().borrow().last_log;
    assert!(last_log > 0, "it has a log, up to {last_log}");
}
