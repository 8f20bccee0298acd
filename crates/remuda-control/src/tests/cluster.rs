//! Clusters form, tell about themselves, keep tokens and lose members in good order.

use std::sync::Arc;

use remuda_link::{JoinError, NodeCertificate};
use remuda_model::{ErrorKind, NodeStatus, Role};
use remuda_state::{Change, Command, Scope};
use remuda_wire::message::control::Call;

use super::fixture::{Cluster, DEADLINE, FakeWorker, Node, Start, id, link_as, request, until};
use crate::Consistency;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_control_nodes_become_three_voters_and_see_the_same() {
    let cluster = Cluster::start(&["c1", "c2", "c3"]).await;
    for node in &cluster.nodes {
        let view = until("links between all", async || {
            let view = node.control.cluster(Consistency::Linearizable).await;
            let view = view.map_err(|failure| failure.to_string())?;
            // No worker part runs here, and nothing else is amiss.
            match view.problems.as_slice() {
                [only] if only.message == "nodes not connected: c1, c2, c3" => Ok(view),
                others => Err(format!("{others:?}")),
            }
        });
        let view = view.await;
        assert_eq!((&view.id, view.name.as_str()), (&cluster.id, "test"));
        assert_eq!(view.voters, [id("c1"), id("c2"), id("c3")]);
        for control in &view.controls {
            assert!(control.active && control.linked, "{control:?}");
            let health = control.health.as_ref().expect("asked");
            assert_eq!(health.leader, view.leader, "{control:?}");
        }
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_made_anywhere_is_known_everywhere_until_it_is_revoked() {
    let cluster = Cluster::start(&["c1", "c2", "c3"]).await;
    for node in &cluster.nodes {
        let made = node.control.create_token("ci", Scope::Operate, None).await;
        let (record, text) = made.expect("made");
        for other in &cluster.nodes {
            other.control.tokens().await.expect("read after the write");
            let principal = other.control.authenticate(&text).expect("known");
            assert_eq!((&principal.token, principal.scope), (&record.id, Scope::Operate));
            assert!(other.control.authenticate(&cluster.admin).is_ok());
        }
        node.control.revoke_token(&record.id).await.expect("revoked");
        for other in &cluster.nodes {
            other.control.tokens().await.expect("read after the write");
            let failure = other.control.authenticate(&text).expect_err("revoked");
            assert_eq!(failure.kind, ErrorKind::Unauthenticated);
        }
        let again = node.control.revoke_token(&record.id).await.expect_err("gone");
        assert_eq!(again.kind, ErrorKind::NotFound);
    }
    let control = &cluster.nodes[1].control;
    let [worker, other] = [Role::Worker, Role::Control].map(|role| control.join_token(role));
    assert_ne!(worker.expect("a token"), other.expect("a token"));
    assert!(control.join_token(Role::Client).is_err());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_node_that_leaves_gives_up_vote_and_workers_and_may_come_back() {
    let mut cluster = Cluster::start(&["c1", "c2", "c3"]).await;
    let name = cluster.worker_of("c3");
    let worker = FakeWorker::start(&cluster, &name);
    assert_eq!(worker.connected().await, id("c3"));
    cluster.nodes[2].control.leave().await;
    cluster.settled(&["c1", "c2"], 1).await;
    until("the worker has moved", async || {
        let at = worker.session.borrow().0.clone();
        if at.is_some() && at != Some(id("c3")) { Ok(()) } else { Err(format!("{at:?}")) }
    })
    .await;
    let node = cluster.nodes.pop().expect("three");
    node.kill().await;
    let reply = cluster.nodes[0].control.work(&worker.id, request("1"), DEADLINE).await;
    assert!(reply.is_ok(), "{reply:?}");

    let start = Start {
        name: "c3",
        generation: 2,
        cluster: cluster.id.clone(),
        authority: None,
        classes: Vec::new(),
        dir: Arc::clone(&node.dir),
    };
    let back = Node::start(start).await;
    let (_, controls) = tokio::sync::watch::channel(cluster.urls());
    back.control.enlist(controls);
    cluster.nodes.push(back);
    cluster.settled(&["c1", "c2", "c3"], 3).await;
    assert!(cluster.nodes[2].control.join_token(Role::Worker).is_ok(), "kept on disk");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_control_node_is_removed_for_good() {
    let cluster = Cluster::start(&["c1", "c2", "c3"]).await;
    cluster.nodes[2].kill().await;
    let control = &cluster.nodes[1].control;
    control.remove_node(&id("c3"), false).await.expect("removed");
    cluster.settled(&["c1", "c2"], 1).await;
    let failure = control.node(&id("c3"), Consistency::Linearizable).await.expect_err("gone");
    assert_eq!(failure.kind, ErrorKind::NotFound);
    let last = control.remove_node(&id("c2"), true).await.expect_err("itself");
    assert_eq!(last.code, "removes_itself");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connected_worker_is_removed_by_force_only_and_comes_back_when_it_joins_anew() {
    let cluster = Cluster::start(&["c1"]).await;
    let control = &cluster.nodes[0].control;
    let worker = FakeWorker::start(&cluster, "w1");
    worker.connected().await;
    until("recorded", async || {
        control.node(&id("w1"), Consistency::Stale).await.map_err(|failure| failure.message)
    })
    .await;
    let refused = control.remove_node(&id("w1"), false).await.expect_err("connected");
    assert_eq!(refused.code, "node_connected");
    control.remove_node(&id("w1"), true).await.expect("by force");
    worker.refusal("node_removed").await;
    let gone = control.node(&id("w1"), Consistency::Linearizable).await.expect_err("forgotten");
    assert_eq!(gone.kind, ErrorKind::NotFound);
    worker.stop().await;

    let plan = super::fixture::Plan {
        name: "w1".into(),
        generation: 2,
        controls: cluster.urls(),
        unreachable: Vec::new(),
    };
    let again = FakeWorker::with(&cluster, plan);
    again.refusal("node_removed").await;
    assert_eq!(again.n_sessions(), 0, "a later boot is not enough");
    join_as(&cluster, "w1").await.expect("joins anew");
    again.connected().await;
    until("recorded again", async || match control.node(&id("w1"), Consistency::Stale).await {
        Ok(view) if view.status == NodeStatus::Ready => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    again.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_living_control_node_is_removed_by_force_and_stays_away_until_it_starts_again() {
    let cluster = Cluster::start(&["c1", "c2", "c3"]).await;
    let control = &cluster.nodes[0].control;
    control.remove_node(&id("c3"), true).await.expect("removed");
    cluster.settled(&["c1", "c2"], 1).await;
    let removed = &cluster.nodes[2].control;
    let refused = until("told so", async || match removed.enlist_once().await {
        Err(failure) if failure.code == "node_removed" => Ok(failure),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert!(refused.hint.is_some());
    let controls = control.shared.replica.state().controls();
    assert_eq!(controls, [id("c1"), id("c2")]);
    // It cannot change the state any more, nor take part in the replication.
    let change = Command::once(Change::RevokeToken("t".parse().expect("an id")));
    let propose = Call::Propose(remuda_state::encode(&change));
    until("not obeyed", async || match removed.call_control(&id("c1"), &propose, DEADLINE).await {
        Err(failure) if failure.code == "node_removed" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removing_a_node_revokes_its_certificates_and_closes_its_links_everywhere() {
    let cluster = Cluster::start(&["c1", "c2"]).await;
    let first = join_as(&cluster, "w1").await.expect("joins").read().expect("a certificate");
    let worker = FakeWorker::start(&cluster, "w1");
    worker.connected().await;
    let control = &cluster.nodes[0].control;
    // The list of nodes shows it earlier, as its owner sees it.
    until("recorded", async || {
        let state = control.shared.replica.state();
        state.node(&id("w1")).map(drop).ok_or_else(|| "no record".to_owned())
    })
    .await;
    worker.stop().await;
    let mut links = Vec::new();
    for node in &cluster.nodes {
        assert!(!node.control.admission().is_revoked(&id("w1"), &first.serial));
        links.push(link_as(&cluster, "w1", &node.url).await);
    }
    let other = link_as(&cluster, "w2", &cluster.nodes[0].url).await;
    control.remove_node(&id("w1"), true).await.expect("removed");
    for link in &links {
        tokio::time::timeout(DEADLINE, link.closed()).await.expect("closed");
    }
    assert!(!other.is_closed());
    let second = join_as(&cluster, "w1").await.expect("joins anew").read().expect("a certificate");
    for node in &cluster.nodes {
        node.control.tokens().await.expect("has all that was committed");
        let admission = node.control.admission();
        assert!(admission.is_revoked(&id("w1"), &first.serial), "at {}", node.id);
        assert!(!admission.is_revoked(&id("w1"), &second.serial), "at {}", node.id);
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_token_is_not_enough_to_become_a_node_that_is_known() {
    let cluster = Cluster::start(&["c1", "c2"]).await;
    let worker = FakeWorker::start(&cluster, "w1");
    worker.connected().await;
    let control = &cluster.nodes[0].control;
    // The list of nodes shows it earlier, as its owner sees it.
    until("recorded", async || {
        let state = control.shared.replica.state();
        state.node(&id("w1")).map(drop).ok_or_else(|| "no record".to_owned())
    })
    .await;
    worker.stop().await;
    for name in ["w1", "c2"] {
        let refused = match join_as(&cluster, name).await {
            Err(JoinError::Refused(failure)) => failure,
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(refused.code, "node_id_in_use", "{name}");
        assert!(refused.hint.is_some_and(|hint| hint.contains("remuda node remove")));
    }
    control.remove_node(&id("w1"), true).await.expect("removed");
    // Where no certificates are the rule, as here, a link that comes while the removal is carried
    // out is closed with those of the removed node.
    until("let in again", async || {
        join_as(&cluster, "w1").await.map(drop).map_err(|error| format!("{error:?}"))
    })
    .await;
    cluster.stop().await;
}

/// Asks for a certificate for a worker of this name, as first contact does.
async fn join_as(cluster: &Cluster, name: &str) -> Result<NodeCertificate, JoinError> {
    let link = link_as(cluster, name, &cluster.nodes[0].url).await;
    let joined = remuda_link::renew(&link, &id(name), Role::Worker).await;
    link.close("asked");
    joined.map(|(certificate, _)| certificate)
}
