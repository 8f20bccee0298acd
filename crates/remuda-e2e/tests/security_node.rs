//! A node that has fallen into wrong hands: what its certificate opens, and what its lies do.

use std::{collections::BTreeMap, time::Duration};

use remuda_e2e::{
    Lab,
    attack::{Thief, stolen},
    eventually, exec, id, info,
};
use remuda_link::{Link, Priority, code, renew};
use remuda_model::{
    Epoch, Event, EventBody, Generation, Labels, NodeStats, NodeStatus, Role, Roles,
};
use remuda_wire::message::{
    ANNOUNCE, JOIN, PROTOCOLS, SESSION,
    announce::{Announce, Answer},
    session::{FromOwner, FromWorker},
};

/// What a worker may open at a control node; everything else is refused by its name.
const FOR_WORKERS: [&str; 3] = [ANNOUNCE, SESSION, JOIN];

fn announce(name: &str) -> Announce {
    Announce {
        node: id(name),
        generation: Generation(1_000),
        boot: 7,
        roles: Roles::WORKER,
        version: "6.6.6".to_owned(),
        addresses: Vec::new(),
        labels: Labels::default(),
        attributes: BTreeMap::new(),
        epoch: Epoch(0),
        unreachable: Vec::new(),
    }
}

fn hello(announce: Announce, epoch: Epoch) -> FromWorker {
    FromWorker::Hello {
        announce: Box::new(announce),
        epoch,
        status: NodeStatus::Ready,
        running_tasks: 0,
        next_event: 1,
        last_event: 0,
    }
}

async fn announced(link: &Link, announce: &Announce) -> Answer {
    let body = remuda_wire::encode(announce);
    let limit = Duration::from_secs(20);
    let answer = link.call(ANNOUNCE, Priority::Calls, body, limit).await.expect("an answer");
    remuda_wire::decode(&answer).expect("readable")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_worker_certificate_is_that_of_one_worker() {
    let lab = Lab::start(1, 2).await;
    let url = lab.url("c1");
    let certificate = stolen(lab.node("w1").dir());
    let thief = Thief::new(certificate.clone());
    let link = thief.dial(&url).await.expect("the certificate is good");
    for protocol in PROTOCOLS.iter().filter(|protocol| !FOR_WORKERS.contains(protocol)) {
        let code = Thief::tries(&link, protocol, vec![0; 32]).await;
        let refused = [Some(code::FORBIDDEN), Some(code::UNKNOWN_PROTOCOL)];
        assert!(refused.contains(&code), "{protocol}: {code:?}");
    }
    // It speaks for nobody else.
    let answer = announced(&link, &announce("w2")).await;
    assert_eq!(answer.expect_err("refused").code, "node_id_mismatch");
    let mut stream = link.open(SESSION, Priority::Events).await.expect("opened");
    stream.send(&hello(announce("w2"), Epoch(0))).await.expect("sent");
    stream.recv::<FromOwner>(1 << 20).await.expect_err("no session for another");
    // A certificate that it asks for is its own again, and brings no secrets.
    let (renewed, credentials) = renew(&link, &id("w1"), Role::Worker).await.expect("its own");
    assert_eq!(renewed.read().expect("a certificate").claim.node, id("w1"));
    assert!(credentials.authority.is_none(), "the authority is for control nodes");
    renew(&link, &id("w2"), Role::Worker)
        .await
        .expect_err("the name is not taken from the request");

    // Other workers listen too, and obey control nodes only.
    let worker = thief.dial(&lab.url("w2")).await.expect("a node of the cluster");
    for protocol in PROTOCOLS {
        let code = Thief::tries(&worker, protocol, vec![0; 32]).await;
        let refused = [Some(code::FORBIDDEN), Some(code::UNKNOWN_PROTOCOL)];
        assert!(refused.contains(&code), "{protocol}: {code:?}");
    }
    info(&lab.client("c1"), "w2").await.expect("w2 works");

    // Removing the node ends what the certificate opens, renewed or not.
    lab.client("c1").remove_node(&id("w1"), true).await.expect("removed");
    link.closed().await;
    for certificate in [certificate, renewed] {
        let refused = Thief::new(certificate).dial(&url).await.expect_err("revoked");
        assert_eq!(refused.code(), "revoked", "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lying_worker_harms_only_itself() {
    let mut lab = Lab::start(1, 2).await;
    let client = lab.client("c1");
    lab.node_mut("w1").kill9();
    let honest = exec(&client, "w2", &["echo", "before"]).await.expect("w2 works").0;
    assert_eq!(honest, "before\n");
    let thief = Thief::new(stolen(lab.node("w1").dir()));
    let link = thief.dial(&lab.url("c1")).await.expect("the certificate is good");
    // Ownership of a far future, and labels that move a cursor.
    let labels: Labels = "\"\u{1b}[2J\";x=\"\u{7}\"".parse().unwrap_or_default();
    let lies = Announce {
        epoch: Epoch(u64::MAX),
        version: "\u{1b}]0;evil\u{7}".repeat(1_000),
        labels,
        attributes: [("a\n\u{1b}[31m".to_owned(), "b".repeat(70_000))].into(),
        ..announce("w1")
    };
    let answer = announced(&link, &lies).await;
    assert!(answer.is_ok(), "an owner does not follow epochs of workers: {answer:?}");
    let mut stream = link.open(SESSION, Priority::Events).await.expect("opened");
    stream.send(&hello(lies, Epoch(u64::MAX))).await.expect("sent");
    let welcome = stream.recv::<FromOwner>(1 << 20).await.expect("an answer");
    assert!(matches!(welcome, Some(FromOwner::Welcome { .. })), "{welcome:?}");

    // Numbers that are none, events of others, events out of all order.
    let stats = NodeStats { load: [f64::NAN; 3], mem_total: u64::MAX, ..NodeStats::default() };
    let stats = FromWorker::Stats { stats, running_tasks: u32::MAX };
    stream.send(&stats).await.expect("sent");
    let event = |node: &str, seq| Event {
        node: id(node),
        seq,
        generation: Generation(u64::MAX),
        time_ms: u64::MAX,
        body: EventBody::NodeStatus { status: NodeStatus::NotConnected },
    };
    let gap = EventBody::Gap { from: u64::MAX, to: 0 };
    let events = vec![
        event("w2", 1),
        event("c1", u64::MAX),
        event("w1", u64::MAX),
        Event { body: gap, ..event("w1", 3) },
        event("w1", 0),
    ];
    stream.send(&FromWorker::Events(events)).await.expect("sent");
    stream.send(&FromWorker::Status(NodeStatus::NotConnected)).await.expect("sent");

    let seen = async || client.nodes().await;
    let lied = |nodes: &Result<Vec<_>, _>| {
        let nodes: &Vec<remuda_model::NodeView> = match nodes {
            Ok(nodes) => nodes,
            Err(error) => panic!("the list of nodes is broken: {error}"),
        };
        nodes.iter().any(|node| node.id == id("w1") && node.running_tasks == u32::MAX)
    };
    let nodes = eventually("the lies of w1", seen, lied).await.expect("listed");
    let others: Vec<_> = nodes.iter().filter(|node| node.id != id("w1")).collect();
    assert!(others.iter().all(|node| node.status == NodeStatus::Ready), "{others:#?}");
    assert_eq!(exec(&client, "w2", &["echo", "after"]).await.expect("w2 works").0, "after\n");
    // What people see of it does not reach their terminal as it is.
    for arguments in [&["node", "list"][..], &["node", "show", "w1"]] {
        let shown = lab.cli("c1", arguments).await;
        assert_eq!(shown.code, Some(0), "{shown:?}");
        let harmful = |char: &char| char.is_control() && *char != '\n';
        assert_eq!(shown.stdout.chars().find(harmful), None, "{}", shown.stdout.escape_debug());
    }
    // A second greeting, and messages that are none, end the session and nothing else.
    let mut raw = link.open(SESSION, Priority::Events).await.expect("opened");
    raw.write(vec![0xff; 4].into()).await.expect("sent");
    raw.recv::<FromOwner>(1 << 20).await.expect_err("a message of four GiB");
    info(&client, "w2").await.expect("all is well");
}
