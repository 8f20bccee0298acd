//! Files by way of the API.

use std::fs;

use remuda_artifact::digest_of;
use serde_json::{Value, json};

use super::{node::Node, streams::Streaming};

async fn upload(node: &Node, content: &str, query: &str, body: &str) -> (u16, Value) {
    let path = format!("/v1/artifacts/{}?{query}", digest_of(content.as_bytes()));
    let answer = node.server.call("PUT", &path, &node.server.operate, body).await;
    (answer.status, answer.json())
}

async fn send(node: &Node, body: &Value) -> Vec<Value> {
    let mut stream =
        Streaming::open(&node.server, "POST", "/v1/files", None, &body.to_string()).await;
    assert_eq!(stream.status.as_u16(), 200);
    let mut lines = Vec::new();
    while let Some(line) = stream.json().await {
        if line["type"] != "progress" {
            lines.push(line);
        }
    }
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_that_was_brought_goes_to_nodes_and_comes_back() {
    let node = Node::start().await;
    let content = "0123456789";
    let (status, part) = upload(&node, content, "size=10", "01234").await;
    assert_eq!((status, &part["held"], &part["complete"]), (200, &json!(5), &json!(false)));
    let (status, wrong) = upload(&node, content, "size=10", "56789").await;
    assert_eq!((status, &wrong["error"]["code"]), (409, &json!("wrong_offset")));
    let (status, whole) = upload(&node, content, "size=10&offset=5", "56789").await;
    assert_eq!((status, &whole["complete"]), (200, &json!(true)), "{whole}");

    let digest = digest_of(content.as_bytes());
    let dir = node.server.dir.path().canonicalize().expect("is there");
    let target = dir.join("files/numbers");
    let request = json!({
        "source": {"artifact": {"digest": digest, "size": 10}},
        "nodes": ["c1", "nobody"],
        "path": target,
        "mode": 0o600,
    });
    let mut lines = send(&node, &request).await;
    assert_eq!(lines.remove(0), json!({"type": "source", "digest": digest, "size": 10}));
    assert_eq!(lines.pop().expect("an end"), json!({"type": "end"}));
    lines.sort_by_key(|line| line["node"].to_string());
    let done = json!({"type": "done", "node": "c1", "path": target, "was_there": false});
    assert_eq!(lines[0], done);
    assert_eq!(
        (&lines[1]["type"], &lines[1]["error"]["code"]),
        (&json!("failed"), &json!("unknown_node"))
    );
    assert_eq!(fs::read_to_string(&target).expect("is there"), content);

    let path = format!("/v1/nodes/c1/file?path={}", target.display());
    let file = node.server.call("GET", &path, &node.server.operate, "").await.json();
    assert_eq!((&file["digest"], &file["mode"]), (&json!(digest), &json!(0o600)));
    let path = format!("/v1/nodes/c1/file/content?path={}&offset=4", target.display());
    let rest = node.server.call("GET", &path, &node.server.operate, "").await;
    assert_eq!((rest.status, rest.body.as_slice()), (200, &b"456789"[..]));
    assert!(rest.head.contains("content-disposition: attachment"), "{}", rest.head);
    assert!(rest.head.contains("x-content-type-options: nosniff"), "{}", rest.head);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_sent_is_said() {
    let node = Node::start().await;
    let (status, wrong) = upload(&node, "right", "size=5", "wrong").await;
    assert_eq!((status, &wrong["error"]["code"]), (400, &json!("wrong_digest")));
    let (status, long) = upload(&node, "right", "size=5", "right and more").await;
    assert_eq!((status, &long["error"]["code"]), (400, &json!("wrong_size")));
    let (status, full) = upload(&node, "right", "size=1152921504606846976", "r").await;
    assert_eq!((status, &full["error"]["code"]), (507, &json!("disk_full")));
    let bad = node.server.call("PUT", "/v1/artifacts/xyz?size=1", &node.server.operate, "x").await;
    assert_eq!(bad.status, 400);

    let digest = digest_of(b"never brought");
    let source = json!({"artifact": {"digest": digest, "size": 13}});
    let lines = send(&node, &json!({"source": source, "nodes": ["c1"], "path": "/x"})).await;
    assert_eq!(lines[1]["error"]["code"], "no_artifact", "{lines:?}");
    for (body, message) in [
        (json!({"source": source, "nodes": [], "path": "/x"}), "nodes"),
        (json!({"source": source, "nodes": ["c1"], "paht": "/x"}), "paht"),
        (json!({"source": {"url": "x"}, "nodes": ["c1"]}), "url"),
    ] {
        let answer =
            node.server.call("POST", "/v1/files", &node.server.operate, &body.to_string()).await;
        assert_eq!(answer.status, 400);
        assert!(answer.message().contains(message), "{}", answer.message());
    }
    let from = json!({"file": {"node": "c1", "path": "/etc/passwd"}});
    let body = json!({"source": from, "nodes": ["c1"], "path": "/x"}).to_string();
    let outside = node.server.call("POST", "/v1/files", &node.server.operate, &body).await;
    assert_eq!((outside.status, outside.code().as_str()), (403, "path_outside"));
    node.stop().await;
}
