//! Malformed requests: each is refused with a text that names what is wrong.

use super::fixture::{Server, request};

#[tokio::test]
async fn malformed_bodies_are_refused_by_the_name_of_the_field() {
    let server = Server::start().await;
    for (method, path, body, expected) in [
        ("POST", "/v1/tasks", "", "EOF"),
        ("POST", "/v1/tasks", "[]", "invalid"),
        ("POST", "/v1/tasks", "{", "EOF"),
        ("POST", "/v1/tasks/t1/stop", "{} {}", "trailing characters"),
        ("POST", "/v1/tasks", r#"{"class":"exec"}"#, "missing field `node`"),
        ("POST", "/v1/tasks", r#"{"node":"w1","klass":"x"}"#, "unknown field `klass`"),
        ("POST", "/v1/tasks", r#"{"node":"W 1","class":"x"}"#, "node: invalid node name `W 1`"),
        ("POST", "/v1/nodes/w1/exec", r#"{"argv":"ls"}"#, "argv: invalid type"),
        ("POST", "/v1/nodes/w1/exec", r#"{"argv":["a",1]}"#, "argv[1]: invalid type"),
        ("POST", "/v1/nodes/w1/exec", r#"{"argv":[]}"#, "argv: expected the program"),
        ("POST", "/v1/nodes/w1/exec", r#"{"argv":["a"],"timeout_ms":-1}"#, "timeout_ms: invalid"),
        ("POST", "/v1/nodes/w1/exec", r#"{"argv":["a"],"stdin_base64":"?"}"#, "base64"),
        (
            "POST",
            "/v1/nodes/w1/exec",
            r#"{"argv":["a"],"stdin_base64":"","stdin_open":true}"#,
            "exclude each other",
        ),
        ("POST", "/v1/nodes/w1/requests", r#"{"class":"a","timeout_ms":0}"#, "timeout_ms"),
        ("POST", "/v1/tasks/t1/stop?node=w1", r#"{"grace":1}"#, "unknown field `grace`"),
        ("PUT", "/v1/nodes/w1/status", r#"{"status":"happy"}"#, "status: unknown variant `happy`"),
        ("POST", "/v1/nodes", r#"{"url":"ftp://x"}"#, "url: cannot parse URL"),
        ("POST", "/v1/tokens", r#"{"name":"x","scope":"root"}"#, "scope: unknown variant `root`"),
        ("GET", "/v1/nodes?consistensy=stale", "", "unknown field `consistensy`"),
        ("GET", "/v1/nodes?consistency=fresh", "", "unknown variant `fresh`"),
        ("GET", "/v1/tasks?node=W", "", "node: invalid node name"),
        ("GET", "/v1/events?after=3", "", "after: expected `node`"),
        ("GET", "/v1/nodes/W1", "", "invalid node name"),
        ("GET", "/v1/nodes/%2e%2e%2fetc", "", "invalid node name"),
        ("GET", "/v1/cluster/join-tokens/client", "", "expected `control` or `worker`"),
    ] {
        let answer = server.call(method, path, &server.admin, body).await;
        assert_eq!(answer.status, 400, "{method} {path} {body}: {answer:?}");
        let message = answer.message();
        assert!(message.contains(expected), "{method} {path} {body}: {message:?}");
        assert!(!message.contains("dto"), "no names of types: {message:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn oversized_and_overdeep_bodies_are_refused() {
    let server = Server::start().await;
    let bomb = format!(r#"{{"class":"x","payload":{}"#, "[".repeat(100_000));
    let answer = server.call("POST", "/v1/nodes/w1/requests", &server.admin, &bomb).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "body_too_deep"));

    let large = "x".repeat(5 << 20);
    let answer = server.call("POST", "/v1/tasks", &server.admin, &large).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"));
    assert!(answer.head.contains("connection: close"), "{answer:?}");

    // The same without saying the length beforehand.
    let headers = format!(
        "Host: localhost\r\nAuthorization: Bearer {}\r\nTransfer-Encoding: chunked\r\n",
        server.admin
    );
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, "x".repeat(1 << 20));
    let bytes = format!("POST /v1/tasks HTTP/1.1\r\n{headers}\r\n{}", chunk.repeat(5));
    let answer = server.raw(&bytes).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"));
    server.stop().await;
}

#[tokio::test]
async fn oversized_heads_and_broken_requests_are_refused() {
    let server = Server::start().await;
    let long = format!("Host: localhost\r\nX-Long: {}\r\n", "x".repeat(20 * 1024));
    assert_eq!(server.raw(&request("GET", "/version", &long, "")).await.status, 431);
    let many = format!("Host: localhost\r\n{}", "X-Many: 1\r\n".repeat(200));
    assert_eq!(server.raw(&request("GET", "/version", &many, "")).await.status, 431);
    for broken in ["nonsense\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET\r\n\r\n", "\0\0\0\r\n\r\n"] {
        assert_eq!(server.raw(broken).await.status, 400, "{broken:?}");
    }
    // Both lengths at once: a smuggler's request.
    let both = "POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\
                Content-Length: 4\r\n\r\nabcd";
    assert_eq!(server.raw(both).await.status, 400);
    let answer = server.call("GET", "/version", "", "").await;
    assert_eq!(answer.status, 200, "it still serves");
    server.stop().await;
}
