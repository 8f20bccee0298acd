//! Nodes that belong to no cluster yet, dial nobody, and are invited.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use remuda_model::{LinkUrl, Release, Role};
use remuda_runtime::Supervisor;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    support::{Cluster, Door, Server, TestNode, code_of, echo, limits, local, node, soon, url},
    trust::expired,
};
use crate::{
    Admission, CallError, CloseReason, DialCause, DialError, EndpointConfig, Identity, JOINED,
    JoinError, JoinToken, Joining, Limits, Link, ListenError, Secret, Waiting, WaitingConfig, code,
    join::contact, renew,
};

const ENCRYPTED: [&str; 3] = ["tls", "wss", "quic"];

fn config(name: &str, role: Role, token: &JoinToken) -> WaitingConfig {
    WaitingConfig {
        node: node(name),
        role,
        token: token.clone(),
        release: Release::CURRENT,
        limits: limits(),
    }
}

/// A node that waits, and where.
async fn waits(config: WaitingConfig, transport: &str) -> (Waiting, LinkUrl) {
    let waiting = Waiting::new(config, &Supervisor::new()).expect("a key");
    let at = waiting.listen(&local(transport)).await.expect("a free port");
    (waiting, at)
}

fn token_of(cluster: &Cluster, role: Role) -> JoinToken {
    cluster.authority.join_token(role).expect("for nodes")
}

/// A worker with this token, invited by this control node: why nothing came of it.
async fn refused(control: &Server, token: &JoinToken, transport: &str) -> DialError {
    let (_waiting, at) = waits(config("w-1", Role::Worker, token), transport).await;
    control.invite(&at).await.expect_err("refused")
}

#[tokio::test]
async fn a_node_that_dials_nobody_joins_by_invitation() {
    let cluster = Cluster::new();
    let control = cluster.control("ctl-1").serve();
    for (number, transport) in ENCRYPTED.into_iter().enumerate() {
        for role in [Role::Worker, Role::Control] {
            let name = format!("{role}-{number}");
            let token = token_of(&cluster, role);
            let (mut waiting, at) = waits(config(&name, role, &token), transport).await;
            let link = control.invite(&at).await.expect("a link");
            let peer = link.peer();
            assert_eq!((&peer.node, peer.role), (&node(&name), role), "{transport}");
            assert!(peer.may_only_join() && peer.dialled, "{transport}");
            let (certificate, credentials) = soon(waiting.join()).await.expect("joined");
            let claim = certificate.read().expect("a node certificate").claim;
            assert_eq!((claim.role, claim.node), (role, node(&name)), "{transport}");
            assert_eq!(credentials.authority.is_some(), role == Role::Control, "{transport}");
            let reason = soon(link.closed()).await;
            assert_eq!(reason, CloseReason::Peer(JOINED.to_owned()), "{transport}");
        }
    }
}

#[tokio::test]
async fn with_its_certificate_it_is_dialled_like_any_other() {
    let cluster = Cluster::new();
    let control = cluster.control("ctl-1").serve();
    let token = token_of(&cluster, Role::Worker);
    let (mut waiting, at) = waits(config("w-1", Role::Worker, &token), "tls").await;
    let _link = control.invite(&at).await.expect("a link");
    let (certificate, _credentials) = soon(waiting.join()).await.expect("joined");
    drop(waiting);
    let (config, door) = cluster.config("w-1", Role::Worker);
    let identity = Identity { certificate: Some(certificate), ..config.identity };
    let member = TestNode::new(EndpointConfig { identity, ..config }, door).serve();
    let at = member.listen("tls").await;
    // An invitation to a member is a link with it.
    for link in [soon(control.endpoint.dial(&at)).await, soon(control.endpoint.invite(&at)).await] {
        let link = link.expect("a link");
        assert!(!link.peer().may_only_join());
        assert_eq!(soon(echo(&link, "hi")).await.expect("an answer"), "hi");
    }
}

#[tokio::test]
async fn a_token_that_does_not_fit_is_refused_by_name() {
    let (cluster, other) = (Cluster::new(), Cluster::new());
    let right = token_of(&cluster, Role::Worker);
    let foreign = token_of(&other, Role::Worker);
    for transport in ENCRYPTED {
        let control = cluster.control("ctl-1").serve();
        let error = refused(&control, &foreign, transport).await;
        let DialCause::WaitsFor { ours, theirs } = &error.cause else { panic!("{error:?}") };
        assert_eq!((ours, theirs), (&cluster.id, &other.id), "{transport}");
        assert_eq!(error.code(), "cluster_mismatch");

        // Our cluster's name and CA, and a secret of somebody else.
        let mut guess = right.clone();
        guess.secret = foreign.secret;
        let error = refused(&control, &guess, transport).await;
        assert!(matches!(error.cause, DialCause::NotAdmitted(_)), "{transport}: {error:?}");
        assert_eq!(error.code(), "auth_failed", "{transport}");
        assert!(error.hint().is_some_and(|hint| hint.contains("join-token")), "{error:?}");

        // Our cluster's name, and another CA: the node does not believe this control node.
        let mut mixed = right.clone();
        mixed.pin = foreign.pin;
        let error = refused(&control, &mixed, transport).await;
        assert!(matches!(error.cause, DialCause::NotBelieved(_)), "{transport}: {error:?}");

        // A worker's token makes no control node.
        let (_waiting, at) = waits(config("ctl-2", Role::Control, &right), transport).await;
        assert_eq!(code_of(control.invite(&at).await), "auth_failed", "{transport}");
    }
}

#[tokio::test]
async fn a_token_that_holds_no_more_is_refused() {
    let cluster = Cluster::new();
    let old = token_of(&cluster, Role::Worker);
    // The secret was exchanged.
    let authority = cluster.authority.with_new_secret(Role::Worker).expect("made");
    let rotated = Cluster { id: cluster.id.clone(), authority };
    let control = rotated.control("ctl-1").serve();
    assert_eq!(refused(&control, &old, "tls").await.code(), "auth_failed");
    let new = token_of(&rotated, Role::Worker);
    let (mut waiting, at) = waits(config("w-1", Role::Worker, &new), "tls").await;
    let _link = control.invite(&at).await.expect("a link");
    soon(waiting.join()).await.expect("joined");
    // The CA was exchanged, and the secret stayed.
    let authority = cluster.authority.successor().expect("made");
    let successor = Cluster { id: cluster.id.clone(), authority };
    let control = successor.control("ctl-1").serve();
    let error = refused(&control, &old, "tls").await;
    assert!(matches!(error.cause, DialCause::NotBelieved(_)), "{error:?}");
}

#[tokio::test]
async fn only_a_control_node_of_the_cluster_can_invite() {
    let cluster = Cluster::new();
    let token = token_of(&cluster, Role::Worker);
    for transport in ENCRYPTED {
        let (mut waiting, at) = waits(config("w-1", Role::Worker, &token), transport).await;
        // A worker, which has a certificate of the right CA.
        let worker = cluster.worker("w-2");
        let error = soon(worker.endpoint.invite(&at)).await.expect_err("no control node");
        assert!(matches!(error.cause, DialCause::NotBelieved(_)), "{transport}: {error:?}");
        // A control node whose certificate has expired.
        let (config, door) = cluster.config("ctl-9", Role::Control);
        let certificate = Some(expired(&cluster, "ctl-9", Role::Control));
        let identity = Identity { certificate, ..config.identity };
        let late = TestNode::new(EndpointConfig { identity, ..config }, door);
        let error = soon(late.endpoint.invite(&at)).await.expect_err("expired");
        assert!(matches!(error.cause, DialCause::NotBelieved(_)), "{transport}: {error:?}");
        // One with a good certificate that does not know the secret.
        let (config, _knowing) = cluster.config("ctl-8", Role::Control);
        let door = Arc::new(Door {
            authority: cluster.authority.clone(),
            secret: Some(Secret::random_key([7; 32])),
            revoked: Mutex::default(),
            unwelcome: Mutex::default(),
        });
        let admission = Arc::clone(&door) as Arc<dyn Admission>;
        let ignorant = TestNode::new(EndpointConfig { admission, ..config }, door);
        assert_eq!(code_of(soon(ignorant.endpoint.invite(&at)).await), "auth_failed");
        // One who dials as if a member were there, as an older release does; one who wants to join.
        let control = cluster.control("ctl-1");
        assert_eq!(code_of(soon(control.endpoint.dial(&at)).await), "tls", "{transport}");
        let (how, name) = (Joining::default(), node("w-3"));
        let joiner = soon(contact(&how, &at, &token, &name, Role::Worker));
        assert_eq!(code_of(joiner.await), "tls", "{transport}");
        // After all of them, the right one is as welcome as ever.
        let control = control.serve();
        let _link = control.invite(&at).await.expect("a link");
        soon(waiting.join()).await.expect("joined");
    }
}

#[tokio::test]
async fn whoever_is_not_admitted_is_told_so() {
    let cluster = Cluster::new();
    let token = token_of(&cluster, Role::Worker);
    let control = cluster.control("ctl-1");
    control.door.unwelcome.lock().expect("not poisoned").insert(node("w-1"));
    let control = control.serve();
    for transport in ENCRYPTED {
        let error = refused(&control, &token, transport).await;
        assert_eq!(error.code(), "node_id_in_use", "{transport}: {error:?}");
    }
    // Nor does a node join a control node of its own name.
    let (_waiting, at) = waits(config("ctl-1", Role::Worker, &token), "tls").await;
    assert_eq!(code_of(control.invite(&at).await), "node_id_in_use");
}

#[tokio::test]
async fn who_was_invited_may_join_once_and_soon() {
    let cluster = Cluster::new();
    let (config_, door) = cluster.config("ctl-1", Role::Control);
    let short = Limits { join: Duration::from_millis(500), ..limits() };
    let control = TestNode::new(EndpointConfig { limits: short, ..config_ }, door).serve();
    let token = token_of(&cluster, Role::Worker);
    for transport in ["tls", "quic"] {
        let (mut waiting, at) = waits(config("w-1", Role::Worker, &token), transport).await;
        let link = control.invite(&at).await.expect("a link");
        let its = soon(waiting.next_link()).await;
        let forbidden = soon(echo(&its, "hi")).await.expect_err("not before it has joined");
        assert!(
            matches!(forbidden, CallError::Reset { code: code::FORBIDDEN, .. }),
            "{forbidden:?}"
        );
        soon(renew(&its, &node("w-1"), Role::Worker)).await.expect("joined");
        let again = soon(renew(&its, &node("w-1"), Role::Worker)).await;
        assert!(again.is_err(), "{transport}: once is enough");
        let reason = soon(its.closed()).await;
        assert_eq!(reason, CloseReason::Peer("too slow to join".to_owned()), "{transport}");
        assert!(link.is_closed());
    }
}

#[tokio::test]
async fn an_invitation_that_breaks_off_leaves_the_next_one_a_chance() {
    let cluster = Cluster::new();
    let token = token_of(&cluster, Role::Worker);
    let (mut waiting, at) = waits(config("w-1", Role::Worker, &token), "tls").await;
    // It does not answer: nobody serves its links.
    let mute = cluster.control("ctl-2");
    let link = soon(mute.endpoint.invite(&at)).await.expect("a link");
    link.close("gone");
    let failed = soon(waiting.join()).await.expect_err("no certificate");
    assert!(matches!(failed, JoinError::NoAnswer(_)), "{failed:?}");
    // The node is killed in the midst, and comes back under its name.
    let control = cluster.control("ctl-1").serve();
    let link = control.invite(&at).await.expect("a link");
    drop(waiting);
    soon(link.closed()).await;
    let (mut waiting, at) = waits(config("w-1", Role::Worker, &token), "tls").await;
    let first = control.invite(&at).await.expect("a link");
    // Two at a time: one is followed, and the other is told that it is over.
    let second = control.invite(&at).await.expect("a link");
    soon(waiting.join()).await.expect("joined");
    for link in [first, second] {
        assert_eq!(soon(link.closed()).await, CloseReason::Peer(JOINED.to_owned()));
    }
}

#[tokio::test]
async fn nobody_joins_in_the_clear() {
    let cluster = Cluster::new();
    let token = token_of(&cluster, Role::Worker);
    let made = Waiting::new(config("w-1", Role::Worker, &token), &Supervisor::new());
    let waiting = made.expect("a key");
    for transport in ["tcp", "ws", "sctp", "mem"] {
        let error = waiting.listen(&local(transport)).await.expect_err("not encrypted");
        assert!(matches!(error, ListenError::Unencrypted { .. }), "{transport}: {error:?}");
    }
    // What listens on such an address is a member or nothing.
    let mut control = cluster.control("ctl-1");
    let other = cluster.control("ctl-2");
    let at = control.listen("tcp").await;
    let link = soon(other.endpoint.invite(&at)).await.expect("a link");
    assert!(!link.peer().may_only_join());
    drop(soon(control.links.recv()).await);
    let nobody = url("remuda://127.0.0.1:1;transport=tcp");
    assert_eq!(code_of(soon(other.endpoint.invite(&nobody)).await), "refused");
}

/// Waits until the other side has closed the connection.
async fn until_closed(stream: &mut TcpStream) {
    let mut said = Vec::new();
    // A reset is an end as well.
    let _reset = soon(stream.read_to_end(&mut said)).await;
}

#[tokio::test]
async fn strangers_cost_little() {
    let cluster = Cluster::new();
    let token = token_of(&cluster, Role::Worker);
    let strict = Limits {
        authenticate: Duration::from_millis(300),
        unauthenticated_per_source: 2,
        ..limits()
    };
    let config = WaitingConfig { limits: strict, ..config("w-1", Role::Worker, &token) };
    let (mut waiting, at) = waits(config, "tls").await;
    let knock =
        async || TcpStream::connect(("127.0.0.1", at.port)).await.expect("somebody listens");
    // Those who dawdle are cut off, and few may do so at a time.
    let (mut first, mut second) = (knock().await, knock().await);
    let mut third = knock().await;
    until_closed(&mut third).await;
    until_closed(&mut first).await;
    until_closed(&mut second).await;
    for noise in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 64], &[22, 3, 1, 2, 0, 1, 0, 1, 252]] {
        let mut stream = knock().await;
        stream.write_all(noise).await.expect("sent");
        until_closed(&mut stream).await;
    }
    let control = cluster.control("ctl-1").serve();
    let _link = control.invite(&at).await.expect("a link");
    soon(waiting.join()).await.expect("joined");
}

#[tokio::test]
async fn whoever_guesses_has_to_wait() {
    let cluster = Cluster::new();
    let mut guess = token_of(&cluster, Role::Worker);
    guess.secret = [1; 32];
    let control = cluster.control("ctl-1").serve();
    let (_waiting, at) = waits(config("w-1", Role::Worker, &guess), "tls").await;
    let mut codes = Vec::new();
    for _ in 0..=limits().failures_per_minute {
        codes.push(code_of(control.invite(&at).await));
    }
    let (last, before) = codes.split_last().expect("some");
    assert!(before.iter().all(|code| code == "auth_failed"), "{codes:?}");
    assert_eq!(last, "too_many_attempts");
}

impl Waiting {
    /// The link of the next invitation, for tests that follow it in their own way.
    async fn next_link(&mut self) -> Link {
        self.links.recv().await.expect("it lives")
    }
}
