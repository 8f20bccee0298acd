//! Bytes over TCP.

use remuda_model::run::{Tcp, Until};

use super::*;

fn tcp(server: SocketAddr, send: Option<&str>, until: Until) -> Tcp {
    Tcp {
        port: server.port().to_string(),
        send: send.map(str::to_owned),
        until,
        expect: None,
        tls: None,
        output: None,
    }
}

/// Greets, echoes one line, and closes.
async fn echo() -> SocketAddr {
    serve(|mut stream| async move {
        let mut text = [0; 100];
        let _ = stream.write_all(b"220 hello\r\n").await;
        let n = stream.read(&mut text).await.unwrap_or_default();
        let _ = stream.write_all(&text[..n]).await;
    })
    .await
}

#[tokio::test]
async fn an_answer_ends_as_the_run_says() {
    let server = echo().await;
    for (until, body) in [
        (Until::Connected, ""),
        (Until::Line, "220 hello\r\n"),
        (Until::Bytes(5), "220 h"),
        (Until::Text("lo\r\n127.0".to_owned()), "220 hello\r\n127.0"),
        (Until::Closed, "220 hello\r\n127.0.0.1\n"),
        (Until::Idle(200), "220 hello\r\n127.0.0.1\n"),
    ] {
        let done = attempt(Command::Tcp(tcp(server, Some("{{host}}\n"), until.clone()))).await;
        assert_eq!((done.record.outcome, done.body().as_str()), (Outcome::Ok, body), "{until:?}");
        assert_eq!(done.record.address, Some(server.to_string()));
    }
}

#[tokio::test]
async fn an_answer_must_have_the_text_that_is_expected() {
    let server = echo().await;
    for (expect, outcome) in [("hello", Outcome::Ok), ("goodbye", Outcome::Unexpected)] {
        let mut tcp = tcp(server, None, Until::Line);
        tcp.expect = Some(expect.to_owned());
        let done = attempt(Command::Tcp(tcp)).await;
        assert_eq!((done.record.outcome, done.body().as_str()), (outcome, "220 hello\r\n"));
    }
}

#[tokio::test]
async fn an_early_end_is_a_failure() {
    let server = serve(|mut stream| async move {
        let _ = stream.write_all(b"abc").await;
    })
    .await;
    for until in [Until::Line, Until::Bytes(4), Until::Text("abcd".to_owned())] {
        let done = attempt(Command::Tcp(tcp(server, None, until))).await;
        assert_eq!((done.kind(), done.body().as_str()), (Some(TroubleKind::Closed), "abc"));
        assert_eq!(done.again, Again::Repeatable, "nothing was sent");
    }
    let done = attempt(Command::Tcp(tcp(server, Some("x"), Until::Line))).await;
    assert_eq!(done.again, Again::No, "who knows what it did");
}

#[tokio::test]
async fn silence_and_floods_have_an_end() {
    let silent = serve(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let done = hurried(Command::Tcp(tcp(silent, None, Until::Closed)), 100, 60_000).await;
    assert_eq!((done.record.outcome, done.kind()), (Outcome::TimedOut, Some(TroubleKind::Timeout)));
    let flood = serve(|mut stream| async move {
        let piece = vec![b'x'; 1 << 16];
        while stream.write_all(&piece).await.is_ok() {}
    })
    .await;
    let mut endless = tcp(flood, None, Until::Closed);
    endless.output = Some(10);
    let done = attempt(Command::Tcp(endless.clone())).await;
    assert_eq!((done.record.outcome, done.record.truncated), (Outcome::Ok, true));
    assert_eq!(done.body(), "xxxxxxxxxx");
    endless.until = Until::Line;
    let done = attempt(Command::Tcp(endless)).await;
    assert_eq!(done.kind(), Some(TroubleKind::Mismatch), "{done:?}");
}

#[tokio::test]
async fn a_port_is_a_number() {
    let mut tcp = tcp(echo().await, None, Until::Line);
    tcp.port = "{{vars.port}}".to_owned();
    let spec = spec(Command::Tcp(tcp));
    for port in ["0", "65536", "http", ""] {
        let mut target = given("127.0.0.1");
        target.vars.push(("port".to_owned(), port.to_owned()));
        let done = attempt_with(&spec, &Secrets::default(), &target).await;
        assert_eq!(done.kind(), Some(TroubleKind::Template), "{port}");
    }
}
