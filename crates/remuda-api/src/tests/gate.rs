//! Who may call what: every route of the table with every sort of token, foreign names, foreign
//! origins, floods.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::fixture::{Server, request};
use crate::{
    ApiLimits,
    access::Access,
    dto::Scope,
    route::{ROUTES, Route},
};

fn path_of(route: &Route) -> String {
    let filled = route
        .path
        .replace("{node}", "w9")
        .replace("{task}", "t9")
        .replace("{role}", "worker")
        .replace("{run}", "r9")
        .replace("{list}", "l9")
        .replace("{schedule}", "s9")
        .replace("{token}", "none")
        .replace("{digest}", &"0f".repeat(32));
    assert!(!filled.contains('{'), "a parameter that this test does not know: {}", route.path);
    filled
}

#[tokio::test]
async fn every_route_demands_what_the_table_says() {
    let server = Server::start().await;
    let short = Some(Duration::from_millis(1));
    let expired = server.control.create_token("short", Scope::Admin.into(), short).await;
    let expired = expired.expect("a token").1;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let wrong = format!("{}x", &server.admin[..server.admin.len() - 1]);
    let callers = [
        ("none", String::new(), None),
        ("wrong", bearer(&wrong), None),
        ("nonsense", bearer("rmt1"), None),
        ("expired", bearer(&expired), None),
        ("other scheme", format!("Authorization: Basic {}\r\n", server.admin), None),
        ("twice", bearer(&server.admin).repeat(2), None),
        ("prefix", bearer(&server.admin[..server.admin.len() - 4]), None),
        ("read", bearer(&server.read), Some(Scope::Read)),
        ("operate", bearer(&server.operate), Some(Scope::Operate)),
        ("admin", bearer(&server.admin), Some(Scope::Admin)),
    ];
    for route in ROUTES {
        for (name, authorization, held) in &callers {
            let headers = format!("Host: localhost\r\n{authorization}");
            let bytes = request(route.method.as_str(), &path_of(route), &headers, "");
            let answer = server.raw(&bytes).await;
            let expected = match (route.access, held) {
                (Access::Scope(_), None) => Some(401),
                (Access::Scope(needed), Some(held)) if *held < needed => Some(403),
                (Access::Open, _) | (Access::Scope(_), Some(_)) => None,
            };
            let what = format!("{} {} with token {name}: {answer:?}", route.method, route.path);
            match expected {
                Some(status) => assert_eq!(answer.status, status, "{what}"),
                None => assert!(!matches!(answer.status, 401 | 403 | 429), "{what}"),
            }
            if answer.status == 401 {
                assert!(answer.head.contains("www-authenticate: bearer"), "{what}");
            }
            for header in ["x-content-type-options: nosniff", "cache-control: no-store"] {
                assert!(answer.head.contains(header), "{what}");
            }
        }
    }
    server.stop().await;
}

#[test]
fn only_three_routes_are_open() {
    let open: Vec<_> = ROUTES.iter().filter(|route| route.access == Access::Open).collect();
    let paths: Vec<_> = open.iter().map(|route| route.path).collect();
    assert_eq!(paths, ["/healthz", "/readyz", "/version"]);
    let changing_by_reader = ROUTES.iter().find(|route| {
        route.method != axum::http::Method::GET && route.access == Access::Scope(Scope::Read)
    });
    assert!(changing_by_reader.is_none(), "{changing_by_reader:?}");
}

#[tokio::test]
async fn what_is_not_in_the_table_is_refused() {
    let server = Server::start().await;
    for (method, path) in [("GET", "/"), ("GET", "/v1"), ("GET", "/v1/nodes/"), ("POST", "/x")] {
        let headers = "Host: localhost\r\n";
        let stranger = server.raw(&request(method, path, headers, "")).await;
        assert_eq!(stranger.status, 401, "{method} {path}: strangers learn nothing");
        let answer = server.call(method, path, &server.read, "").await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "no_such_path"), "{path}");
    }
    for method in ["PUT", "OPTIONS", "TRACE", "PROPFIND"] {
        let answer = server.call(method, "/v1/nodes", &server.admin, "").await;
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.code(), "method_not_allowed");
    }
    for (path, status) in [("/version", "200"), ("/v1/nodes", "401")] {
        let mut stream = server.connect().await;
        let bytes = request("HEAD", path, "Host: localhost\r\n", "");
        stream.write_all(bytes.as_bytes()).await.expect("sent");
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.expect("an answer");
        assert_eq!(start, format!("HTTP/1.1 {status}").as_bytes(), "HEAD is as GET");
    }
    server.stop().await;
}

#[tokio::test]
async fn foreign_names_and_origins_are_refused_even_with_a_token() {
    let server = Server::start().await;
    let token = format!("Authorization: Bearer {}\r\n", server.admin);
    for (headers, code) in [
        ("Host: evil.example\r\n", Some("host_not_allowed")),
        ("Host: localhost\r\nOrigin: http://evil.example\r\n", Some("origin_not_allowed")),
        ("Host: localhost\r\nOrigin: null\r\n", Some("origin_not_allowed")),
        ("Host: localhost:1\r\nOrigin: http://localhost:2\r\n", Some("origin_not_allowed")),
        ("Host: localhost:1\r\nOrigin: http://localhost:1\r\n", None),
        ("Host: localhost\r\n", None),
    ] {
        let bytes = request("POST", "/v1/tasks", &format!("{headers}{token}"), "{}");
        let answer = server.raw(&bytes).await;
        match code {
            Some(code) => assert_eq!((answer.status, answer.code().as_str()), (403, code)),
            None => assert_eq!(answer.status, 400, "{headers}: {answer:?}"),
        }
    }
    // Open routes too: a page must not learn that there is a cluster.
    let answer = server.raw(&request("GET", "/version", "Host: evil.example\r\n", "")).await;
    assert_eq!(answer.code(), "host_not_allowed");
    let answer = server.raw(&request("GET", "/version", "", "")).await;
    assert_eq!(answer.status, 400);
    server.stop().await;
}

#[tokio::test]
async fn a_flood_of_wrong_tokens_is_held_up_and_good_ones_are_not() {
    let limits = ApiLimits { failures_per_second: 1, ..ApiLimits::default() };
    let server = Server::with(limits).await;
    let mut held_up = 0;
    for _ in 0..50 {
        let answer = server.call("GET", "/openapi.json", "rmt1.none.wrong", "").await;
        match answer.status {
            401 => {}
            429 => {
                assert!(answer.head.contains("retry-after: 1"), "{answer:?}");
                held_up += 1;
            }
            _ => panic!("{answer:?}"),
        }
        let good = server.call("GET", "/openapi.json", &server.read, "").await;
        assert_eq!(good.status, 200);
    }
    assert!(held_up > 0);
    server.stop().await;
}
