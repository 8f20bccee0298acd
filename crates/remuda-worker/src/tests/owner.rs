//! Redirects, relays, moves, offers.

use remuda_link::{CallError, Priority};
use remuda_model::{Epoch, ErrorKind, Failure, NodeStatus, Role};
use remuda_wire::{
    decode, encode,
    message::{
        WORK,
        announce::Placement,
        session::FromOwner,
        work::{self, Op},
    },
};

use super::{
    class::TestRequest,
    cluster::{DEADLINE, Node, Owner, answer, url, within},
};

fn redirect(epoch: u64, port: u16) -> Placement {
    Placement::Redirect {
        epoch: Epoch(epoch),
        owner: format!("c{port}").parse().unwrap(),
        addresses: vec![url(port)],
    }
}

fn moved(epoch: u64, port: u16) -> FromOwner {
    FromOwner::Moved {
        epoch: Epoch(epoch),
        owner: format!("c{port}").parse().unwrap(),
        addresses: vec![url(port)],
    }
}

#[tokio::test]
async fn a_redirect_leads_to_the_owner() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(dir.path(), true, &[1]).await;
    let (port, first) = node.next_link().await;
    assert_eq!(port, 1);
    let announce = answer(&first, Ok(redirect(5, 2))).await;
    assert_eq!(announce.node.as_str(), "w1");
    let (port, second) = node.next_link().await;
    assert_eq!(port, 2);
    answer(&second, Ok(Placement::Owned { epoch: Epoch(5) })).await;
    let owner = Owner::welcome(second, 5, 0).await;
    assert_eq!(owner.node().as_str(), "w1");
    node.status(NodeStatus::Ready).await;
    within(first.closed()).await;
}

#[tokio::test]
async fn an_unreachable_owner_is_reached_through_the_first_node() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(dir.path(), true, &[1]).await;
    node.cut.lock().unwrap().insert(2);
    let (_, first) = node.next_link().await;
    answer(&first, Ok(redirect(5, 2))).await;
    let relay = Placement::Relay { epoch: Epoch(5), owner: "c2".parse().unwrap() };
    let again = answer(&first, Ok(relay)).await;
    assert_eq!(again.unreachable, ["c2".parse().unwrap()]);
    let owner = Owner::welcome(first, 5, 0).await;
    assert!(owner.request("test", &TestRequest::Echo(String::new())).await.is_ok());
}

#[tokio::test]
async fn a_move_keeps_the_old_link_until_its_calls_are_answered() {
    let dir = tempfile::tempdir().unwrap();
    let (mut node, mut old) = Node::owned(dir.path(), true).await;
    let mut statuses = node.worker.status();
    let payload = serde_json::to_vec(&TestRequest::Forever).unwrap();
    let op = Op::Request { class: "test".parse().unwrap(), payload };
    let (link, seen) = (old.link.clone(), node.seen.clone());
    let calling = tokio::spawn(async move {
        let call = work::Call { epoch: Epoch(5), deadline_ms: 300, op };
        link.call(WORK, Priority::Calls, encode(&call), DEADLINE).await
    });
    seen.wait("forever").await;
    statuses.borrow_and_update();
    old.say(moved(6, 2)).await;
    let (port, link) = node.next_link().await;
    assert_eq!(port, 2);
    answer(&link, Ok(Placement::Owned { epoch: Epoch(6) })).await;
    let new = Owner::welcome(link, 6, 0).await;
    assert_eq!(new.status, NodeStatus::Ready);
    let answered = within(calling).await.expect("no panic");
    assert!(!matches!(answered, Err(CallError::Lost)), "{answered:?}");
    while old.next().await.is_some() {}
    within(old.link.closed()).await;
    let stale = new.call_as(5, Op::Tasks, DEADLINE).await.expect_err("an old epoch");
    assert_eq!(stale.code, "stale_epoch");
    assert!(!statuses.has_changed().expect("lives"), "the node was ready all the time");
}

#[tokio::test]
async fn an_answer_that_is_still_on_its_way_survives_a_move() {
    let dir = tempfile::tempdir().unwrap();
    let (mut node, mut old) = Node::owned(dir.path(), true).await;
    // Longer than what a stream sends before its reader takes something.
    let text = "x".repeat(3 << 20);
    let payload = serde_json::to_vec(&TestRequest::Echo(text)).unwrap();
    let op = Op::Request { class: "test".parse().unwrap(), payload };
    let call = work::Call { epoch: Epoch(5), deadline_ms: 10_000, op };
    let mut calling = old.link.open(WORK, Priority::Calls).await.expect("a stream");
    calling.finish_with(encode(&call)).await.expect("sends");
    let first = within(calling.read_chunk()).await.expect("an answer").expect("a part");

    old.say(moved(6, 2)).await;
    let (_, link) = node.next_link().await;
    answer(&link, Ok(Placement::Owned { epoch: Epoch(6) })).await;
    let _new = Owner::welcome(link, 6, 0).await;
    while old.next().await.is_some() {}
    let rest = within(calling.read_to_end(4 << 20)).await.expect("the rest");
    let reply: work::Reply = decode(&[first, rest].concat()).expect("whole");
    assert!(reply.is_ok(), "{reply:?}");
}

#[tokio::test]
async fn a_link_from_a_control_node_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), true, &[]).await;
    node.status(NodeStatus::Connecting).await;
    let link = node.dial_worker(4, Role::Control);
    answer(&link, Ok(Placement::Owned { epoch: Epoch(5) })).await;
    let owner = Owner::welcome(link, 5, 0).await;
    assert!(owner.request("test", &TestRequest::Echo(String::new())).await.is_ok());
}

#[tokio::test]
async fn the_far_end_of_its_own_link_is_no_control_node() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(dir.path(), true, &[]).await;
    node.status(NodeStatus::Connecting).await;
    let _far_end = node.dial_itself();
    node.candidates.send_replace(vec![url(3)]);
    let (port, link) = node.next_link().await;
    assert_eq!(port, 3);
    answer(&link, Ok(Placement::Owned { epoch: Epoch(5) })).await;
    Owner::welcome(link, 5, 0).await;
}

#[tokio::test]
async fn a_refused_worker_goes_on_to_the_next_node() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(dir.path(), true, &[1, 2]).await;
    let (first, link) = node.next_link().await;
    let busy = Failure::new(ErrorKind::Unavailable, "no leader yet");
    answer(&link, Err(busy)).await;
    let (second, link) = node.next_link().await;
    assert_ne!(first, second);
    answer(&link, Ok(Placement::Owned { epoch: Epoch(5) })).await;
    Owner::welcome(link, 5, 0).await;
}

#[tokio::test]
async fn a_restarted_worker_finds_its_owner_without_its_first_address() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(dir.path(), true, &[1]).await;
    let (_, first) = node.next_link().await;
    answer(&first, Ok(redirect(5, 2))).await;
    let (_, second) = node.next_link().await;
    answer(&second, Ok(Placement::Owned { epoch: Epoch(5) })).await;
    let _owner = Owner::welcome(second, 5, 0).await;
    // It lets go of the first node once it has settled at the second.
    within(first.closed()).await;
    node.stop().await;

    let mut node = Node::start(dir.path(), true, &[1]).await;
    node.cut.lock().unwrap().insert(1);
    let (port, link) = node.next_link().await;
    assert_eq!(port, 2);
    answer(&link, Ok(Placement::Owned { epoch: Epoch(5) })).await;
    Owner::welcome(link, 5, 0).await;
}

#[tokio::test]
async fn new_candidates_are_tried_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(dir.path(), true, &[]).await;
    node.status(NodeStatus::Connecting).await;
    node.candidates.send_replace(vec![url(3)]);
    let (port, _link) = node.next_link().await;
    assert_eq!(port, 3);
}

#[tokio::test]
async fn only_a_control_node_can_own_a_worker() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(dir.path(), true, &[]).await;
    node.workers.lock().unwrap().insert(1);
    node.candidates.send_replace(vec![url(1)]);
    let (_, worker) = node.next_link().await;
    assert!(within(worker.accept()).await.is_none(), "nothing is said to a worker");
    node.candidates.send_replace(vec![url(2)]);
    while let (1, _) = node.next_link().await {}
    assert_eq!(*node.worker.status().borrow(), NodeStatus::Connecting);
}
