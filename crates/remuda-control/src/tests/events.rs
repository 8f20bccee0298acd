//! Events reach subscribers and job classes, once and in order.

use std::time::Duration;

use remuda_link::{Link, Priority, Stream, StreamError, code};
use remuda_model::{ClassName, Event, EventBody, Generation, NodeId, NodeStatus, TaskEnd, TaskId};
use remuda_plugin::{JobClass, erase};
use remuda_state::Scope;
use remuda_wire::message::{EVENTS, control::Subscribe};
use tokio::sync::mpsc;

use super::fixture::{Cluster, DEADLINE, FakeWorker, Node, Say, id, until};
use crate::EventStream;

struct Listener(mpsc::Sender<(NodeId, u64)>);

impl JobClass for Listener {
    const NAME: &'static str = "listener";
    type Request = ();
    type Reply = ();
    type Spec = ();
    type Command = ();
    type CommandReply = ();
    type Event = u64;

    async fn event(&self, node: &NodeId, _task: Option<&TaskId>, event: u64) {
        assert!(event != 13, "this one is unlucky");
        self.0.send((node.clone(), event)).await.expect("the test listens");
    }
}

fn says(node: &NodeId, seq: u64) -> Event {
    let class: ClassName = Listener::NAME.parse().expect("a class");
    let body = EventBody::Class { class, task: None, payload: seq.to_string() };
    Event { node: node.clone(), seq, generation: Generation(1), time_ms: seq, body }
}

async fn say(worker: &FakeWorker, numbers: &[u64]) {
    let events = numbers.iter().map(|seq| says(&worker.id, *seq)).collect();
    worker.say.send(Say::Events(events)).await.expect("runs");
}

/// The numbers of the next `n` events that are not about the status.
async fn numbers(stream: &mut EventStream, n: usize) -> Vec<(NodeId, u64)> {
    let mut found = Vec::new();
    while found.len() < n {
        let event = tokio::time::timeout(DEADLINE, stream.next()).await.expect("in time");
        let event = event.expect("the stream goes on");
        if !matches!(event.body, EventBody::NodeStatus { .. }) {
            found.push((event.node, event.seq));
        }
    }
    found
}

async fn acknowledged(worker: &FakeWorker, number: u64) {
    let mut acknowledged = worker.acknowledged.clone();
    let reached = acknowledged.wait_for(|now| *now >= number);
    tokio::time::timeout(DEADLINE, reached).await.expect("in time").expect("runs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_all_nodes_are_seen_from_any_control_node() {
    let cluster = Cluster::start(&["c1", "c2"]).await;
    let [one, two] = ["c1", "c2"].map(|name| {
        let name = cluster.worker_of(name);
        FakeWorker::start(&cluster, &name)
    });
    one.connected().await;
    two.connected().await;
    let whole = Subscribe { whole_cluster: true, ..Subscribe::default() };
    let mut everything = cluster.nodes[0].control.events(whole.clone()).await.expect("a stream");
    let node = Some(two.id.clone());
    let only = Subscribe { node, ..whole.clone() };
    let mut only = cluster.nodes[0].control.events(only).await.expect("a stream");
    say(&one, &[1, 2]).await;
    acknowledged(&one, 2).await;
    say(&two, &[1, 2]).await;
    acknowledged(&two, 2).await;
    // Repeated, as after a lost acknowledgement.
    say(&one, &[2, 3]).await;
    let mut seen = numbers(&mut everything, 5).await;
    seen.sort();
    let mut expected = vec![
        (one.id.clone(), 1),
        (one.id.clone(), 2),
        (one.id.clone(), 3),
        (two.id.clone(), 1),
        (two.id.clone(), 2),
    ];
    expected.sort();
    assert_eq!(seen, expected);
    assert_eq!(numbers(&mut only, 2).await, [(two.id.clone(), 1), (two.id.clone(), 2)]);

    let after = Subscribe { node: Some(two.id.clone()), after: Some(1), ..whole };
    for node in &cluster.nodes {
        let mut kept = node.control.events(after.clone()).await.expect("a stream");
        assert_eq!(numbers(&mut kept, 1).await, [(two.id.clone(), 2)], "at {}", node.id);
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn job_classes_see_their_events_in_order_even_after_one_panics() {
    let (heard, mut hears) = mpsc::channel(64);
    let classes = vec![erase(Listener(heard))];
    let cluster = Cluster::with_classes(&["c1"], classes).await;
    let worker = FakeWorker::start(&cluster, "w1");
    worker.connected().await;
    say(&worker, &[11, 12, 13]).await;
    say(&worker, &[14]).await;
    for number in [11, 12, 14] {
        let heard = tokio::time::timeout(DEADLINE, hears.recv()).await.expect("in time");
        assert_eq!(heard, Some((worker.id.clone(), number)));
    }
    acknowledged(&worker, 14).await;
    cluster.stop().await;
}

/// Hears of its tasks.
struct Overseer(mpsc::Sender<String>);

impl JobClass for Overseer {
    const NAME: &'static str = "overseer";
    type Request = ();
    type Reply = ();
    type Spec = ();
    type Command = ();
    type CommandReply = ();
    type Event = String;

    async fn event(&self, _node: &NodeId, task: Option<&TaskId>, event: String) {
        let task = task.map(ToString::to_string).unwrap_or_default();
        self.0.send(format!("{task}: {event}")).await.expect("the test listens");
    }

    async fn started(&self, node: &NodeId, task: &TaskId) {
        self.0.send(format!("{task} runs on {node}")).await.expect("the test listens");
    }

    async fn ended(&self, _node: &NodeId, task: &TaskId, end: &TaskEnd) {
        assert!(*end != TaskEnd::Stopped, "this one is unlucky");
        self.0.send(format!("{task} ended: {end}")).await.expect("the test listens");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn job_classes_see_the_starts_and_ends_of_their_tasks_in_order_with_their_events() {
    let (heard, mut hears) = mpsc::channel(64);
    let cluster = Cluster::with_classes(&["c1"], vec![erase(Overseer(heard))]).await;
    let worker = FakeWorker::start(&cluster, "w1");
    worker.connected().await;
    let (class, other): (ClassName, ClassName) =
        (Overseer::NAME.parse().expect("a class"), "other".parse().expect("a class"));
    let task = |name: &str| name.parse::<TaskId>().expect("an id");
    let started =
        |class: &ClassName, name| EventBody::TaskStarted { class: class.clone(), task: task(name) };
    let ended = |name, end| EventBody::TaskEnded { class: class.clone(), task: task(name), end };
    let bodies = [
        started(&class, "t1"),
        started(&other, "t2"),
        EventBody::Class {
            class: class.clone(),
            task: Some(task("t1")),
            payload: "\"half\"".to_owned(),
        },
        EventBody::NodeStatus { status: NodeStatus::Standby },
        ended("t0", TaskEnd::Stopped),
        ended("t1", TaskEnd::Failed { message: "no".to_owned() }),
    ];
    let event = |(at, body)| {
        let seq = at + 1;
        Event { node: worker.id.clone(), seq, generation: Generation(1), time_ms: seq, body }
    };
    let events: Vec<_> = (0_u64..).zip(bodies).map(event).collect();
    let last = events.len() as u64;
    worker.say.send(Say::Events(events)).await.expect("runs");
    for expected in ["t1 runs on w1", "t1: half", "t1 ended: failed: no"] {
        let heard = tokio::time::timeout(DEADLINE, hears.recv()).await.expect("in time");
        assert_eq!(heard.as_deref(), Some(expected));
    }
    acknowledged(&worker, last).await;
    cluster.stop().await;
    assert!(hears.try_recv().is_err(), "nothing else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coming_and_going_of_a_node_is_an_event() {
    let cluster = Cluster::start(&["c1"]).await;
    let mut events = cluster.nodes[0].control.events(Subscribe::default()).await.expect("a stream");
    let worker = FakeWorker::start(&cluster, "w1");
    for expected in [NodeStatus::Ready, NodeStatus::NotConnected] {
        let event = tokio::time::timeout(DEADLINE, events.next()).await.expect("in time");
        let event = event.expect("goes on");
        assert_eq!(event.node, id("w1"));
        assert_eq!(event.body, EventBody::NodeStatus { status: expected });
        worker.stop().await;
    }
    drop(events);
    cluster.stop().await;
}

/// The stream of a client that shows the events of the bus.
async fn shown_to_client(node: &Node, bearer: &str) -> (Link, Stream) {
    let link = remuda_link::connect_client(&node.url, None, bearer).await.expect("a link");
    let mut stream = link.open(EVENTS, Priority::Events).await.expect("a stream");
    stream.send(&Subscribe::default()).await.expect("sent");
    let mut number = 0;
    until("subscribed", async || {
        number += 1;
        node.control.shared.bus.publish([says(&id("w1"), number)]);
        let event = stream.recv::<Event>(1 << 16);
        match tokio::time::timeout(Duration::from_millis(50), event).await {
            Ok(Ok(Some(_))) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    (link, stream)
}

async fn ends(mut stream: Stream) {
    let end = async {
        loop {
            match stream.recv::<Event>(1 << 16).await {
                Ok(Some(_)) => (),
                other => return other,
            }
        }
    };
    let end = tokio::time::timeout(DEADLINE, end).await.expect("ends");
    assert!(matches!(end, Err(StreamError::Reset { code: code::FORBIDDEN, .. })), "{end:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_events_ends_with_the_token_that_opened_it() {
    let cluster = Cluster::start(&["c1", "c2"]).await;
    let [one, two] = [&cluster.nodes[0], &cluster.nodes[1]];
    let (record, text) = one.control.create_token("ci", Scope::Read, None).await.expect("made");
    let (_link, stream) = shown_to_client(one, &text).await;
    let (_other_link, mut other) = shown_to_client(one, &cluster.admin).await;
    two.control.revoke_token(&record.id).await.expect("revoked");
    ends(stream).await;
    one.control.shared.bus.publish([says(&id("w2"), 1)]);
    let event =
        tokio::time::timeout(DEADLINE, other.recv::<Event>(1 << 16)).await.expect("goes on");
    assert!(event.is_ok_and(|event| event.is_some()));

    let ttl = Some(Duration::from_secs(3));
    let (record, text) = one.control.create_token("brief", Scope::Read, ttl).await.expect("made");
    let (_link, stream) = shown_to_client(one, &text).await;
    ends(stream).await;
    one.control.token_ended(&record.id).await;
    assert_eq!(one.control.authenticate(&text).expect_err("expired").code, "expired_token");
    cluster.stop().await;
}

#[tokio::test]
async fn a_slow_reader_is_told_what_it_missed() {
    let control = Cluster::start(&["c1"]).await;
    let stream = control.nodes[0].control.events(Subscribe::default()).await;
    let mut stream = stream.expect("a stream");
    let node = id("w1");
    let shared = &control.nodes[0].control.shared;
    shared.bus.publish([says(&node, 1)]);
    assert_eq!(numbers(&mut stream, 1).await, [(node.clone(), 1)]);
    // More than the ring and the queue of the reader hold together.
    shared.bus.publish((2..=20_000).map(|seq| says(&node, seq)));
    let mut last = 1;
    let mut gaps = 0;
    while last < 20_000 {
        let event = tokio::time::timeout(DEADLINE, stream.next()).await.expect("in time");
        match event.expect("goes on") {
            Event { body: EventBody::Gap { from, to }, .. } => {
                assert_eq!(from, last + 1);
                last = to;
                gaps += 1;
            }
            event => {
                assert_eq!(event.seq, last + 1);
                last = event.seq;
            }
        }
    }
    assert_eq!(gaps, 1);
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_while_control_nodes_are_not_linked_is_shown_afterwards() {
    let cluster = Cluster::start(&["c1", "c2"]).await;
    let worker = FakeWorker::start(&cluster, &cluster.worker_of("c2"));
    worker.connected().await;
    let node = Some(worker.id.clone());
    let only = Subscribe { node, whole_cluster: true, ..Subscribe::default() };
    let c1 = cluster.node(&id("c1")).control.clone();
    let mut shown = c1.events(only).await.expect("a stream");
    say(&worker, &[1]).await;
    assert_eq!(numbers(&mut shown, 1).await, [(worker.id.clone(), 1)]);
    c1.shared.peers.link_to(&id("c2")).expect("linked").close("cut by a test");
    say(&worker, &[2]).await;
    acknowledged(&worker, 2).await;
    assert_eq!(numbers(&mut shown, 1).await, [(worker.id.clone(), 2)]);
    cluster.stop().await;
}
