//! Links that come about, over every transport, and what both ends then know.

use remuda_model::{ErrorKind, Generation, Role, Transport, VERSION};
use tokio::net::TcpListener;

use super::support::{Cluster, TestNode, code_of, echo, limits, local, node, soon, url};
use crate::{CertificatesOnly, CloseReason, EndpointConfig, ListenError, Method, Upgraded};

#[tokio::test]
async fn every_transport_makes_links_between_known_nodes() {
    let cluster = Cluster::new();
    let mut control = cluster.control("ctl-1");
    let worker = cluster.worker("w-1");
    for (transport, method) in [
        (Transport::Tls, Method::Certificate),
        (Transport::Wss, Method::Certificate),
        (Transport::Quic, Method::Certificate),
        (Transport::Tcp, Method::Secret),
        (Transport::Ws, Method::Secret),
        (Transport::Mem, Method::Secret),
    ] {
        let at = control.listen(transport.as_str()).await;
        assert_ne!(at.port, 0);
        let (dialled, accepted) = worker.link_to(&mut control, &at).await;
        let (server, client) = (dialled.peer(), accepted.peer());
        assert_eq!((&server.node, server.role), (&node("ctl-1"), Role::Control), "{transport}");
        assert_eq!((&client.node, client.role), (&node("w-1"), Role::Worker), "{transport}");
        for peer in [server, client] {
            assert_eq!((peer.generation, peer.version.as_str()), (Generation(4), VERSION));
            assert_eq!((peer.transport, peer.authenticated_by), (transport, method));
            assert_eq!(peer.addresses, [url("remuda://10.0.0.1:1973")]);
            assert!(!peer.may_only_join(), "{transport}");
        }
        assert!(server.dialled && !client.dialled);
        dialled.close("seen enough");
        let reason = soon(accepted.closed()).await;
        assert_eq!(reason, CloseReason::Peer("seen enough".to_owned()), "{transport}");
        accepted.close("too late");
        assert_eq!(soon(accepted.closed()).await, reason, "{transport}: the first reason counts");
    }
}

#[tokio::test]
async fn a_link_may_come_from_a_chosen_address() {
    let cluster = Cluster::new();
    let mut control = cluster.control("ctl-1");
    let worker = cluster.worker("w-1");
    let at = control.listen("tls").await;
    let source = "127.3.2.1".parse().expect("an address");
    let dialled = soon(worker.endpoint.dial_from(&at, source)).await.expect("a link");
    let accepted = soon(control.links.recv()).await.expect("a link");
    let remote: std::net::SocketAddr = accepted.peer().remote.parse().expect("an address");
    assert_eq!(remote.ip(), source);
    let elsewhere = "192.0.2.1".parse().expect("an address");
    soon(worker.endpoint.dial_from(&at, elsewhere)).await.expect_err("not ours");
    dialled.close("seen enough");
}

#[tokio::test]
async fn a_link_that_nobody_holds_is_closed() {
    let cluster = Cluster::new();
    let mut control = cluster.control("ctl-1");
    let worker = cluster.worker("w-1");
    for transport in ["tls", "quic", "mem"] {
        let at = control.listen(transport).await;
        let (dialled, accepted) = worker.link_to(&mut control, &at).await;
        let stream = dialled.open("p", crate::Priority::Calls).await.expect("a stream");
        drop(dialled);
        assert!(!accepted.is_closed(), "{transport}: a stream is left");
        drop(stream);
        let reason = soon(accepted.closed()).await;
        assert!(matches!(reason, CloseReason::Peer(_)), "{transport}: {reason:?}");
    }
}

#[tokio::test]
async fn one_node_has_a_limited_number_of_links() {
    let cluster = Cluster::new();
    let (config, door) = cluster.config("ctl-1", Role::Control);
    let limits = crate::Limits { links_per_node: 2, ..limits() };
    let mut control = TestNode::new(EndpointConfig { limits, ..config }, door);
    let (one, two) = (cluster.worker("w-1"), cluster.worker("w-2"));
    for transport in ["quic", "tls"] {
        let at = control.listen(transport).await;
        let first = one.link_to(&mut control, &at).await;
        let _second = one.link_to(&mut control, &at).await;
        // Over QUIC the end may overtake the last words of the handshake.
        if let Ok(third) = soon(one.endpoint.dial(&at)).await {
            let reason = soon(third.closed()).await;
            assert_eq!(reason, CloseReason::Peer("too many links of this peer".to_owned()));
        }
        assert!(control.links.try_recv().is_err(), "{transport}: nobody gets to see it");
        let _others = two.link_to(&mut control, &at).await;
        first.0.close("one less");
        soon(first.1.closed()).await;
        let _again = one.link_to(&mut control, &at).await;
    }
}

#[tokio::test]
async fn calls_are_answered_over_every_transport() {
    let cluster = Cluster::new();
    let control = cluster.control("ctl-1").serve();
    let worker = cluster.worker("w-1");
    for transport in ["tls", "wss", "quic", "tcp", "ws", "sctp", "mem"] {
        let at = control.listen(transport).await;
        let link = soon(worker.endpoint.dial(&at)).await.expect("a link");
        assert_eq!(soon(echo(&link, "hello")).await.expect("an answer"), "hello", "{transport}");
        assert!(
            soon(link.call(
                "no/such/1",
                crate::Priority::Calls,
                "".into(),
                std::time::Duration::from_secs(5)
            ))
            .await
            .is_err()
        );
    }
}

#[tokio::test]
async fn a_node_reaches_its_own_worker_part_through_memory_only() {
    let cluster = Cluster::new();
    let mut control = cluster.control("ctl-1");
    let at = control.listen("mem").await;
    let link = soon(control.endpoint.dial(&at)).await.expect("a link to itself");
    assert_eq!(link.peer().node, node("ctl-1"));
    assert!(soon(control.links.recv()).await.is_some());
    let at = control.listen("tls").await;
    assert_eq!(code_of(soon(control.endpoint.dial(&at)).await), "node_id_in_use");
}

#[tokio::test]
async fn a_control_node_dials_a_worker_that_only_works() {
    let cluster = Cluster::new();
    let control = cluster.control("ctl-1");
    let (config, door) = cluster.config("w-1", Role::Worker);
    let admission = std::sync::Arc::new(CertificatesOnly);
    let config = EndpointConfig { admission, ..config };
    let mut worker = TestNode::new(config, door);
    let at = worker.listen("tls").await;
    let (dialled, accepted) = control.link_to(&mut worker, &at).await;
    assert_eq!(dialled.peer().role, Role::Worker);
    assert_eq!(accepted.peer().role, Role::Control);
    // Nobody joins there, and no client is taken.
    let plain = worker.listen("tcp").await;
    assert_eq!(code_of(soon(control.endpoint.dial(&plain)).await), "auth_failed");
}

#[tokio::test]
async fn plaintext_stays_on_this_machine() {
    let cluster = Cluster::new();
    let control = cluster.control("ctl-1");
    for transport in ["tcp", "ws", "sctp"] {
        let open = url(&format!("remuda://0.0.0.0:0;transport={transport}"));
        let refused = control.endpoint.listen(&open).await.expect_err("plaintext");
        assert!(matches!(refused, ListenError::Plaintext { .. }), "{refused:?}");
        assert!(refused.hint().contains("allow_plaintext"));
        // TEST-NET-1: nothing is sent there.
        let far = url(&format!("remuda://192.0.2.1:9;transport={transport}"));
        let refused = soon(control.endpoint.dial(&far)).await.expect_err("plaintext");
        assert_eq!((refused.code(), refused.kind()), ("plaintext", ErrorKind::Invalid));
        assert!(refused.hint().is_some_and(|hint| hint.contains("allow_plaintext")));
    }
    let (config, door) = cluster.config("ctl-2", Role::Control);
    let config = EndpointConfig { allow_plaintext: true, ..config };
    let allowed = TestNode::new(config, door);
    assert!(allowed.endpoint.listen(&url("remuda://0.0.0.0:0;transport=tcp")).await.is_ok());
    assert!(control.endpoint.listen(&url("remuda://0.0.0.0:0;transport=tls")).await.is_ok());
}

#[tokio::test]
async fn a_guessable_password_is_for_loopback_only() {
    let cluster = Cluster::new();
    let (config, _door) = cluster.config("ctl-1", Role::Control);
    let weak = remuda_wire::handshake::Secret::from_password("nkcluster", "test");
    let door = std::sync::Arc::new(super::support::Door {
        authority: cluster.authority.clone(),
        secret: Some(weak),
        revoked: std::sync::Mutex::default(),
        unwelcome: std::sync::Mutex::default(),
    });
    let config = EndpointConfig { admission: door.clone(), ..config };
    let control = TestNode::new(config, door);
    let open = control.endpoint.listen(&url("remuda://0.0.0.0:0;transport=tls")).await;
    assert!(matches!(open, Err(ListenError::WeakPassword { .. })), "{open:?}");
    assert!(control.endpoint.listen(&local("tls")).await.is_ok());
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let cluster = Cluster::new();
    let (config, door) = cluster.config("new", Role::Worker);
    let identity = cluster.identity_with("new", Role::Worker, None);
    let config = EndpointConfig { identity, secret: None, ..config };
    let fresh = TestNode::new(config, door);
    let refused = fresh.endpoint.listen(&local("tls")).await.expect_err("no certificate");
    assert!(matches!(refused, ListenError::NoCertificate { .. }), "{refused:?}");
    for transport in ["tls", "wss", "quic"] {
        assert_eq!(code_of(fresh.endpoint.dial(&local(transport)).await), "no_certificate");
    }
    for transport in ["tcp", "ws", "sctp"] {
        assert_eq!(code_of(fresh.endpoint.dial(&local(transport)).await), "no_secret");
    }
    // A port that was free a moment ago.
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        listener.local_addr().expect("bound").port()
    };
    let known = cluster.worker("w-1");
    for transport in ["tls", "wss", "tcp", "ws"] {
        let nobody = url(&format!("remuda://127.0.0.1:{port};transport={transport}"));
        let refused = soon(known.endpoint.dial(&nobody)).await.expect_err("nobody there");
        assert_eq!((refused.code(), refused.kind()), ("refused", ErrorKind::Unavailable));
        let failure = refused.into_failure();
        assert!(failure.message.contains(&nobody.to_string()), "{failure:?}");
        assert!(failure.hint.is_some());
    }
    let nameless = url("remuda://no-such-host.invalid:1");
    assert_eq!(code_of(soon(known.endpoint.dial(&nameless)).await), "unresolved");
    let taken = known.listen("tcp").await;
    let taken = known.endpoint.listen(&taken).await.expect_err("taken");
    assert!(matches!(taken, ListenError::Bind { .. }) && taken.hint().contains("another process"));
}

#[tokio::test]
async fn a_silent_listener_is_given_up() {
    let cluster = Cluster::new();
    let (config, door) = cluster.config("w-1", Role::Worker);
    let dial = std::time::Duration::from_millis(200);
    let config = EndpointConfig { limits: crate::Limits { dial, ..limits() }, ..config };
    let worker = TestNode::new(config, door);
    let deaf = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = deaf.local_addr().expect("bound").port();
    for transport in ["tls", "wss", "tcp", "ws"] {
        let at = url(&format!("remuda://127.0.0.1:{port};transport={transport}"));
        assert_eq!(code_of(soon(worker.endpoint.dial(&at)).await), "timed_out");
    }
}

#[tokio::test]
async fn a_path_of_a_websocket_must_be_the_right_one() {
    let cluster = Cluster::new();
    let mut control = cluster.control("ctl-1");
    let worker = cluster.worker("w-1");
    let here = url("remuda://127.0.0.1:0/cluster;transport=wss");
    let at = control.endpoint.listen(&here).await.expect("a free port");
    assert_eq!(at.path.as_deref(), Some("/cluster"));
    worker.link_to(&mut control, &at).await;
    let elsewhere = remuda_model::LinkUrl { path: None, ..at };
    assert_eq!(code_of(soon(worker.endpoint.dial(&elsewhere)).await), "websocket");
}

#[tokio::test]
async fn a_websocket_that_a_web_server_upgraded_becomes_a_link() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let cluster = Cluster::new();
    let mut control = cluster.control("ctl-1");
    let worker = cluster.worker("w-1");
    let server = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = server.local_addr().expect("bound").port();
    let endpoint = control.endpoint.clone();
    let web = async move {
        let (mut io, remote) = server.accept().await.expect("a connection");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(io.read_u8().await.expect("a request"));
        }
        let request = String::from_utf8(request).expect("text");
        let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
        let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(
            key.expect("a key").as_bytes(),
        );
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        io.write_all(answer.as_bytes()).await.expect("sent");
        endpoint.accept_upgraded(io, Upgraded { remote, tls: None }).await;
    };
    let at = url(&format!("remuda://127.0.0.1:{port}/link;transport=ws"));
    let (dialled, ()) = soon(async { tokio::join!(worker.endpoint.dial(&at), web) }).await;
    let accepted = soon(control.links.recv()).await.expect("a link");
    assert_eq!(dialled.expect("a link").peer().node, node("ctl-1"));
    assert_eq!(accepted.peer().transport, Transport::Ws);
}
