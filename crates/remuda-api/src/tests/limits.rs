//! Slow and many connections, and starting and stopping.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::fixture::{Answer, DEADLINE, Server, request};
use crate::{ApiConfig, ApiLimits, ServeError, serve};

fn impatient() -> ApiLimits {
    ApiLimits {
        first_head: Duration::from_millis(200),
        keep_alive: Duration::from_millis(300),
        body_grace: Duration::from_millis(200),
        ..ApiLimits::default()
    }
}

/// Waits until the server has closed the connection, whatever it says before.
async fn closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    // A reset closes as well.
    drop(timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("closed in time"));
}

#[tokio::test]
async fn connections_that_say_nothing_or_half_a_head_are_closed() {
    let server = Server::with(impatient()).await;
    let mut streams = Vec::new();
    for start in ["", "G", "GET /version HTTP/1.1\r\nHost: local"].repeat(20) {
        let mut stream = server.connect().await;
        stream.write_all(start.as_bytes()).await.expect("sent");
        streams.push(stream);
    }
    let answer = server.call("GET", "/version", "", "").await;
    assert_eq!(answer.status, 200, "others are served meanwhile");
    for mut stream in streams {
        closed(&mut stream).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_connection_is_reused_until_it_has_been_idle() {
    let server = Server::with(impatient()).await;
    let mut stream = server.connect().await;
    for _ in 0..3 {
        let bytes = request("GET", "/version", "Host: localhost\r\n", "");
        stream.write_all(bytes.as_bytes()).await.expect("sent");
        assert_eq!(Answer::read(&mut stream).await.status, 200);
    }
    closed(&mut stream).await;
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_trickles_is_given_up() {
    let server = Server::with(impatient()).await;
    let mut stream = server.connect().await;
    let head = format!(
        "POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Length: 100\r\n\r\n{{",
        server.admin
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let answer = Answer::read(&mut stream).await;
    assert_eq!((answer.status, answer.code().as_str()), (408, "body_too_slow"));
    closed(&mut stream).await;
    server.stop().await;
}

#[tokio::test]
async fn more_connections_than_allowed_wait_for_their_turn() {
    let server = Server::with(ApiLimits { connections: 1, ..impatient() }).await;
    let mut first = server.connect().await;
    first.write_all(b"GET /ver").await.expect("sent");
    // Served once the first has been closed for being slow.
    let answer = server.call("GET", "/version", "", "").await;
    assert_eq!(answer.status, 200);
    closed(&mut first).await;
    server.stop().await;
}

#[tokio::test]
async fn stopping_ends_idle_connections_and_streams() {
    let server = Server::start().await;
    let mut idle = server.connect().await;
    let bytes = request("GET", "/version", "Host: localhost\r\n", "");
    idle.write_all(bytes.as_bytes()).await.expect("sent");
    assert_eq!(Answer::read(&mut idle).await.status, 200);
    let mut events = server.connect().await;
    let headers = format!("Host: localhost\r\nAuthorization: Bearer {}\r\n", server.read);
    let bytes = request("GET", "/v1/events", &headers, "");
    events.write_all(bytes.as_bytes()).await.expect("sent");
    assert_eq!(Answer::read(&mut events).await.status, 200);
    server.stop().await;
    closed(&mut idle).await;
    let mut rest = String::new();
    events.read_to_string(&mut rest).await.expect("an orderly end");
    assert!(rest.contains("event: gap") && rest.contains("interrupted"), "{rest:?}");
}

#[tokio::test]
async fn an_api_in_the_clear_is_refused_off_loopback() {
    let server = Server::start().await;
    let everywhere: SocketAddr = "0.0.0.0:0".parse().expect("valid");
    let supervisor = remuda_runtime::Supervisor::new();
    let config = ApiConfig::new(everywhere);
    let refused = serve(config.clone(), server.control.clone(), supervisor.clone()).await;
    let error = refused.expect_err("no TLS");
    assert!(matches!(error, ServeError::Insecure { .. }), "{error}");
    assert!(error.hint().expect("advice").contains("--insecure-i-understand"));
    let insists = ApiConfig { insecure: true, ..config };
    serve(insists, server.control.clone(), supervisor.clone()).await.expect("as asked");
    assert!(supervisor.shutdown(DEADLINE).await);
    let taken = ApiConfig::new(server.address);
    let error = serve(taken, server.control.clone(), supervisor).await.expect_err("taken");
    assert!(error.hint().is_some(), "{error}");
    server.stop().await;
}
