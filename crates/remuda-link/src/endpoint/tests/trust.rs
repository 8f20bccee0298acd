//! Certificates that are not what they should be, and those who sit in between.

use std::{sync::Arc, time::Duration};

use remuda_model::{Generation, LinkUrl, Role};
use remuda_runtime::wall_ms;
use remuda_wire::handshake::Proof;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::support::{Cluster, TestNode, code_of, limits, node, soon, url};
use crate::{
    DialError, EndpointConfig, Identity, Link, NodeCertificate,
    authority::Request,
    endpoint::{Caller, call},
    tls::{Tls, server_name},
};

const ENCRYPTED: [&str; 3] = ["tls", "wss", "quic"];

/// Dials with a certificate and says to be somebody, whatever the certificate says.
async fn claim(
    cluster: &Cluster,
    certificate: &NodeCertificate,
    (name, role): (&str, Role),
    at: &LinkUrl,
) -> Result<Link, DialError> {
    let trusted = [certificate.ca.clone()];
    let tls = Tls::new(&cluster.id, certificate, &trusted).expect("usable");
    let caller = Caller {
        cluster: Some(cluster.id.clone()),
        node: node(name),
        role,
        generation: Generation(1),
        addresses: Vec::new(),
        proof: Proof::Certificate,
        tls: Some(tls.client(at.transport)),
        issuer: None,
        allow_plaintext: false,
        release: remuda_model::Release::CURRENT,
        proxy: None,
        source: None,
    };
    soon(call(caller, at, limits().dial, None)).await
}

/// A certificate that was valid once.
pub(super) fn expired(cluster: &Cluster, name: &str, role: Role) -> NodeCertificate {
    let request = Request::generate().expect("a key");
    let months = Duration::from_hours(60 * 24);
    let then = wall_ms() - u64::try_from(months.as_millis()).expect("small");
    let issued = cluster.authority.issue_at(&node(name), role, &request.csr, then);
    NodeCertificate {
        certificate: issued.expect("signed"),
        key: request.key,
        ca: cluster.authority.ca_der().to_vec(),
    }
}

#[tokio::test]
async fn nodes_of_another_ca_are_strangers() {
    let (ours, theirs) = (Cluster::new(), Cluster::new());
    let control = ours.control("ctl-1");
    let foreign = theirs.worker("w-1");
    for transport in ENCRYPTED {
        let at = control.listen(transport).await;
        // The foreign worker does not believe the server.
        assert_eq!(code_of(soon(foreign.endpoint.dial(&at)).await), "tls", "{transport}");
        // Nor does the server believe one who looks away: a foreign key under our CA's name.
        let stranger = theirs.authority.certify(&node("w-1"), Role::Worker).expect("signed");
        let mixed = NodeCertificate { ca: ours.authority.ca_der().to_vec(), ..stranger };
        let outcome = claim(&ours, &mixed, ("w-1", Role::Worker), &at).await;
        let error = outcome.expect_err("foreign certificate");
        assert_eq!(error.code(), "tls", "{transport}: {}", remuda_model::Chain(&error));
    }
}

#[tokio::test]
async fn a_certificate_opens_the_door_for_its_holder_in_its_role_only() {
    let cluster = Cluster::new();
    let control = cluster.control("ctl-1");
    let worker = cluster.authority.certify(&node("w-1"), Role::Worker).expect("signed");
    for transport in ENCRYPTED {
        let at = control.listen(transport).await;
        let as_who = async |who| claim(&cluster, &worker, who, &at).await;
        assert!(as_who(("w-1", Role::Worker)).await.is_ok(), "{transport}");
        assert_eq!(code_of(as_who(("w-2", Role::Worker)).await), "auth_failed", "{transport}");
        assert_eq!(code_of(as_who(("w-1", Role::Control)).await), "auth_failed", "{transport}");
    }
}

#[tokio::test]
async fn an_expired_certificate_is_refused_on_both_sides() {
    let cluster = Cluster::new();
    let control = cluster.control("ctl-1");
    let worker = cluster.worker("w-1");
    let old_worker = expired(&cluster, "w-1", Role::Worker);
    let identity = cluster.identity_with(
        "ctl-2",
        Role::Control,
        Some(expired(&cluster, "ctl-2", Role::Control)),
    );
    let (config, door) = cluster.config("ctl-2", Role::Control);
    let old_control = TestNode::new(EndpointConfig { identity, ..config }, door);
    for transport in ENCRYPTED {
        let at = control.listen(transport).await;
        let outcome = claim(&cluster, &old_worker, ("w-1", Role::Worker), &at).await;
        assert_eq!(code_of(outcome), "tls", "{transport}");
        let at = old_control.listen(transport).await;
        assert_eq!(code_of(soon(worker.endpoint.dial(&at)).await), "tls", "{transport}");
    }
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_on_both_sides() {
    let cluster = Cluster::new();
    let control = cluster.control("ctl-1");
    let worker = cluster.worker("w-1");
    let serial = |identity: Identity| {
        identity.certificate.expect("certified").read().expect("a node certificate").serial
    };
    let its_serial = serial(worker.endpoint.identity());
    control.door.revoked.lock().expect("not poisoned").insert(its_serial);
    for transport in ENCRYPTED {
        let at = control.listen(transport).await;
        assert_eq!(code_of(soon(worker.endpoint.dial(&at)).await), "revoked", "{transport}");
    }
    control.door.revoked.lock().expect("not poisoned").clear();
    let its_serial = serial(control.endpoint.identity());
    worker.door.revoked.lock().expect("not poisoned").insert(its_serial);
    for transport in ENCRYPTED {
        let at = control.listen(transport).await;
        assert_eq!(code_of(soon(worker.endpoint.dial(&at)).await), "revoked", "{transport}");
    }
}

#[tokio::test]
async fn an_unwelcome_node_is_told_why() {
    let cluster = Cluster::new();
    let control = cluster.control("ctl-1");
    let worker = cluster.worker("w-1");
    control.door.unwelcome.lock().expect("not poisoned").insert(node("w-1"));
    for transport in ["tls", "quic", "wss", "tcp", "ws", "sctp", "mem"] {
        let at = control.listen(transport).await;
        let error = soon(worker.endpoint.dial(&at)).await.expect_err("unwelcome");
        assert_eq!(error.code(), "node_id_in_use", "{transport}");
        let text = remuda_model::Chain(&error).to_string();
        assert!(text.contains("a node of this name is connected"), "{text}");
    }
}

#[test]
fn a_node_does_not_start_with_the_certificate_of_another() {
    let cluster = Cluster::new();
    let (config, _door) = cluster.config("w-1", Role::Worker);
    let other = cluster.authority.certify(&node("w-2"), Role::Worker).expect("signed");
    let identity = cluster.identity_with("w-1", Role::Worker, Some(other));
    let config = EndpointConfig { identity, ..config };
    let refused = crate::Endpoint::new(config, remuda_runtime::Supervisor::new());
    assert!(matches!(refused, Err(crate::CertificateError::OtherNode(_))));
}

/// Ends TLS with a certificate of its own and passes on what is inside, to a TLS session with the
/// true server.
async fn in_between(
    own: Arc<rustls::ServerConfig>,
    onward: Arc<rustls::ClientConfig>,
    target: u16,
) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((victim, _)) = listener.accept().await {
            let (own, onward) =
                (TlsAcceptor::from(own.clone()), TlsConnector::from(onward.clone()));
            tokio::spawn(async move {
                let Ok(mut victim) = own.accept(victim).await else { return };
                let server = TcpStream::connect(("127.0.0.1", target)).await.expect("there");
                let Ok(mut server) = onward.connect(server_name(), server).await else { return };
                // Ends when either side has had enough.
                let _ended = copy_bidirectional(&mut victim, &mut server).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn somebody_in_between_gets_nothing() {
    let cluster = Cluster::new();
    let control = cluster.control("ctl-1").serve();
    let at = control.listen("tls").await;
    // With a CA of his own he is not believed.
    let other = Cluster::new();
    let his = other.authority.certify(&node("ctl-1"), Role::Control).expect("signed");
    let his = Tls::new(&other.id, &his, std::slice::from_ref(&his.ca)).expect("usable");
    // Having broken into a worker he holds a true certificate of it.
    let broken = cluster.authority.certify(&node("w-9"), Role::Worker).expect("signed");
    let trusted = [broken.ca.clone()];
    let broken = Tls::new(&cluster.id, &broken, &trusted).expect("usable");
    let onward = broken.client(at.transport);
    let token = cluster.authority.join_token(Role::Worker).expect("for workers");
    let worker = cluster.worker("w-1");
    for (tls, seen_by_a_node) in [(his, "tls"), (broken, "auth_failed")] {
        let port = in_between(tls.server(at.transport), onward.clone(), at.port).await;
        let through = url(&format!("remuda://127.0.0.1:{port}"));
        // A node that joins: the pin, or the role of the certificate, is wrong.
        let (there, name) = ([through.clone()], node("w-2"));
        let joined = crate::join(&there, &token, &name, Role::Worker);
        let error = soon(joined).await.expect_err("somebody in between");
        let crate::JoinError::NoLink(errors) = error else { panic!("{error:?}") };
        assert_eq!(errors[0].code(), "tls");
        // A client with an API token likewise, before it has shown the token.
        let pin = cluster.authority.pin();
        let client = crate::connect_client(&through, Some(pin), super::support::TOKEN);
        assert_eq!(code_of(soon(client).await), "tls");
        // A node with a certificate, which he cannot present in its place.
        assert_eq!(code_of(soon(worker.endpoint.dial(&through)).await), seen_by_a_node);
    }
}

#[tokio::test]
async fn tls_1_2_is_not_spoken() {
    let cluster = Cluster::new();
    let control = cluster.control("ctl-1");
    let at = control.listen("tls").await;
    let mut stream = TcpStream::connect(("127.0.0.1", at.port)).await.expect("there");
    // A ClientHello of TLS 1.2: two suites, the curves and signatures that it needs, and no
    // `supported_versions`.
    let extensions =
        [&[0, 10, 0, 4, 0, 2, 0, 23][..], &[0, 11, 0, 2, 1, 0], &[0, 13, 0, 6, 0, 4, 4, 3, 8, 4]]
            .concat();
    let mut hello = vec![3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0, 4, 0xc0, 0x2b, 0xc0, 0x2f, 1, 0]);
    hello.extend(u16::try_from(extensions.len()).expect("short").to_be_bytes());
    hello.extend(&extensions);
    let length = u16::try_from(hello.len()).expect("short");
    let mut record = vec![22, 3, 1];
    record.extend((length + 4).to_be_bytes());
    record.extend([1, 0]);
    record.extend(length.to_be_bytes());
    record.extend(&hello);
    stream.write_all(&record).await.expect("sent");
    let mut answer = Vec::new();
    soon(stream.read_to_end(&mut answer)).await.expect("an answer");
    // One alert: fatal, protocol_version.
    assert_eq!(answer, [21, 3, 3, 0, 2, 2, 70]);
}
