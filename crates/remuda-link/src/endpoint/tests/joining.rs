//! First contact, and the renewal of certificates.

use std::{slice::from_ref, time::Duration};

use remuda_model::{ClusterId, Role};
use remuda_wire::message::JOIN;

use super::support::{Cluster, TestNode, code_of, echo, local, node, soon, url};
use crate::{
    CallError, CloseReason, EndpointConfig, JoinError, JoinToken, Joining, Limits, code, join,
    join::contact, renew,
};

fn only_error(error: JoinError) -> crate::DialError {
    match error {
        JoinError::NoLink(mut errors) if errors.len() == 1 => errors.remove(0),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_token_brings_a_certificate() {
    let cluster = Cluster::new();
    let control = cluster.control("ctl-1").serve();
    for (number, transport) in ["tls", "wss", "quic", "tcp", "ws", "sctp"].into_iter().enumerate() {
        let at = control.listen(transport).await;
        for role in [Role::Worker, Role::Control] {
            let name = format!("{role}-{number}");
            let token = cluster.authority.join_token(role).expect("for nodes");
            let joined = soon(join(from_ref(&at), &token, &node(&name), role)).await;
            let (certificate, credentials) = joined.expect("joined");
            let claim = certificate.read().expect("a node certificate").claim;
            assert_eq!((claim.role, claim.node), (role, node(&name)));
            assert_eq!(credentials.authority.is_some(), role == Role::Control, "{transport}");
        }
    }
}

#[tokio::test]
async fn a_new_node_comes_back_with_its_certificate_and_renews_it() {
    let cluster = Cluster::new();
    let control = cluster.control("ctl-1").serve();
    let at = control.listen("tls").await;
    let token = cluster.authority.join_token(Role::Worker).expect("for workers");
    // The first address is dead: the next one is tried.
    let dead = url("remuda://127.0.0.1:1");
    let joined = soon(join(&[dead, at.clone()], &token, &node("w-1"), Role::Worker)).await;
    let (certificate, _credentials) = joined.expect("joined");
    let worker = cluster.worker("w-1");
    worker.endpoint.set_certificate(certificate.clone()).expect("usable");
    let link = soon(worker.endpoint.dial(&at)).await.expect("a link");
    assert_eq!(soon(echo(&link, "hi")).await.expect("an answer"), "hi");
    let (renewed, _) = soon(renew(&link, &node("w-1"), Role::Worker)).await.expect("renewed");
    assert_ne!(renewed.key, certificate.key);
    worker.endpoint.set_certificate(renewed).expect("usable");
    assert!(soon(worker.endpoint.dial(&at)).await.is_ok());
    let other = cluster.authority.certify(&node("w-2"), Role::Worker).expect("signed");
    assert!(worker.endpoint.set_certificate(other).is_err());
}

#[tokio::test]
async fn one_who_knows_the_secret_may_join_and_nothing_else() {
    let cluster = Cluster::new();
    let control = cluster.control("ctl-1").serve();
    let at = control.listen("tls").await;
    let token = cluster.authority.join_token(Role::Control).expect("for control nodes");
    let name = node("ctl-2");
    let link = soon(contact(&Joining::default(), &at, &token, &name, Role::Control))
        .await
        .expect("a link");
    let refused = soon(echo(&link, "hi")).await.expect_err("not before it has joined");
    assert!(matches!(refused, CallError::Reset { code: code::FORBIDDEN, .. }), "{refused:?}");
    let (certificate, _) = soon(renew(&link, &node("ctl-2"), Role::Control)).await.expect(JOIN);
    assert_eq!(certificate.read().expect("a certificate").claim.role, Role::Control);
}

#[tokio::test]
async fn one_who_may_only_join_does_so_once_and_soon() {
    let cluster = Cluster::new();
    let (config, door) = cluster.config("ctl-1", Role::Control);
    let short = Limits { join: Duration::from_millis(500), ..config.limits };
    let control = TestNode::new(EndpointConfig { limits: short, ..config }, door).serve();
    let token = cluster.authority.join_token(Role::Worker).expect("for workers");
    for transport in ["tls", "quic"] {
        let at = control.listen(transport).await;
        let link = soon(contact(&Joining::default(), &at, &token, &node("w-1"), Role::Worker))
            .await
            .expect("a link");
        soon(renew(&link, &node("w-1"), Role::Worker)).await.expect("joined");
        let again = soon(renew(&link, &node("w-1"), Role::Worker)).await;
        assert!(again.is_err(), "{transport}: once is enough");
        let reason = soon(link.closed()).await;
        assert_eq!(reason, CloseReason::Peer("too slow to join".to_owned()), "{transport}");
    }
}

#[tokio::test]
async fn tokens_that_do_not_fit_are_refused() {
    let (cluster, other) = (Cluster::new(), Cluster::new());
    let right = cluster.authority.join_token(Role::Worker).expect("for workers");
    let foreign = other.authority.join_token(Role::Worker).expect("for workers");
    for transport in ["tls", "wss", "quic"] {
        // A new one each time, because failures are counted.
        let control = cluster.control("ctl-1").serve();
        let at = control.listen(transport).await;
        let try_it = async |token: &JoinToken, role| {
            let joined = soon(join(from_ref(&at), token, &node("w-1"), role)).await;
            only_error(joined.expect_err("refused"))
        };
        // Of another cluster altogether, or with its secret, or naming another cluster.
        assert_eq!(try_it(&foreign, Role::Worker).await.code(), "tls", "{transport}");
        let mut guess = right.clone();
        guess.secret = foreign.secret;
        let error = try_it(&guess, Role::Worker).await;
        assert_eq!(error.code(), "auth_failed", "{transport}");
        assert!(error.hint().is_some());
        let mut mixed = right.clone();
        mixed.cluster = ClusterId::random();
        assert_eq!(try_it(&mixed, Role::Worker).await.code(), "tls", "{transport}");
        // A worker's token makes no control node, and no client.
        assert_eq!(try_it(&right, Role::Control).await.code(), "auth_failed", "{transport}");
    }
    let control = cluster.control("ctl-1").serve();
    let at = control.listen("tcp").await;
    let mut mixed = right.clone();
    mixed.cluster = ClusterId::random();
    let joined = soon(join(from_ref(&at), &mixed, &node("w-1"), Role::Worker)).await;
    assert_eq!(only_error(joined.expect_err("refused")).code(), "cluster_mismatch");
    let as_client = soon(join(&[at], &right, &node("w-1"), Role::Client)).await;
    assert_eq!(only_error(as_client.expect_err("refused")).code(), "auth_failed");
    assert!(matches!(
        soon(join(&[], &right, &node("w-1"), Role::Worker)).await,
        Err(JoinError::NoAddress)
    ));
}

#[tokio::test]
async fn credentials_do_not_travel_in_the_clear() {
    let cluster = Cluster::new();
    let token = cluster.authority.join_token(Role::Control).expect("for control nodes");
    let far = url("remuda://192.0.2.1:9;transport=tcp");
    let joined = soon(join(&[far], &token, &node("ctl-2"), Role::Control)).await;
    assert_eq!(only_error(joined.expect_err("plaintext")).code(), "plaintext");
    // Nor does a control node give them to one who came that way.
    let mut control = cluster.control("ctl-1");
    let worker = cluster.worker("w-1");
    let at = control.endpoint.listen(&local("tcp")).await.expect("a free port");
    let (_dialled, accepted) = worker.link_to(&mut control, &at).await;
    let mut peer = accepted.peer().clone();
    peer.remote = "192.0.2.7:5000".to_owned();
    let csr = crate::authority::Request::generate().expect("a key").csr;
    let request = remuda_wire::message::join::Request { csr };
    let refused = crate::answer_join(&cluster.authority, &peer, request, Vec::new());
    assert_eq!(refused.expect_err("plaintext").code, "plaintext");
    assert_eq!(
        code_of(soon(worker.endpoint.dial(&url("remuda://192.0.2.1:9;transport=ws"))).await),
        "plaintext"
    );
}
