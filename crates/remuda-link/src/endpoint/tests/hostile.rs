//! Strangers who want no link but trouble.

use std::{slice::from_ref, time::Duration};

use remuda_model::{ErrorKind, LinkUrl, Role};
use remuda_wire::{
    encode,
    handshake::{FromServer, MAX_FRAME, Opening, Refusal, frame},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::support::{Cluster, TOKEN, TestNode, code_of, limits, node, soon, url};
use crate::{EndpointConfig, Limits, connect_client, join, limits::Source};

async fn knock(at: &LinkUrl) -> TcpStream {
    TcpStream::connect(("127.0.0.1", at.port)).await.expect("somebody listens")
}

/// Waits until the other side has closed the connection, and gives what it said.
async fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    // A reset is an end as well.
    let _reset = soon(stream.read_to_end(&mut said)).await;
    said
}

fn refusal(frame: &[u8]) -> Refusal {
    let FromServer::Refused(refusal) = remuda_wire::decode(&frame[4..]).expect("a message") else {
        panic!("no refusal")
    };
    refusal
}

fn impatient(cluster: &Cluster, limits: Limits) -> TestNode {
    let (config, door) = cluster.config("ctl-1", Role::Control);
    TestNode::new(EndpointConfig { limits, ..config }, door)
}

#[tokio::test]
async fn an_unknown_version_is_told_which_are_spoken() {
    let cluster = Cluster::new();
    let control = cluster.control("ctl-1");
    let at = control.listen("tcp").await;
    let mut stream = knock(&at).await;
    let hello = [&encode(&Opening::new(&[9], "9.9.9"))[..], b"whatever"].concat();
    stream.write_all(&frame(&hello)).await.expect("sent");
    let Refusal::VersionUnsupported { spoken, build } = refusal(&until_closed(&mut stream).await)
    else {
        panic!("another refusal")
    };
    assert_eq!((spoken, build.as_str()), (vec![2, 1], remuda_model::VERSION));
}

#[tokio::test]
async fn what_is_no_handshake_ends_the_connection() {
    let cluster = Cluster::new();
    let control = cluster.control("ctl-1");
    let at = control.listen("tcp").await;
    for noise in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        &[0xff; 64],
        &[0, 0, 0, 0],
        &(u32::try_from(MAX_FRAME).expect("small") + 1).to_be_bytes(),
        &[22, 3, 1, 2, 0, 1, 0, 1, 252],
    ] {
        let mut stream = knock(&at).await;
        stream.write_all(noise).await.expect("sent");
        assert_eq!(until_closed(&mut stream).await, b"", "{noise:?}");
    }
    // A frame of the right length that is no hello is answered, for those who err.
    let mut stream = knock(&at).await;
    stream.write_all(&frame(&[7; 100])).await.expect("sent");
    assert_eq!(refusal(&until_closed(&mut stream).await), Refusal::Malformed);
    for transport in ["tls", "ws", "wss"] {
        let at = control.listen(transport).await;
        let mut stream = knock(&at).await;
        stream.write_all(&[0xff; 4096]).await.expect("sent");
        until_closed(&mut stream).await;
    }
    // After all that, a friend is as welcome as ever.
    let worker = cluster.worker("w-1");
    assert!(soon(worker.endpoint.dial(&at)).await.is_ok());
}

#[tokio::test]
async fn those_who_dawdle_are_cut_off() {
    let cluster = Cluster::new();
    let authenticate = Duration::from_millis(200);
    let control = impatient(&cluster, Limits { authenticate, ..limits() });
    for transport in ["tcp", "tls", "ws", "wss"] {
        let at = control.listen(transport).await;
        // Nothing at all; a length without its frame; the beginning of a TLS record.
        for start in [&b""[..], &[0, 0, 1, 0, 1, 2, 3], &[22, 3, 1, 0, 200, 1]] {
            let mut stream = knock(&at).await;
            stream.write_all(start).await.expect("sent");
            until_closed(&mut stream).await;
        }
    }
}

#[tokio::test]
async fn strangers_from_one_address_are_few() {
    let cluster = Cluster::new();
    let control = impatient(&cluster, Limits { unauthenticated_per_source: 2, ..limits() });
    let at = control.listen("tcp").await;
    let worker = cluster.worker("w-1");
    let first = knock(&at).await;
    let second = knock(&at).await;
    let mut third = knock(&at).await;
    assert_eq!(until_closed(&mut third).await, b"");
    assert_eq!(code_of(soon(worker.endpoint.dial(&at)).await), "lost");
    // Links that are authenticated do not count.
    drop((first, second));
    let mut links = Vec::new();
    while links.len() < 4 {
        // The places are free as soon as the listener has noticed.
        if let Ok(link) = soon(worker.endpoint.dial(&at)).await {
            links.push(link);
        }
    }
}

#[tokio::test]
async fn a_connection_that_breaks_off_passes_and_says_nothing_about_certificates() {
    let cluster = Cluster::new();
    let worker = cluster.worker("w-1");
    for transport in ["tcp", "tls", "ws", "wss"] {
        // As a process that is killed: what it was told stays unread.
        let resets = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = resets.local_addr().expect("bound").port();
        let at = url(&format!("remuda://127.0.0.1:{port};transport={transport}"));
        let killed = async {
            let (stream, _) = resets.accept().await.expect("dialled");
            stream.readable().await.expect("it speaks first");
        };
        let (dialled, ()) = soon(async { tokio::join!(worker.endpoint.dial(&at), killed) }).await;
        let error = dialled.expect_err("nobody is there");
        assert_eq!((error.code(), error.kind()), ("lost", ErrorKind::Unavailable), "{error:?}");

        // A door that is full.
        let control = impatient(&cluster, Limits { unauthenticated_per_source: 0, ..limits() });
        let at = control.listen(transport).await;
        let error = soon(worker.endpoint.dial(&at)).await.expect_err("nobody gets in");
        assert_eq!((error.code(), error.kind()), ("lost", ErrorKind::Unavailable), "{error:?}");
    }
}

#[tokio::test]
async fn guessing_is_slow() {
    let cluster = Cluster::new();
    let control = cluster.control("ctl-1").serve();
    let at = control.listen("tls").await;
    let right = cluster.authority.join_token(Role::Worker).expect("for workers");
    for guess in 0..5 {
        let mut token = right.clone();
        token.secret = [guess; 32];
        let joined = soon(join(from_ref(&at), &token, &node("w-1"), Role::Worker)).await;
        let Err(crate::JoinError::NoLink(errors)) = joined else { panic!("a guess was right") };
        assert_eq!(errors[0].code(), "auth_failed");
    }
    // Some more, so that the test has time to look.
    for _ in 0..6 {
        let here = std::net::IpAddr::from([127, 0, 0, 1]);
        let mut failures = control.endpoint.0.failures.lock().expect("not poisoned");
        failures.failed(tokio::time::Instant::now(), Source::from(here));
    }
    // Now even the right secret or token has to wait, and is told for how long.
    let joined = soon(join(from_ref(&at), &right, &node("w-1"), Role::Worker)).await;
    let Err(crate::JoinError::NoLink(errors)) = joined else { panic!("no limit") };
    assert_eq!(errors[0].code(), "too_many_attempts");
    let pin = cluster.authority.pin();
    let client = soon(connect_client(&at, Some(pin), TOKEN)).await;
    assert_eq!(code_of(client), "too_many_attempts");
    // Those with a certificate are not affected.
    let worker = cluster.worker("w-2");
    assert!(soon(worker.endpoint.dial(&at)).await.is_ok());
}

#[tokio::test]
async fn a_browser_opens_no_link() {
    let cluster = Cluster::new();
    let control = cluster.control("ctl-1");
    let at = control.listen("ws").await;
    let mut stream = knock(&at).await;
    let request = "GET /link HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    stream
        .write_all(format!("{request}Origin: http://evil\r\n\r\n").as_bytes())
        .await
        .expect("sent");
    let answer = String::from_utf8(until_closed(&mut stream).await).expect("text");
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    let mut stream = knock(&at).await;
    stream.write_all(format!("{request}\r\n").as_bytes()).await.expect("sent");
    let mut start = [0; 12];
    soon(stream.read_exact(&mut start)).await.expect("an answer");
    assert_eq!(&start, b"HTTP/1.1 101");
}

#[tokio::test]
async fn listeners_end_with_the_supervisor() {
    let cluster = Cluster::new();
    let control = cluster.control("ctl-1");
    let worker = cluster.worker("w-1");
    let mut all = Vec::new();
    for transport in ["tcp", "tls", "ws", "wss", "mem"] {
        all.push(control.listen(transport).await);
    }
    assert!(control.supervisor.shutdown(Duration::from_secs(5)).await);
    for at in all {
        assert_eq!(code_of(soon(worker.endpoint.dial(&at)).await), "refused", "{at}");
    }
}

#[tokio::test]
async fn a_quic_listener_ends_as_well_and_its_links_live_on() {
    let cluster = Cluster::new();
    let mut control = cluster.control("ctl-1");
    let worker = cluster.worker("w-1");
    let at = control.listen("quic").await;
    let (dialled, accepted) = worker.link_to(&mut control, &at).await;
    assert!(control.supervisor.shutdown(Duration::from_secs(5)).await);
    let (config, door) = cluster.config("w-2", Role::Worker);
    let dial = Duration::from_millis(300);
    let config = EndpointConfig { limits: Limits { dial, ..limits() }, ..config };
    let late = TestNode::new(config, door);
    assert_eq!(code_of(soon(late.endpoint.dial(&at)).await), "timed_out");
    assert!(!dialled.is_closed() && !accepted.is_closed());
}
