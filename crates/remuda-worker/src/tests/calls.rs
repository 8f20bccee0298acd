//! Requests: answers, deadlines, cancellations, panics, epochs.

use std::time::Duration;

use remuda_link::Priority;
use remuda_model::{Epoch, ErrorKind, NodeStatus, Role};
use remuda_wire::{
    encode,
    message::{
        WORK,
        announce::Placement,
        work::{Call, Done, Op},
    },
};
use serde_json::{Value, json};

use super::{
    class::TestRequest,
    cluster::{DEADLINE, Node, Owner, answer, refused, within},
};

fn json(done: Done) -> Value {
    match done {
        Done::Payload(bytes) => serde_json::from_slice(&bytes).expect("JSON"),
        other => panic!("no payload: {other:?}"),
    }
}

async fn node(owner: &Owner, request: Value) -> Value {
    json(owner.request("node", &request).await.expect("answers"))
}

#[tokio::test]
async fn a_request_is_answered_by_its_class() {
    let dir = tempfile::tempdir().unwrap();
    let (_node, owner) = Node::owned(dir.path(), true).await;
    let reply = owner.request("test", &TestRequest::Echo("hello".to_owned())).await;
    assert_eq!(json(reply.expect("answers")), json!("hello"));
    let unknown = owner.request("nosuch", &json!(null)).await.expect_err("no such class");
    assert_eq!((unknown.kind, unknown.code.as_str()), (ErrorKind::NotFound, "unknown_class"));
    assert!(unknown.hint.expect("names the others").contains("node, test"));
}

#[tokio::test]
async fn the_words_of_a_class_are_no_failure_of_the_call() {
    let dir = tempfile::tempdir().unwrap();
    let (_node, owner) = Node::owned(dir.path(), true).await;
    let failure = refused(owner.request("test", &TestRequest::LikeTheGate).await);
    assert_eq!((failure.kind, failure.code.as_str()), (ErrorKind::NotConnected, "stale_epoch"));
    let malformed = refused(owner.request("test", &json!("nonsense")).await);
    assert_eq!(malformed.kind, ErrorKind::Invalid);
}

#[tokio::test]
async fn a_panic_ends_one_call_only() {
    let dir = tempfile::tempdir().unwrap();
    let (_node, owner) = Node::owned(dir.path(), true).await;
    let failure = refused(owner.request("test", &TestRequest::Panic).await);
    assert_eq!(failure.kind, ErrorKind::Internal);
    assert!(failure.message.contains("on purpose"), "{failure}");
    assert!(owner.request("test", &TestRequest::Echo(String::new())).await.is_ok());
}

#[tokio::test]
async fn a_deadline_drops_the_request() {
    let dir = tempfile::tempdir().unwrap();
    let (node, owner) = Node::owned(dir.path(), true).await;
    let payload = serde_json::to_vec(&TestRequest::Forever).unwrap();
    let op = Op::Request { class: "test".parse().unwrap(), payload };
    let reply = owner.call_as(5, op, Duration::from_millis(50)).await;
    assert_eq!(reply.expect_err("late").kind, ErrorKind::TimedOut);
    node.seen.wait("dropped").await;
}

#[tokio::test]
async fn a_caller_that_gives_up_drops_the_request() {
    let dir = tempfile::tempdir().unwrap();
    let (node, owner) = Node::owned(dir.path(), true).await;
    let payload = serde_json::to_vec(&TestRequest::Forever).unwrap();
    let op = Op::Request { class: "test".parse().unwrap(), payload };
    let call = encode(&Call { epoch: Epoch(5), deadline_ms: 60_000, op });
    let calling = owner.link.call(WORK, Priority::Calls, call, DEADLINE);
    tokio::select! {
        answer = calling => panic!("nobody answers: {answer:?}"),
        () = node.seen.wait("forever") => (),
    }
    node.seen.wait("dropped").await;
}

#[tokio::test]
async fn only_the_highest_epoch_is_obeyed_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (node, owner) = Node::owned(dir.path(), true).await;
    let echo = || {
        let payload = serde_json::to_vec(&TestRequest::Echo(String::new())).unwrap();
        Op::Request { class: "test".parse().unwrap(), payload }
    };
    assert!(owner.call_as(7, echo(), DEADLINE).await.is_ok());
    let stale = owner.call_as(5, echo(), DEADLINE).await.expect_err("stale");
    assert_eq!((stale.kind, stale.code.as_str()), (ErrorKind::Conflict, "stale_epoch"));
    node.stop().await;

    let mut node = Node::start(dir.path(), true, &[1]).await;
    let (_, old) = node.next_link().await;
    let announce = answer(&old, Ok(Placement::Owned { epoch: Epoch(6) })).await;
    assert_eq!(announce.epoch, Epoch(7));
    within(old.closed()).await;
    let owner = node.adopt(7).await;
    assert!(owner.call_as(6, echo(), DEADLINE).await.is_err());
    assert!(owner.call_as(7, echo(), DEADLINE).await.is_ok());
}

#[tokio::test]
async fn only_control_nodes_command() {
    let dir = tempfile::tempdir().unwrap();
    let (node, _owner) = Node::owned(dir.path(), true).await;
    let link = node.dial_worker(9, Role::Worker);
    let call = encode(&Call { epoch: Epoch(99), deadline_ms: 1000, op: Op::Tasks });
    let answer = within(link.call(WORK, Priority::Calls, call, DEADLINE)).await;
    assert!(matches!(answer, Err(remuda_link::CallError::Reset { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_call_that_cannot_be_read_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let (_node, owner) = Node::owned(dir.path(), true).await;
    let answer = owner.link.call(WORK, Priority::Calls, vec![0xff; 20].into(), DEADLINE).await;
    let reply: remuda_wire::message::work::Reply =
        remuda_wire::decode(&answer.expect("answers")).expect("a reply");
    assert_eq!(reply.expect_err("unreadable").kind, ErrorKind::Invalid);
}

#[tokio::test]
async fn the_class_node_tells_and_changes_what_the_node_is() {
    let dir = tempfile::tempdir().unwrap();
    let (worker, owner) = Node::owned(dir.path(), true).await;
    let info = node(&owner, json!("info")).await;
    assert_eq!(info["node"], json!("w1"));
    assert_eq!(info["os"], json!("linux"));
    assert!(info["stats"]["mem_total"].as_u64().expect("a number") > 0);
    assert_eq!(node(&owner, json!("status")).await, json!("ready"));
    assert_eq!(node(&owner, json!({"put": {"key": "k", "value": [1, 2]}})).await, json!(null));
    assert_eq!(node(&owner, json!({"get": "k"})).await, json!([1, 2]));
    assert_eq!(node(&owner, json!({"delete": "k"})).await, json!(true));
    let gone = refused(owner.request("node", &json!({"get": "k"})).await);
    assert_eq!(gone.code, "unknown_key");
    assert_eq!(node(&owner, json!({"set_status": "standby"})).await, json!("standby"));
    worker.status(NodeStatus::Standby).await;
    let no_wish = refused(owner.request("node", &json!({"set_status": "launching"})).await);
    assert_eq!(no_wish.kind, ErrorKind::Invalid);
    assert_eq!(node(&owner, json!("tasks")).await, json!([]));
}

#[tokio::test]
async fn labels_survive_a_restart_and_the_owner_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (worker, mut owner) = Node::owned(dir.path(), true).await;
    let labels = node(&owner, json!({"update_labels": "a;b=1"})).await;
    assert_eq!(labels, json!("a;b=1"));
    loop {
        if let remuda_wire::message::session::FromWorker::Labels(labels) =
            owner.next().await.expect("the session lives")
            && labels.to_string() == "a;b=1"
        {
            break;
        }
    }
    worker.stop().await;
    let mut worker = Node::start(dir.path(), true, &[1]).await;
    let owner = worker.adopt(6).await;
    assert_eq!(owner.announce.labels.to_string(), "a;b=1");
    assert_eq!(node(&owner, json!({"remove_labels": ["a"]})).await, json!(""));
}
