//! Attacks on the API, against the real binary: without rights, with too much, from foreign pages.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use remuda_api::dto::Scope;
use remuda_e2e::{
    Lab, PATIENCE,
    attack::{exchange, request},
    eventually, info,
};
use serde_json::Value;

fn api(lab: &Lab) -> String {
    lab.node("c1").api().trim_start_matches("http://").to_owned()
}

/// Method, path with values for its parameters, and the scope that the description demands.
fn routes(document: &Value) -> Vec<(String, String, Option<String>)> {
    let paths = document["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, item)| {
        let filled: Vec<&str> =
            path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect();
        let filled = filled.join("/").replace("join-tokens/x", "join-tokens/worker");
        let operations = item.as_object().expect("operations").iter();
        operations.map(move |(method, operation)| {
            let words = operation["description"].as_str().unwrap_or_default();
            let scope =
                words.split("token of scope `").nth(1).and_then(|rest| rest.split('`').next());
            (method.to_uppercase(), filled.clone(), scope.map(str::to_owned))
        })
    });
    operations.collect()
}

/// Every route of the served description, with every sort of token.
#[tokio::test(flavor = "multi_thread")]
async fn every_route_demands_its_scope() {
    let lab = Lab::start(1, 0).await;
    let client = lab.client("c1");
    let api = api(&lab);
    let mut tokens = Vec::new();
    for scope in [Scope::Read, Scope::Operate] {
        let made = client.create_token("attack", scope, None).await.expect("made");
        tokens.push((scope.to_string(), made.secret));
    }
    let brief = Some(Duration::from_millis(1));
    let expired = client.create_token("brief", Scope::Admin, brief).await.expect("made").secret;
    let revoked = client.create_token("gone", Scope::Admin, None).await.expect("made");
    client.revoke_token(&revoked.token.id).await.expect("revoked");
    let admin = lab.admin_token().to_owned();
    let document =
        exchange(&api, request(&api, "GET", "/openapi.json", Some(&admin), "").as_bytes());
    let body = document.text.split_once("\r\n\r\n").expect("a body").1;
    let document: Value = serde_json::from_str(body).expect("JSON");
    let routes = routes(&document);
    assert!(routes.len() > 20, "{routes:?}");

    let rank = |scope: &str| ["read", "operate", "admin"].iter().position(|one| *one == scope);
    let forged = format!("{}{}", &admin[..admin.len() - 4], "AAAA");
    for (method, path, scope) in &routes {
        let status = |token: Option<&str>| {
            exchange(&api, request(&api, method, path, token, "").as_bytes()).status
        };
        let Some(scope) = scope else {
            assert!(["/healthz", "/readyz", "/version"].contains(&path.as_str()), "{path} is open");
            continue;
        };
        for (what, token) in [
            ("no token", None),
            ("an expired token", Some(expired.as_str())),
            ("a revoked token", Some(revoked.secret.as_str())),
            ("a forged token", Some(forged.as_str())),
        ] {
            let status = status(token);
            assert!([401, 429].contains(&status), "{method} {path} with {what}: {status}");
        }
        for (held, token) in &tokens {
            // Nothing that changes the cluster is let through here.
            if rank(held) < rank(scope) {
                assert_eq!(status(Some(token)), 403, "{method} {path} with `{held}`");
            }
        }
    }
    assert_eq!(client.nodes().await.expect("listed").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_pages_and_names_are_refused() {
    let lab = Lab::start(1, 0).await;
    let (api, admin) = (api(&lab), lab.admin_token().to_owned());
    let status = |method: &str, path: &str, more: &str| {
        exchange(&api, request(&api, method, path, Some(&admin), more).as_bytes()).status
    };
    assert_eq!(status("GET", "/v1/nodes", ""), 200);
    let port = api.rsplit(':').next().expect("a port");
    for host in [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        format!("127.0.0.1.evil.example:{port}"),
        format!("localhost.evil.example:{port}"),
        "169.254.169.254".to_owned(),
        format!("user@127.0.0.1:{port}"),
        String::new(),
    ] {
        let answer = status("GET", "/v1/nodes", &format!("Host: {host}\r\n"));
        assert!([400, 403].contains(&answer), "{host:?}: {answer}");
    }
    let twice = format!("Host: {api}\r\nHost: evil.example\r\n");
    assert!([400, 403].contains(&status("GET", "/v1/nodes", &twice)), "two hosts");
    for origin in ["http://evil.example", "null", "https://127.0.0.1.evil.example", "file://"] {
        let more = format!("Origin: {origin}\r\n");
        assert_eq!(status("DELETE", "/v1/tokens/x", &more), 403, "{origin}");
        assert_eq!(status("POST", "/v1/tokens", &more), 403, "{origin}");
    }
    // A form of another page cannot send JSON, nor a token; nor may anybody read the answer.
    let form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 0\r\n";
    let bare = exchange(&api, request(&api, "POST", "/v1/tokens", None, form).as_bytes());
    assert_eq!(bare.status, 401);
    let preflight = "Origin: http://evil.example\r\nAccess-Control-Request-Method: POST\r\n";
    let answer = exchange(&api, request(&api, "OPTIONS", "/v1/tokens", None, preflight).as_bytes());
    assert!(answer.status >= 400, "{}", answer.text);
    assert!(!answer.text.to_ascii_lowercase().contains("access-control-allow"), "{}", answer.text);
    // A token in the address does not count, since addresses are logged.
    let query = exchange(
        &api,
        request(&api, "GET", &format!("/v1/nodes?token={admin}"), None, "").as_bytes(),
    );
    assert_eq!(query.status, 401);
    assert!(!lab.node("c1").log().contains(&admin), "the token is in the log");
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a size");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_is_refused_and_forgotten() {
    let lab = Lab::start(1, 0).await;
    let (api, admin) = (api(&lab), lab.admin_token().to_owned());
    let pid = lab.node("c1").pid().expect("it runs");
    let before = resident_kib(pid);
    let post = |more: &str, body: &[u8]| {
        let head = format!(
            "POST /v1/nodes/c1/requests HTTP/1.1\r\nHost: {api}\r\nAuthorization: Bearer {admin}\r\n\
             Content-Type: application/json\r\n{more}\r\n\r\n"
        );
        exchange(&api, &[head.as_bytes(), body].concat()).status
    };
    let whole =
        |body: &[u8]| post(&format!("Content-Length: {}\r\nConnection: close", body.len()), body);

    // Heads: one long line, very many lines, a line without end.
    let many = "X-A: b\r\n".repeat(100_000);
    let long = format!("X-Long: {}\r\n", "a".repeat(1 << 20));
    for more in [many.trim_end(), long.trim_end()] {
        assert!([0, 400, 431].contains(&post(more, b"")), "a large head");
    }
    let path = format!("GET /{} HTTP/1.1\r\nHost: {api}\r\n\r\n", "a/".repeat(100_000));
    assert!([0, 400, 404, 414, 431].contains(&exchange(&api, path.as_bytes()).status));
    // Bodies: announced beyond all bounds, chunks beyond the range of numbers, both at once.
    assert_eq!(post("Content-Length: 109951162777600", b"{}"), 413);
    assert!([0, 400].contains(&post("Content-Length: 99999999999999999999999", b"{}")));
    for size in ["FFFFFFFFFFFFFFFFF", "-1", "7FFFFFFFFFFFFFFF"] {
        let body = format!("{size}\r\n{{}}\r\n0\r\n\r\n");
        let status = post("Transfer-Encoding: chunked\r\nConnection: close", body.as_bytes());
        assert!([0, 400, 408, 413].contains(&status), "a chunk of {size}: {status}");
    }
    let both = "Content-Length: 2\r\nTransfer-Encoding: chunked\r\nConnection: close";
    assert!([0, 400].contains(&post(both, b"0\r\n\r\n")), "two lengths");
    // JSON: deep, wide, long, repeated, and what would be a bomb if it were unpacked.
    assert_eq!(whole("[".repeat(100_000).as_bytes()), 400);
    let deep =
        format!("{{\"class\":\"node\",\"payload\":{}1{}}}", "[".repeat(60_000), "]".repeat(60_000));
    assert_eq!(whole(deep.as_bytes()), 400);
    let wide = format!("{{\"class\":\"node\",\"payload\":[{}1]}}", "{},".repeat(1_000_000));
    assert!([400, 404, 422, 502].contains(&whole(wide.as_bytes())), "a wide body");
    assert_eq!(whole(&vec![b' '; (4 << 20) + 1]), 413);
    let keys: String = (0..200_000).map(|_| "\"class\":\"node\",").collect();
    assert_eq!(whole(format!("{{{keys}\"class\":\"node\"}}").as_bytes()), 400);
    let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    let status = post("Content-Encoding: gzip\r\nContent-Length: 10\r\nConnection: close", &gzip);
    assert_eq!(status, 400, "compressed bodies are not unpacked");
    // Protocols that are not served.
    let preface = exchange(&api, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    assert!([0, 400, 505].contains(&preface.status), "{}", preface.text);
    let upgrade = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n";
    let answer =
        exchange(&api, request(&api, "GET", "/v1/events2", Some(&admin), upgrade).as_bytes());
    assert_eq!(answer.status, 404, "{}", answer.text);

    info(&lab.client("c1"), "c1").await.expect("it works");
    let small = |after: &u64| *after < before + 64 * 1024;
    eventually("memory is given back", async || resident_kib(pid), small).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_callers_hold_up_nobody() {
    let lab = Lab::start(1, 0).await;
    let (api, admin) = (api(&lab), lab.admin_token().to_owned());
    let starts = [
        String::new(),
        "GET /v1/nodes HT".to_owned(),
        format!("GET /v1/nodes HTTP/1.1\r\nHost: {api}\r\nX-Slow:"),
    ];
    let mut slow = Vec::new();
    for start in starts.iter().cycle().take(300) {
        let mut socket = TcpStream::connect(&api).expect("it accepts");
        socket.write_all(start.as_bytes()).expect("sent");
        slow.push(socket);
    }
    // A body that does not come: its place is given up as well, later.
    let mut body = TcpStream::connect(&api).expect("it accepts");
    let head = format!(
        "POST /v1/tokens HTTP/1.1\r\nHost: {api}\r\nAuthorization: Bearer {admin}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
    );
    body.write_all(head.as_bytes()).expect("sent");
    info(&lab.client("c1"), "c1").await.expect("others are served meanwhile");
    let closed = tokio::task::spawn_blocking(move || {
        for mut socket in slow.into_iter().chain([body]) {
            socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            let mut rest = Vec::new();
            if let Err(error) = socket.read_to_end(&mut rest) {
                assert_eq!(
                    error.kind(),
                    std::io::ErrorKind::ConnectionReset,
                    "not closed: {error}"
                );
            }
        }
    });
    closed.await.expect("all are closed");
    info(&lab.client("c1"), "c1").await.expect("all is well");
}
