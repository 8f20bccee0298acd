//! Reads and changes against a control node without workers; answers fit the document.

use serde_json::{Value, json};

use super::{
    fixture::{Answer, Server},
    schema::check,
};
use crate::openapi;

/// Holds an answer against what the document says about it.
fn documented(method: &str, path: &str, answer: &Answer) {
    let document: Value = serde_json::from_str(openapi::json()).expect("JSON");
    let responses = &document["paths"][path][method.to_ascii_lowercase()]["responses"];
    let response = responses.get(answer.status.to_string()).unwrap_or(&responses["default"]);
    let schema = &response["content"]["application/json"]["schema"];
    if schema.is_null() {
        assert!(answer.body.is_empty(), "{method} {path}: {answer:?}");
    } else if let Err(error) = check(&document, schema, &answer.json()) {
        panic!("{method} {path} is not as described: {error}: {}", answer.json());
    }
}

#[tokio::test]
async fn the_cluster_shows_itself() {
    let server = Server::start().await;
    let answer = server.call("GET", "/v1/cluster", &server.read, "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    documented("GET", "/v1/cluster", &answer);
    assert_eq!(answer.json()["name"], "test");
    assert_eq!(answer.json()["leader"], "c1");
    let index = format!("x-remuda-index: {}\r\n", answer.json()["applied"]);
    assert!(answer.head.contains(&index), "{answer:?}");
    for path in ["/v1/nodes", "/v1/tasks"] {
        let answer = server.call("GET", path, &server.read, "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        documented("GET", path, &answer);
    }
    for path in ["/v1/nodes?consistency=stale", "/v1/tokens?consistency=stale"] {
        let stale = server.call("GET", path, &server.admin, "").await;
        assert_eq!(stale.status, 200, "{path}: {stale:?}");
    }
    for path in ["/healthz", "/readyz", "/version"] {
        let answer = server.call("GET", path, "", "").await;
        assert_eq!(answer.status, 200, "{path}");
        documented("GET", path, &answer);
    }
    server.stop().await;
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let server = Server::start().await;
    for (method, path, pattern, body) in [
        ("GET", "/v1/nodes/w9", "/v1/nodes/{node}", ""),
        ("DELETE", "/v1/nodes/w9", "/v1/nodes/{node}", ""),
        ("PUT", "/v1/nodes/w9/status", "/v1/nodes/{node}/status", r#"{"status":"ready"}"#),
        ("PATCH", "/v1/nodes/w9/labels", "/v1/nodes/{node}/labels", r#"{"update":"a"}"#),
        ("POST", "/v1/nodes/w9/requests", "/v1/nodes/{node}/requests", r#"{"class":"node"}"#),
        ("POST", "/v1/nodes/w9/exec", "/v1/nodes/{node}/exec", r#"{"argv":["true"]}"#),
        (
            "POST",
            "/v1/nodes/w9/exec",
            "/v1/nodes/{node}/exec",
            r#"{"argv":["true"],"detach":true}"#,
        ),
        ("POST", "/v1/tasks", "/v1/tasks", r#"{"node":"w9","class":"exec"}"#),
        ("GET", "/v1/tasks/t9", "/v1/tasks/{task}", ""),
        ("GET", "/v1/tasks/t9?node=w9", "/v1/tasks/{task}", ""),
        ("DELETE", "/v1/tasks/t9", "/v1/tasks/{task}", ""),
        ("GET", "/v1/tasks/t9/output", "/v1/tasks/{task}/output", ""),
        ("POST", "/v1/tasks/t9/stop", "/v1/tasks/{task}/stop", "{}"),
        ("POST", "/v1/tasks/t9/commands", "/v1/tasks/{task}/commands", r#"{"payload":1}"#),
        ("DELETE", "/v1/cluster/controls/w9", "/v1/cluster/controls/{node}", ""),
        ("DELETE", "/v1/tokens/none", "/v1/tokens/{token}", ""),
    ] {
        let answer = server.call(method, path, &server.admin, body).await;
        assert_eq!(answer.status, 404, "{method} {path}: {answer:?}");
        documented(method, pattern, &answer);
    }
    server.stop().await;
}

#[tokio::test]
async fn tokens_are_made_shown_and_revoked() {
    let server = Server::start().await;
    let body = json!({"name": "ci", "scope": "operate", "ttl_ms": 3_600_000}).to_string();
    let made = server.call("POST", "/v1/tokens", &server.admin, &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    documented("POST", "/v1/tokens", &made);
    let secret = made.json()["secret"].as_str().expect("a secret").to_owned();
    let id = made.json()["token"]["id"].as_str().expect("an id").to_owned();
    assert_eq!(server.call("GET", "/v1/nodes", &secret, "").await.status, 200);

    let all = server.call("GET", "/v1/tokens", &server.admin, "").await;
    documented("GET", "/v1/tokens", &all);
    let text = String::from_utf8(all.body.clone()).expect("text");
    assert!(text.contains(&id), "{text}");
    assert!(!text.contains(&secret) && !text.contains("hash"), "no secrets: {text}");

    let revoked = server.call("DELETE", &format!("/v1/tokens/{id}"), &server.admin, "").await;
    assert_eq!(revoked.status, 204, "{revoked:?}");
    assert_eq!(server.call("GET", "/v1/nodes", &secret, "").await.status, 401);
    server.stop().await;
}
