//! JSON of the REST API, in both directions.

use remuda_api::dto;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use super::samples;

/// What can be read can be written and read again.
fn read<T: Serialize + DeserializeOwned>(input: &[u8]) {
    if let Ok(value) = serde_json::from_slice::<T>(input) {
        let written = serde_json::to_vec(&value).expect("writable");
        assert!(serde_json::from_slice::<T>(&written).is_ok(), "{}", written.escape_ascii());
    }
}

pub(super) fn bodies(input: &[u8]) {
    drop(remuda_api::check_depth(input));
    read::<dto::AddNode>(input);
    read::<dto::SetStatus>(input);
    read::<dto::LabelChange>(input);
    read::<dto::ClassRequest>(input);
    read::<dto::ExecRequest>(input);
    read::<dto::StartTask>(input);
    read::<dto::CommandRequest>(input);
    read::<dto::StopTask>(input);
    read::<dto::CreateToken>(input);
}

pub(super) fn body_seeds() -> Vec<Vec<u8>> {
    let bodies = [
        json!({"url": "remuda://h:1;transport=tls"}),
        json!({"status": "standby"}),
        json!({"update": "core;a=b", "remove": ["x", "y"]}),
        json!({"class": "node", "payload": {"deep": [[[[1]]]]}, "timeout_ms": 5}),
        json!({"argv": ["sh", "-c", "x"], "env": {"A": "b"}, "cwd": "/tmp", "user": "u",
               "stdin_base64": "aGVsbG8=", "timeout_ms": 1, "detach": true}),
        json!({"node": "w-1", "class": "exec", "spec": {"argv": ["true"]}, "id": "t-1"}),
        json!({"payload": "close_stdin"}),
        json!({"grace_ms": 10}),
        json!({"name": "ci", "scope": "read", "ttl_ms": 1000}),
    ];
    bodies.iter().map(|body| body.to_string().into_bytes()).collect()
}

/// What a client reads: the far side may be anybody.
pub(super) fn answers(input: &[u8]) {
    read::<dto::OutputLine>(input);
    read::<dto::ErrorBody>(input);
    read::<dto::Nodes>(input);
    read::<dto::TaskList>(input);
    read::<dto::Cluster>(input);
    read::<dto::Tokens>(input);
    read::<dto::ClassReply>(input);
    read::<dto::StreamGap>(input);
    read::<remuda_model::Event>(input);
}

pub(super) fn answer_seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![
        serde_json::to_vec(&dto::Nodes { nodes: vec![samples::view()] }).expect("writable"),
        serde_json::to_vec(&samples::event()).expect("writable"),
    ];
    let lines = [
        dto::OutputLine::Started { task: Box::new(samples::task()) },
        dto::OutputLine::Stdout { data: b"hello".to_vec(), next: 5 },
        dto::OutputLine::Dropped { bytes: 7 },
        dto::OutputLine::UpToDate,
    ];
    seeds.extend(lines.iter().map(|line| serde_json::to_vec(line).expect("writable")));
    let error = json!({"error": {"kind": "not_found", "code": "x", "message": "m", "hint": "h"}});
    seeds.push(error.to_string().into_bytes());
    seeds
}
