//! Work on a worker that runs: commands, tasks, output, events.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{node::Node, streams::Streaming};
use crate::dto::OutputLine;

async fn exec(node: &Node, body: &Value) -> Streaming {
    let body = body.to_string();
    Streaming::open(&node.server, "POST", "/v1/nodes/c1/exec", None, &body).await
}

/// The id in the first line of a command's stream.
async fn started(stream: &mut Streaming) -> String {
    assert_eq!((stream.status.as_u16(), stream.kind.as_str()), (200, "application/x-ndjson"));
    let line = stream.json().await.expect("a line");
    assert_eq!(line["type"], "started", "{line}");
    line["task"]["id"].as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_gets_its_input_and_gives_its_output_and_end() {
    let node = Node::start().await;
    let input: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
    let body = json!({"argv": ["cat"], "stdin_base64": STANDARD.encode(&input)});
    let mut stream = exec(&node, &body).await;
    started(&mut stream).await;
    let mut output = Vec::new();
    let end = loop {
        let line = stream.json().await.expect("a line");
        match serde_json::from_value(line).expect("a line of output") {
            OutputLine::Stdout { data, .. } => output.extend(data),
            OutputLine::End { end } => break end,
            other => panic!("{other:?}"),
        }
    };
    assert!(end.success(), "{end}");
    assert!(output == input, "{} of {} bytes", output.len(), input.len());
    assert!(stream.line().await.is_none(), "nothing follows the end");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_class_refuses_is_an_error() {
    let node = Node::start().await;
    for detach in [false, true] {
        let body = json!({"argv": ["refuse"], "detach": detach}).to_string();
        let path = "/v1/nodes/c1/exec";
        let refused = node.server.call("POST", path, &node.server.operate, &body).await;
        assert_eq!((refused.status, refused.message().as_str()), (409, "not this"));
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_is_stopped_when_its_caller_goes_away() {
    let mut node = Node::start().await;
    let mut stream = exec(&node, &json!({"argv": ["wait"]})).await;
    started(&mut stream).await;
    let line = stream.json().await.expect("a line");
    assert_eq!(line["type"], "stderr", "{line}");
    let running = node.server.call("GET", "/v1/tasks?running=true", &node.server.read, "").await;
    assert_eq!(running.json()["tasks"].as_array().expect("tasks").len(), 1);
    drop(stream);
    // The worker itself would stop it later, and with another grace.
    assert_eq!(node.ended().await, Some(Duration::from_secs(5)));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_detached_command_is_a_task_until_it_is_stopped_and_forgotten() {
    let mut node = Node::start().await;
    let server = &node.server;
    let body = json!({"argv": ["wait"], "detach": true}).to_string();
    let made = server.call("POST", "/v1/nodes/c1/exec", &server.operate, &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let path = format!("/v1/tasks/{}", made.json()["id"].as_str().expect("an id"));
    assert_eq!(server.call("GET", &path, &server.read, "").await.json()["state"], "running");
    let busy = server.call("DELETE", &path, &server.operate, "").await;
    assert_eq!(busy.status, 409, "{busy:?}");

    let output = format!("{path}/output");
    let mut now = Streaming::open(server, "GET", &output, None, "").await;
    let first = now.json().await.expect("a line");
    assert_eq!((&first["type"], &first["data"]), (&json!("stderr"), &json!("d2FpdGluZw==")));
    assert_eq!(now.json().await.expect("a line"), json!({"type": "up_to_date"}));
    assert!(now.line().await.is_none());

    let after = format!("{output}?node=c1&follow=true&offset={}", first["next"]);
    let mut rest = Streaming::open(server, "GET", &after, None, "").await;
    let stop = format!("{path}/stop");
    let stopped = server.call("POST", &stop, &server.operate, r#"{"grace_ms":7000}"#).await;
    assert_eq!(stopped.status, 202, "{stopped:?}");
    let end = rest.json().await.expect("a line");
    assert_eq!(end["type"], "end", "nothing comes twice: {end}");
    assert_eq!(end["end"]["exited"]["stopped"], true);
    assert_eq!(node.ended().await, Some(Duration::from_secs(7)));
    let server = &node.server;
    // The output has ended a moment before the record says so.
    let forgotten = loop {
        let answer = server.call("DELETE", &path, &server.operate, "").await;
        if answer.status != 409 {
            break answer;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(forgotten.status, 204, "{forgotten:?}");
    assert_eq!(server.call("GET", &path, &server.read, "").await.status, 404);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_input_is_fed_by_commands() {
    let node = Node::start().await;
    let mut stream = exec(&node, &json!({"argv": ["cat"], "stdin_open": true})).await;
    let path = format!("/v1/tasks/{}/commands?node=c1", started(&mut stream).await);
    for payload in [json!({"stdin": "aGk="}), json!("close_stdin")] {
        let body = json!({"payload": payload}).to_string();
        let answer = node.server.call("POST", &path, &node.server.operate, &body).await;
        assert_eq!((answer.status, answer.json()), (200, json!({"reply": null})));
    }
    assert_eq!(stream.json().await.expect("a line")["data"], "aGk=");
    assert_eq!(stream.json().await.expect("a line")["type"], "end");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_to_a_task_waits_as_long_as_it_says() {
    let node = Node::start().await;
    let server = &node.server;
    let task = r#"{"node":"c1","class":"exec","spec":{"argv":["mute"]},"id":"t1"}"#;
    let made = server.call("POST", "/v1/tasks", &server.operate, task).await;
    assert_eq!(made.status, 201, "{made:?}");
    let path = "/v1/tasks/t1/commands?node=c1";
    let body = r#"{"payload":"close_stdin","timeout_ms":20}"#;
    let late = server.call("POST", path, &server.operate, body).await;
    assert_eq!((late.status, late.code().as_str()), (504, "timed_out"), "{late:?}");
    for timeout_ms in [0, 86_400_001] {
        let body = json!({"payload": "close_stdin", "timeout_ms": timeout_ms}).to_string();
        let wrong = server.call("POST", path, &server.operate, &body).await;
        assert_eq!(wrong.status, 400, "{wrong:?}");
        assert_eq!(wrong.message(), "body: timeout_ms: expected 1 to 86400000");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_status_and_labels_reach_the_node() {
    let node = Node::start().await;
    let server = &node.server;
    let body = r#"{"class":"node","payload":"status"}"#;
    let answer = server.call("POST", "/v1/nodes/c1/requests", &server.operate, body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = r#"{"update":"a;b=1,c","remove":["x"]}"#;
    let answer = server.call("PATCH", "/v1/nodes/c1/labels", &server.operate, body).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"labels": "a;b=1,c"})));
    let body = r#"{"status":"standby"}"#;
    let answer = server.call("PUT", "/v1/nodes/c1/status", &server.operate, body).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    let task = r#"{"node":"c1","class":"exec","spec":{"argv":["wait"]},"id":"t1"}"#;
    let answer = server.call("POST", "/v1/tasks", &server.operate, task).await;
    assert_eq!(answer.code(), "node_not_ready", "{answer:?}");
    let ready = r#"{"status":"ready"}"#;
    server.call("PUT", "/v1/nodes/c1/status", &server.operate, ready).await;
    let answer = server.call("POST", "/v1/tasks", &server.operate, task).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(server.call("POST", "/v1/tasks", &server.operate, task).await.status, 409, "twice");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_chosen_by_labels_and_facts() {
    let node = Node::start().await;
    let server = &node.server;
    let labels = r#"{"update":"gpu;model=a100"}"#;
    server.call("PATCH", "/v1/nodes/c1/labels", &server.operate, labels).await;
    for (on, expected) in [
        ("gpu%20%26%26%20status%3D%3Dready", 1),
        ("model%3D%3Da100", 1),
        ("role%3D%3Dcontrol%20%26%26%20node%20in%20(c1,%20c2)&consistency=stale", 1),
        ("!gpu", 0),
    ] {
        let path = format!("/v1/nodes?on={on}");
        let answer = server.call("GET", &path, &server.read, "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let nodes = answer.json()["nodes"].as_array().expect("nodes").len();
        assert_eq!(nodes, expected, "{on}");
    }
    let wrong = server.call("GET", "/v1/nodes?on=gpu%20%26%26", &server.read, "").await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.message().contains("cannot parse selector at character"), "{wrong:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_label_that_is_removed_and_set_is_there() {
    let node = Node::start().await;
    let server = &node.server;
    for (body, expected) in [
        (r#"{"update":"x;a=1,y"}"#, "x;a=1,y"),
        // Away with the old one, and its place in the order; then the new one.
        (r#"{"update":"x;b=2","remove":["x"]}"#, "y,x;b=2"),
        (r#"{"remove":["x","y"]}"#, ""),
    ] {
        let answer = server.call("PATCH", "/v1/nodes/c1/labels", &server.operate, body).await;
        assert_eq!((answer.status, answer.json()), (200, json!({"labels": expected})), "{body}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_come_in_order_and_go_on_after_the_last_one_seen() {
    let node = Node::start().await;
    let server = &node.server;
    let path = "/v1/events?node=c1&class=exec";
    let mut events = Streaming::open(server, "GET", path, None, "").await;
    assert_eq!((events.status.as_u16(), events.kind.as_str()), (200, "text/event-stream"));
    let body = r#"{"node":"c1","class":"exec","spec":{"argv":["wait"]},"id":"t1"}"#;
    let made = server.call("POST", "/v1/tasks", &server.operate, body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let stop = server.call("POST", "/v1/tasks/t1/stop", &server.operate, "{}").await;
    assert_eq!(stop.status, 202, "{stop:?}");
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(events.event().await);
    }
    let kinds: Vec<_> = seen.iter().map(|(_, event)| &event["body"]).collect();
    assert!(kinds.iter().any(|body| body["task_started"]["task"] == "t1"), "{seen:?}");
    assert!(kinds.iter().any(|body| body["class"]["payload"] == "\"wait\""), "{seen:?}");
    assert!(kinds[2]["task_ended"]["task"] == "t1", "{seen:?}");
    for (id, event) in &seen {
        assert_eq!(*id, format!("c1:{}", event["seq"]));
    }
    let mut again = Streaming::open(server, "GET", path, Some(&seen[0].0), "").await;
    for expected in &seen[1..] {
        assert_eq!(again.event().await, *expected);
    }
    // Without a node only that of the id can be repeated, which is said first.
    let all = "/v1/events?class=exec";
    let mut again = Streaming::open(server, "GET", all, Some(&seen[0].0), "").await;
    assert_eq!(again.event().await.1["reason"], "resumed");
    for expected in &seen[1..] {
        assert_eq!(again.event().await, *expected);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_opened_with_a_token_ends_with_it() {
    let mut node = Node::start().await;
    let server = &node.server;
    let mut events = Streaming::open(server, "GET", "/v1/events?class=exec", None, "").await;
    let mut command = exec(&node, &json!({"argv": ["wait"]})).await;
    let task = started(&mut command).await;
    assert_eq!(command.json().await.expect("a line")["type"], "stderr");
    let path = format!("/v1/tasks/{task}/output?node=c1&follow=true");
    let mut output = Streaming::open(server, "GET", &path, None, "").await;
    assert_eq!(output.json().await.expect("a line")["type"], "stderr");

    let id = server.admin.split('.').nth(1).expect("an id");
    let revoked = server.call("DELETE", &format!("/v1/tokens/{id}"), &server.admin, "").await;
    assert_eq!(revoked.status, 204, "{revoked:?}");
    for stream in [&mut command, &mut output] {
        let line = stream.json().await.expect("a line");
        assert_eq!(line["error"]["code"], "token_ended", "{line}");
        assert!(stream.line().await.is_none());
    }
    let reason = loop {
        let (_, event) = events.event().await;
        if event["reason"].is_string() {
            break event["reason"].clone();
        }
    };
    assert_eq!(reason, "token_ended");
    assert_eq!(node.ended().await, Some(Duration::from_secs(5)), "the command is stopped");
    node.stop().await;
}
