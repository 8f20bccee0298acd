//! Sessions: events, acknowledgements, reconnects, farewells.

use remuda_model::{Epoch, ErrorKind, Event, EventBody, NodeStatus};
use remuda_wire::message::{
    announce::Placement,
    session::{FromOwner, FromWorker},
};
use serde_json::json;

use super::{
    class::TestCommand,
    cluster::{Node, Owner, answer, within},
};

fn says(text: &str) -> impl Fn(&Event) -> bool {
    let wanted = json!(text).to_string();
    move |event| matches!(&event.body, EventBody::Class { payload, .. } if *payload == wanted)
}

async fn say(owner: &Owner, text: &str) {
    owner.command("t1", &TestCommand::Say(text.to_owned())).await.expect("answers");
}

#[tokio::test]
async fn events_come_in_order_and_again_until_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let (mut node, mut owner) = Node::owned(dir.path(), true).await;
    owner.start_task("t1", "", false).await.expect("starts");
    say(&owner, "one").await;
    say(&owner, "two").await;
    let events = owner.events_until(says("two")).await;
    let seqs: Vec<_> = events.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=events.len() as u64).collect::<Vec<_>>());
    let one = events.iter().find(|event| says("one")(event)).expect("comes first").seq;
    owner.say(FromOwner::Acknowledge(one)).await;
    // An answer on the same session shows that the acknowledgement was read.
    owner.link.close("the test says so");
    node.status(NodeStatus::Connecting).await;

    let mut owner = node.adopt(6).await;
    let again = owner.events_until(says("two")).await;
    assert!(again[0].seq <= one + 1, "nothing is skipped");
    assert_eq!(again[0].seq, owner.next_event);
    for (expected, event) in (again[0].seq..).zip(&again) {
        assert_eq!(event.seq, expected);
    }
}

#[tokio::test]
async fn a_welcome_says_what_need_not_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut node, mut owner) = Node::owned(dir.path(), true).await;
    owner.start_task("t1", "", false).await.expect("starts");
    say(&owner, "one").await;
    let one = owner.events_until(says("one")).await.pop().expect("it came").seq;
    owner.link.close("the test says so");
    let (_, link) = node.next_link().await;
    answer(&link, Ok(Placement::Owned { epoch: Epoch(6) })).await;
    let mut owner = Owner::welcome(link, 6, one).await;
    say(&owner, "two").await;
    let events = owner.events_until(says("two")).await;
    assert_eq!(events[0].seq, one + 1);
}

#[tokio::test]
async fn events_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (node, mut owner) = Node::owned(dir.path(), true).await;
    owner.start_task("t1", "", false).await.expect("starts");
    say(&owner, "before").await;
    let before = owner.events_until(says("before")).await.pop().expect("it came").seq;
    node.stop().await;
    let mut node = Node::start(dir.path(), true, &[1]).await;
    let mut owner = node.adopt(6).await;
    node.seen.wait("recover t1").await;
    say(&owner, "after").await;
    let events = owner.events_until(says("after")).await;
    assert_eq!(events[0].seq, 1, "nothing was acknowledged");
    assert!(events.iter().any(|event| event.seq == before && says("before")(event)));
    let last = events.last().expect("it came");
    assert_eq!(last.seq, events.len() as u64, "no holes over the restart");
}

#[tokio::test]
async fn a_worker_that_was_killed_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (_node, mut owner) = Node::owned(dir.path(), true).await;
    owner.start_task("t1", "", false).await.expect("starts");
    say(&owner, "before").await;
    let before = owner.events_until(says("before")).await.pop().expect("it came").seq;
    // What a killed process leaves: the file without a farewell.
    let after = tempfile::tempdir().unwrap();
    std::fs::copy(dir.path().join("worker.redb"), after.path().join("worker.redb")).unwrap();

    let mut node = Node::start(after.path(), true, &[1]).await;
    let (_, link) = node.next_link().await;
    let owned = Placement::Owned { epoch: Epoch(6) };
    assert_eq!(answer(&link, Ok(owned)).await.epoch, Epoch(5), "the epoch is remembered");
    let mut owner = Owner::welcome(link, 6, 0).await;
    node.seen.wait("recover t1").await;
    say(&owner, "after").await;
    let events = owner.events_until(says("after")).await;
    assert!(events.iter().any(|event| event.seq == before && says("before")(event)));
    assert_eq!(events.last().expect("it came").seq, events.len() as u64);
}

#[tokio::test]
async fn every_status_is_told_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let (_node, mut owner) = Node::owned(dir.path(), true).await;
    assert_eq!(owner.status, NodeStatus::Ready, "an owner may call at once");
    owner.request("node", &json!({"set_status": "standby"})).await.expect("answers");
    let mut told = false;
    let mut reported = false;
    while !(told && reported) {
        match owner.next().await.expect("the session lives") {
            FromWorker::Status(NodeStatus::Standby) => told = true,
            FromWorker::Events(events) => {
                let standby = EventBody::NodeStatus { status: NodeStatus::Standby };
                reported |= events.iter().any(|event| event.body == standby);
            }
            _ => (),
        }
    }
}

#[tokio::test]
async fn a_worker_takes_itself_out_with_and_without_an_owner() {
    let dir = tempfile::tempdir().unwrap();
    let (node, mut owner) = Node::owned(dir.path(), true).await;
    assert_eq!(node.worker.set_status(NodeStatus::Standby).await, Ok(NodeStatus::Standby));
    let standby = EventBody::NodeStatus { status: NodeStatus::Standby };
    owner.events_until(|event| event.body == standby).await;
    let refusal = owner.start_task("t1", "wait", false).await;
    assert_eq!(refusal.expect_err("refused").code, "node_not_ready");
    let no_wish = node.worker.set_status(NodeStatus::NotConnected).await;
    assert_eq!(no_wish.expect_err("refused").kind, ErrorKind::Invalid);
    node.stop().await;

    let mut node = Node::start(dir.path(), true, &[1]).await;
    node.status(NodeStatus::Connecting).await;
    let shown = node.worker.set_status(NodeStatus::Stopped).await;
    assert_eq!(shown, Ok(NodeStatus::Connecting), "it is not placed yet");
    assert_eq!(node.adopt(6).await.status, NodeStatus::Stopped);
    let worker = node.worker.clone();
    node.stop().await;
    let late = worker.set_status(NodeStatus::Ready).await;
    assert_eq!(late.expect_err("refused").code, "shutting_down");
}

#[tokio::test]
async fn standby_is_kept_over_reconnect_and_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (mut node, owner) = Node::owned(dir.path(), true).await;
    owner.request("node", &json!({"set_status": "standby"})).await.expect("answers");
    owner.link.close("the test says so");
    node.status(NodeStatus::Connecting).await;
    assert_eq!(node.adopt(6).await.status, NodeStatus::Standby);
    node.stop().await;
    let mut node = Node::start(dir.path(), true, &[1]).await;
    assert_eq!(node.adopt(6).await.status, NodeStatus::Standby);
}

#[tokio::test]
async fn measurements_come_by_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let (_node, mut owner) = Node::owned(dir.path(), true).await;
    loop {
        let message = within(owner.session.recv(1 << 20)).await.expect("readable");
        if let Some(FromWorker::Stats { stats, running_tasks }) = message {
            assert!(stats.mem_total > 0);
            assert_eq!(running_tasks, 0);
            return;
        }
    }
}

#[tokio::test]
async fn a_worker_that_ends_says_goodbye() {
    let dir = tempfile::tempdir().unwrap();
    let (node, mut owner) = Node::owned(dir.path(), true).await;
    let farewell = async {
        while let Some(message) = owner.next().await {
            if message == FromWorker::Goodbye {
                owner.session.finish().expect("the session lives");
                return true;
            }
        }
        false
    };
    let (farewell, ()) = tokio::join!(farewell, node.stop());
    assert!(farewell);
}
