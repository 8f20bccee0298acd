//! Workers are placed, and work reaches them from every control node.

use std::time::Duration;

use bytes::Bytes;
use remuda_link::{Link, Priority, Stream};
use remuda_model::{ErrorKind, NodeStatus};
use remuda_runtime::CancellationToken;
use remuda_wire::message::{
    ANNOUNCE, SESSION,
    announce::{Announce, Answer, Placement},
    output::Chunk,
    session::{FromOwner, FromWorker},
    work,
};

use super::fixture::{
    Cluster, DEADLINE, FakeWorker, Node, Plan, id, link_as, request, serve_work, until,
};
use crate::{Consistency, TaskFilter};

fn announce(name: &str, generation: u64) -> Announce {
    Announce {
        node: id(name),
        generation: remuda_model::Generation(generation),
        boot: generation,
        roles: remuda_model::Roles::WORKER,
        version: "1".into(),
        addresses: Vec::new(),
        labels: remuda_model::Labels::default(),
        attributes: std::collections::BTreeMap::new(),
        epoch: remuda_model::Epoch(0),
        unreachable: Vec::new(),
    }
}

async fn echoes(node: &Node, worker: &FakeWorker) {
    let reply = node.control.work(&worker.id, request("[1]"), DEADLINE).await;
    assert_eq!(reply, Ok(work::Done::Payload(b"[1]".to_vec())), "at {}", node.id);
}

/// Waits until every control node knows the worker.
async fn known(cluster: &Cluster, worker: &FakeWorker) {
    until("known", async || {
        for node in &cluster.nodes {
            let view = node.control.node(&worker.id, Consistency::Stale).await;
            if !view.as_ref().is_ok_and(|view| view.status == NodeStatus::Ready) {
                return Err(format!("{}: {view:?}", node.id));
            }
        }
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_control_node_reaches_a_worker_by_way_of_its_owner() {
    let cluster = Cluster::start(&["c1", "c2", "c3"]).await;
    let mut workers = Vec::new();
    for name in ["c1", "c2", "c3"] {
        let worker = FakeWorker::start(&cluster, &cluster.worker_of(name));
        assert_eq!(worker.connected().await, id(name), "redirected to its owner");
        workers.push(worker);
    }
    for worker in &workers {
        known(&cluster, worker).await;
        for node in &cluster.nodes {
            echoes(node, worker).await;
            let task = "t1".parse().expect("a task");
            let mut output = node.control.output(&worker.id, &task, 5, true).await.expect("opens");
            let first = output.next().await.expect("sent");
            assert!(matches!(&first, Some(Chunk::Data { bytes, next: 6, .. }) if bytes == b"t1"));
            assert!(matches!(output.next().await, Ok(Some(Chunk::End(_)))));
            assert_eq!(output.next().await, Ok(None));
        }
    }
    let nodes = cluster.nodes[0].control.nodes(Consistency::Linearizable).await.expect("nodes");
    assert_eq!(nodes.len(), 6);
    assert_eq!(nodes.iter().filter(|node| node.status == NodeStatus::Ready).count(), 3);
    let tasks = cluster.nodes[0].control.tasks(TaskFilter::default()).await.expect("tasks");
    assert_eq!(tasks.unreachable, [id("c1"), id("c2"), id("c3")], "they have no worker part");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_cannot_dial_its_owner_is_reached_through_another_node() {
    let cluster = Cluster::start(&["c1", "c2", "c3"]).await;
    let name = cluster.worker_of("c1");
    let through = &cluster.nodes[1];
    let plan = Plan {
        name,
        generation: 1,
        controls: vec![through.url.clone()],
        unreachable: vec![id("c1")],
    };
    let worker = FakeWorker::with(&cluster, plan);
    assert_eq!(worker.connected().await, id("c2"));
    known(&cluster, &worker).await;
    for node in &cluster.nodes {
        echoes(node, &worker).await;
        let task = "t1".parse().expect("a task");
        let mut output = node.control.output(&worker.id, &task, 0, true).await.expect("opens");
        assert!(matches!(output.next().await, Ok(Some(Chunk::Data { .. }))), "at {}", node.id);
    }
    let view = cluster.nodes[2].control.node(&worker.id, Consistency::Stale).await.expect("known");
    assert_eq!((view.owner, view.via), (Some(id("c1")), Some(id("c2"))));
    worker.stop().await;
    let failure = until("noticed", async || {
        match cluster.nodes[2].control.work(&worker.id, request("1"), DEADLINE).await {
            Err(failure) if failure.kind == ErrorKind::NotConnected => Ok(failure),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert!(failure.hint.is_some());
    cluster.stop().await;
}

/// Opens a session as this worker and waits until it is welcome.
async fn session_as(worker: &str, link: &Link) -> Stream {
    let mut stream = link.open(SESSION, Priority::Events).await.expect("opens");
    let hello = FromWorker::Hello {
        announce: Box::new(announce(worker, 1)),
        epoch: remuda_model::Epoch(0),
        status: NodeStatus::Ready,
        running_tasks: 0,
        next_event: 1,
        last_event: 0,
    };
    stream.send(&hello).await.expect("sent");
    let welcome = stream.recv::<FromOwner>(1 << 16).await;
    assert!(matches!(welcome, Ok(Some(FromOwner::Welcome { .. }))), "{welcome:?}");
    stream
}

/// A worker that was relayed finds a way to its owner: no call falls between the two sessions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_on_while_a_session_takes_the_place_of_a_relayed_one() {
    let cluster = Cluster::start(&["c1", "c2"]).await;
    let name = cluster.worker_of("c1");
    let (relaying, owner) = (&cluster.nodes[1], &cluster.nodes[0]);
    let through = link_as(&cluster, &name, &relaying.url).await;
    let direct = link_as(&cluster, &name, &owner.url).await;
    for link in [&through, &direct] {
        serve_work(link);
    }
    let done = CancellationToken::new();
    let caller = tokio::spawn({
        let (control, node, done) = (owner.control.clone(), id(&name), done.clone());
        async move {
            let mut failures = Vec::new();
            let mut n_calls = 0;
            while !done.is_cancelled() {
                match control.work(&node, request("1"), DEADLINE).await {
                    Ok(_) => n_calls += 1,
                    // Before the first session.
                    Err(_) if n_calls == 0 => tokio::task::yield_now().await,
                    Err(failure) => failures.push(failure),
                }
            }
            (n_calls, failures)
        }
    });
    let mut former = None;
    for _ in 0..50 {
        let relayed = session_as(&name, &through).await;
        drop(former.replace(session_as(&name, &direct).await));
        drop(relayed);
    }
    done.cancel();
    let (n_calls, failures) = caller.await.expect("no panic");
    assert!(n_calls > 0, "calls were made");
    assert!(failures.is_empty(), "{n_calls} calls, {failures:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn announcements_have_their_answers() {
    let cluster = Cluster::start(&["c1", "c2"]).await;
    let name = cluster.worker_of("c1");
    let worker = FakeWorker::start(&cluster, &name);
    worker.connected().await;
    let stranger = cluster.stranger(&name);
    let owner = cluster.owner(&name);
    let announce = |unreachable: &[&str], generation| Announce {
        unreachable: unreachable.iter().map(|name| id(name)).collect(),
        ..announce(&name, generation)
    };
    let epoch = owner.control.shared.replica.state().epoch();
    let asks = async |node: &Node, announce: Announce| -> Answer {
        let link = link_as(&cluster, &name, &node.url).await;
        let body: Bytes = remuda_wire::encode(&announce);
        let answer = link.call(ANNOUNCE, Priority::Control, body, DEADLINE).await;
        link.close("asked");
        remuda_wire::decode(&answer.expect("an answer")).expect("readable")
    };
    let addresses = vec![owner.url.clone()];
    let redirect = Placement::Redirect { epoch, owner: owner.id.clone(), addresses };
    assert_eq!(asks(stranger, announce(&[], 1)).await, Ok(redirect));
    let relay = Placement::Relay { epoch, owner: owner.id.clone() };
    assert_eq!(asks(stranger, announce(&["c1"], 1)).await, Ok(relay));
    assert_eq!(asks(owner, announce(&[], 1)).await, Ok(Placement::Owned { epoch }));
    let copy = Announce { boot: 7, ..announce(&[], 1) };
    let in_use = asks(owner, copy).await.expect_err("another process");
    assert_eq!(in_use.code, "node_id_in_use");
    assert_eq!(asks(owner, announce(&[], 2)).await, Ok(Placement::Owned { epoch }), "restarted");
    let other = Announce { node: id("w-other"), ..announce(&[], 1) };
    let mismatch = asks(owner, other).await.expect_err("not its name");
    assert_eq!(mismatch.code, "node_id_mismatch");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_under_the_name_of_a_control_node_gets_no_session() {
    let cluster = Cluster::start(&["c1", "c2"]).await;
    let impostor = FakeWorker::start(&cluster, "c2");
    impostor.refusal("other_roles").await;
    impostor.stop().await;
    // Whoever does without the announcement is refused as well.
    let owner = cluster.owner("c2");
    let link = link_as(&cluster, "c2", &owner.url).await;
    let mut stream = link.open(SESSION, Priority::Events).await.expect("opens");
    let hello = FromWorker::Hello {
        announce: Box::new(announce("c2", 9)),
        epoch: remuda_model::Epoch(0),
        status: NodeStatus::Ready,
        running_tasks: 0,
        next_event: 1,
        last_event: 0,
    };
    stream.send(&hello).await.expect("sent");
    let refused = stream.recv::<FromOwner>(1 << 16).await;
    assert!(matches!(refused, Err(remuda_link::StreamError::Reset { .. })), "{refused:?}");
    for node in &cluster.nodes {
        let state = node.control.shared.replica.state();
        assert_eq!(state.controls(), [id("c1"), id("c2")], "at {}", node.id);
    }
    cluster.stop().await;
}

/// The class uses the very kind and code by which a call says that nothing was sent, while the
/// worker is moving and would be looked for again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_job_class_refuses_is_not_asked_again() {
    let cluster = Cluster::start(&["c1", "c2"]).await;
    let workers = ["c1", "c2"].map(|name| FakeWorker::start(&cluster, &cluster.worker_of(name)));
    for worker in &workers {
        worker.connected().await;
        known(&cluster, worker).await;
    }
    for (number, node) in (1..).zip(&cluster.nodes) {
        for worker in &workers {
            let reply = node.control.work(&worker.id, request("\"refuse\""), DEADLINE).await;
            let failure = reply.expect_err("refused");
            assert_eq!(failure.message, "the robot is not connected");
            let asked = worker.asked.load(std::sync::atomic::Ordering::SeqCst);
            assert_eq!(asked, number, "{} by way of {}", worker.id, node.id);
        }
    }
    // Whoever passes the answer on keeps it apart.
    for node in &cluster.nodes {
        let apart = node.control.work_apart(&workers[0].id, request("\"refuse\""), DEADLINE).await;
        assert!(matches!(apart, Ok(work::Done::Refused(_))), "{apart:?}");
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_say_whether_anything_was_done() {
    let cluster = Cluster::start(&["c1", "c2"]).await;
    let name = cluster.worker_of("c1");
    let worker = FakeWorker::start(&cluster, &name);
    worker.connected().await;
    known(&cluster, &worker).await;
    let kind = |reply: Result<work::Done, remuda_model::Failure>| reply.expect_err("fails").kind;
    for node in &cluster.nodes {
        let unknown = node.control.work(&id("nobody"), request("1"), DEADLINE).await;
        assert_eq!(kind(unknown), ErrorKind::NotFound);
        let limit = Duration::from_millis(200);
        let hangs = node.control.work(&worker.id, request("\"hang\""), limit).await;
        assert_eq!(kind(hangs), ErrorKind::TimedOut, "at {}", node.id);
        // A control node has a record and, here, no worker part.
        let away = node.control.work(&id("c2"), request("1"), DEADLINE).await;
        assert_eq!(kind(away), ErrorKind::NotConnected);
    }
    let node = cluster.stranger(&name).control.clone();
    let wait = tokio::spawn({
        let worker = worker.id.clone();
        async move { node.work(&worker, request("\"hang\""), DEADLINE).await }
    });
    until("sent", async || {
        // The call is under way once the worker's link carries it; a second one shows the order.
        let reply = cluster.nodes[1].control.work(&worker.id, request("2"), DEADLINE).await;
        reply.map_err(|failure| failure.message)
    })
    .await;
    worker.stop().await;
    let lost = kind(wait.await.expect("no panic"));
    assert!(matches!(lost, ErrorKind::OutcomeUnknown | ErrorKind::NotConnected), "{lost}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_nothing_is_asked_again_when_the_answer_is_lost() {
    let cluster = Cluster::start(&["c1"]).await;
    let worker = FakeWorker::start(&cluster, "w1");
    worker.connected().await;
    known(&cluster, &worker).await;
    let task = "lost-at-first".parse().expect("a task id");
    let answer = cluster.nodes[0].control.find_task(&task, Some(&worker.id)).await;
    assert_eq!(answer.expect_err("no such task").kind, ErrorKind::NotFound);
    assert_eq!(worker.asked.load(std::sync::atomic::Ordering::SeqCst), 2);
    cluster.stop().await;
}
