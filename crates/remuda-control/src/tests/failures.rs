//! Control nodes die; workers and writes go on.

use std::collections::BTreeMap;

use remuda_model::{Epoch, Labels, NodeId, NodeStatus};
use remuda_state::Scope;

use super::fixture::{Cluster, DEADLINE, FakeWorker, Say, id, request, until};
use crate::Consistency;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_a_control_node_dies_only_its_own_workers_move() {
    let cluster = Cluster::start(&["c1", "c2", "c3"]).await;
    let workers: Vec<FakeWorker> =
        (0..9).map(|number| FakeWorker::start(&cluster, &format!("w{number}"))).collect();
    let mut before: BTreeMap<NodeId, NodeId> = BTreeMap::new();
    for worker in &workers {
        before.insert(worker.id.clone(), worker.connected().await);
    }
    // The leader is the hardest to lose.
    let leader = cluster.nodes[0].control.shared.replica.leadership().borrow().leader.clone();
    let leader = leader.expect("a leader");
    let epoch = cluster.nodes[0].control.shared.replica.state().epoch();
    cluster.node(&leader).kill().await;
    let left: Vec<_> = cluster.nodes.iter().filter(|node| node.id != leader).collect();
    let made = left[0].control.create_token("after", Scope::Read, None).await;
    assert!(made.is_ok(), "{made:?}");
    until("the dead one owns nothing", async || {
        let controls = left[1].control.shared.replica.state().controls();
        if controls.contains(&leader) { Err(format!("{controls:?}")) } else { Ok(()) }
    })
    .await;
    for worker in &workers {
        until("has an owner that lives", async || {
            let view = left[0].control.node(&worker.id, Consistency::Stale).await;
            match view {
                Ok(view) if view.status == NodeStatus::Ready => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        for node in &left {
            let reply = node.control.work(&worker.id, request("1"), DEADLINE).await;
            assert!(reply.is_ok(), "{reply:?}");
        }
        if before[&worker.id] != leader {
            assert_eq!(worker.n_sessions(), 1, "{} was not touched", worker.id);
        }
    }
    assert!(left[0].control.shared.replica.state().epoch() > epoch);
    assert!(epoch > Epoch(0));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_control_node_takes_over_only_the_workers_that_are_its_own() {
    let mut cluster = Cluster::start(&["c1"]).await;
    let workers: Vec<FakeWorker> =
        (0..8).map(|number| FakeWorker::start(&cluster, &format!("w{number}"))).collect();
    for worker in &workers {
        worker.connected().await;
    }
    let authority = cluster.nodes[0].control.shared.authority().expect("an authority");
    let start = super::fixture::Start {
        name: "c2",
        generation: 1,
        cluster: cluster.id.clone(),
        authority: Some(authority),
        classes: Vec::new(),
        dir: std::sync::Arc::new(tempfile::tempdir().expect("a directory")),
    };
    let second = super::fixture::Node::start(start).await;
    let (_, controls) = tokio::sync::watch::channel(cluster.urls());
    second.control.enlist(controls);
    cluster.nodes.push(second);
    cluster.settled(&["c1", "c2"], 1).await;
    let mut moved = 0;
    for worker in &workers {
        let owner = cluster.owner(worker.id.as_str()).id.clone();
        until("at its owner", async || {
            let at = worker.session.borrow().0.clone();
            if at.as_ref() == Some(&owner) { Ok(()) } else { Err(format!("{at:?}")) }
        })
        .await;
        let expected = if owner == id("c2") { 2 } else { 1 };
        moved += usize::from(owner == id("c2"));
        assert_eq!(worker.n_sessions(), expected, "{}", worker.id);
        for node in &cluster.nodes {
            let reply = node.control.work(&worker.id, request("1"), DEADLINE).await;
            assert!(reply.is_ok(), "{reply:?}");
        }
    }
    assert!(moved > 0, "some workers are the new node's");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_nothing_is_written_and_known_workers_still_work() {
    let cluster = Cluster::start(&["c1", "c2", "c3"]).await;
    let worker = FakeWorker::start(&cluster, &cluster.worker_of("c1"));
    worker.connected().await;
    cluster.nodes[1].kill().await;
    cluster.nodes[2].kill().await;
    let control = &cluster.nodes[0].control;
    let reply = control.work(&worker.id, request("1"), DEADLINE).await;
    assert!(reply.is_ok(), "{reply:?}");
    assert!(control.nodes(Consistency::Stale).await.is_ok());
    let refused = control.catch_up(std::time::Duration::from_millis(300)).await;
    assert_eq!(refused.expect_err("no majority").code, "no_leader");
    let view = control.cluster(Consistency::Stale).await.expect("a view");
    let down = view.problems.iter().find(|problem| problem.code == "voter_unreachable");
    assert!(down.is_some_and(|down| down.message.contains("c2, c3")), "{:?}", view.problems);
    assert!(view.controls.iter().all(|control| control.active), "nobody is declared dead");
    assert!(view.controls.iter().all(|control| control.linked == control.lost_ms.is_none()));
    assert_eq!(worker.n_sessions(), 1);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_that_a_worker_changes_are_kept() {
    let cluster = Cluster::start(&["c1", "c2"]).await;
    let worker = FakeWorker::start(&cluster, &cluster.worker_of("c2"));
    worker.connected().await;
    let labels: Labels = "a;b=1".parse().expect("labels");
    worker.say.send(Say::Labels(labels.clone())).await.expect("runs");
    until("committed", async || {
        let state = cluster.nodes[0].control.shared.replica.state();
        match state.node(&worker.id) {
            Some(record) if record.labels == labels => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    worker.stop().await;
    until("kept without the worker", async || {
        let view = cluster.nodes[1].control.node(&worker.id, Consistency::Linearizable).await;
        match view {
            Ok(view) if view.status == NodeStatus::NotConnected && view.labels == labels => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    cluster.stop().await;
}
