//! The document says what the API does: the same routes, the same words.

use std::collections::BTreeSet;

use remuda_model::{
    ErrorKind, Event, EventBody, ExitStatus, Failure, Generation, NodeStats, NodeStatus, NodeView,
    Role, Roles, TaskEnd, TaskRecord, TaskState,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::schema::{check, resolve};
use crate::{
    access::Access,
    dto::{self, ExecRequest, OutputLine, StartTask},
    openapi,
    route::ROUTES,
};

fn document() -> Value {
    serde_json::from_str(openapi::json()).expect("JSON")
}

fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("an item") {
            found.push((method.to_ascii_uppercase(), path.clone(), operation.clone()));
        }
    }
    found
}

#[test]
fn the_document_and_the_table_have_the_same_routes() {
    let documented: BTreeSet<_> =
        operations(&document()).into_iter().map(|(method, path, _)| (method, path)).collect();
    let served: BTreeSet<_> =
        ROUTES.iter().map(|route| (route.method.to_string(), route.path.to_owned())).collect();
    assert_eq!(documented, served);
    assert_eq!(ROUTES.len(), served.len(), "no route stands twice in the table");
}

#[test]
fn operations_have_names_parameters_answers_and_failures() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let mut names = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let what = format!("{method} {path}: {operation:#}");
        let name = operation["operationId"].as_str().expect("a name");
        assert!(names.insert(name.to_owned()), "`{name}` names two operations");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{what}");
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        for parameter in path.split('/').filter_map(|part| part.strip_prefix('{')) {
            let parameter = parameter.trim_end_matches('}');
            let described = parameters.iter().any(|described| {
                described["name"] == parameter
                    && described["in"] == "path"
                    && described["required"] == true
            });
            assert!(described, "{parameter} of {what}");
        }
        let responses = operation["responses"].as_object().expect("answers");
        assert!(responses.keys().any(|status| status.starts_with('2')), "{what}");
        for response in responses.values() {
            assert!(
                response["description"].as_str().is_some_and(|text| !text.is_empty()),
                "{what}"
            );
        }
        let access = ROUTES
            .iter()
            .find(|route| route.method == *method && route.path == path)
            .expect("a route")
            .access;
        if access == Access::Open {
            assert_eq!(operation["security"], json!([]), "{what}");
        } else {
            assert_eq!(operation["security"], json!([{"token": []}]), "{what}");
            for status in ["401", "403", "default"] {
                assert!(responses.contains_key(status), "{what}");
            }
        }
        let has_body = operation.get("requestBody").is_some();
        // What these do is said by their paths alone.
        let needs_none = [
            "rotate_join_token",
            "renew_certificate",
            "pause_run",
            "resume_run",
            "cancel_run",
            "pause_schedule",
            "resume_schedule",
            "run_schedule",
        ]
        .contains(&name);
        let changes = matches!(method.as_str(), "POST" | "PUT" | "PATCH");
        assert_eq!(has_body, changes && !needs_none, "{what}");
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(document: &Value, value: &Value) {
        match value {
            Value::Object(map) => {
                if let Some(reference) = map.get("$ref") {
                    resolve(document, reference).expect("a schema");
                }
                map.values().for_each(|value| walk(document, value));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(document, value)),
            _ => {}
        }
    }
    let document = document();
    walk(&document, &document);
}

/// Holds a value against a schema of the document.
pub(super) fn fits(schema: &str, value: &impl Serialize) {
    let document = document();
    let value = serde_json::to_value(value).expect("JSON");
    let schema = json!({"$ref": format!("#/components/schemas/{schema}")});
    if let Err(error) = check(&document, &schema, &value) {
        panic!("{schema} does not describe {value}: {error}");
    }
}

fn ends() -> Vec<TaskEnd> {
    let text = || "x".to_owned();
    vec![
        TaskEnd::Finished { result: text() },
        TaskEnd::Exited { status: ExitStatus::Code(-1), stopped: true, timed_out: false },
        TaskEnd::Exited { status: ExitStatus::Signal(9), stopped: false, timed_out: true },
        TaskEnd::Stopped,
        TaskEnd::Failed { message: text() },
        TaskEnd::Lost { message: text() },
    ]
}

fn task(end: Option<TaskEnd>) -> TaskRecord {
    TaskRecord {
        id: "t1".parse().expect("valid"),
        class: "exec".parse().expect("valid"),
        node: "w1".parse().expect("valid"),
        generation: Generation(1),
        state: if end.is_some() { TaskState::Ended } else { TaskState::Running },
        ended_ms: end.as_ref().map(|_| 2),
        end,
        summary: "true".to_owned(),
        started_ms: 1,
    }
}

#[test]
fn tasks_and_events_are_described() {
    fits("Task", &task(None));
    fits("Task", &TaskRecord { state: TaskState::Stopping, ..task(None) });
    for end in ends() {
        fits("Task", &task(Some(end.clone())));
        fits("OutputLine", &OutputLine::End { end });
    }
    let class = || "exec".parse().expect("valid");
    let id = || "t1".parse().expect("valid");
    for body in [
        EventBody::NodeStatus { status: NodeStatus::NotConnected },
        EventBody::TaskStarted { class: class(), task: id() },
        EventBody::TaskEnded { class: class(), task: id(), end: TaskEnd::Stopped },
        EventBody::Class { class: class(), task: Some(id()), payload: "1".to_owned() },
        EventBody::Class { class: class(), task: None, payload: "1".to_owned() },
        EventBody::Gap { from: 1, to: 2 },
    ] {
        let node = "w1".parse().expect("valid");
        fits("Event", &Event { node, seq: 1, generation: Generation(1), time_ms: 1, body });
    }
}

#[test]
fn nodes_are_described() {
    let bare = NodeView {
        id: "w1".parse().expect("valid"),
        roles: Roles::WORKER,
        status: NodeStatus::Ready,
        version: "1".to_owned(),
        generation: Generation(1),
        addresses: vec!["remuda://h:1;transport=tls".parse().expect("valid")],
        labels: "a;b=1".parse().expect("valid"),
        attributes: [("os".to_owned(), "linux".to_owned())].into(),
        stats: None,
        owner: None,
        via: None,
        rtt_us: None,
        running_tasks: 0,
    };
    fits("Node", &bare);
    let full = NodeView {
        roles: Roles::CONTROL,
        stats: Some(NodeStats { load: [0.5, 1.0, 2.0], ..NodeStats::default() }),
        owner: Some("c1".parse().expect("valid")),
        via: Some("c2".parse().expect("valid")),
        rtt_us: Some(7),
        ..bare
    };
    fits("Node", &full);
    for status in ["launching", "connecting", "ready", "standby", "stopping", "stopped"] {
        fits("NodeStatus", &status.parse::<NodeStatus>().expect("valid"));
    }
    fits("Role", &Role::Control);
    fits("Role", &Role::Worker);
}

#[test]
fn failures_are_described() {
    for kind in [
        ErrorKind::Invalid,
        ErrorKind::Unauthenticated,
        ErrorKind::Forbidden,
        ErrorKind::NotFound,
        ErrorKind::Exists,
        ErrorKind::Conflict,
        ErrorKind::NoCapacity,
        ErrorKind::Unavailable,
        ErrorKind::NotConnected,
        ErrorKind::OutcomeUnknown,
        ErrorKind::TimedOut,
        ErrorKind::Failed,
        ErrorKind::Internal,
    ] {
        let error = Failure::new(kind, "x");
        fits("ErrorBody", &dto::ErrorBody { error: error.clone() });
        fits("ErrorBody", &dto::ErrorBody { error: error.hint("y") });
    }
}

#[test]
fn requests_and_lines_are_described() {
    let bytes = || b"a\xff".to_vec();
    for line in [
        OutputLine::Started { task: Box::new(task(None)) },
        OutputLine::Stdout { data: bytes(), next: 2 },
        OutputLine::Stderr { data: bytes(), next: 2 },
        OutputLine::Dropped { bytes: 1 },
        OutputLine::UpToDate,
        OutputLine::Failed { error: Failure::failed("x") },
    ] {
        fits("OutputLine", &line);
        let json = serde_json::to_string(&line).expect("JSON");
        assert_eq!(serde_json::from_str::<OutputLine>(&json).expect("a line"), line);
    }
    fits("ExecRequest", &ExecRequest::default());
    let full = ExecRequest {
        argv: vec!["a".to_owned()],
        env: [("K".to_owned(), "v".to_owned())].into(),
        cwd: Some("/".to_owned()),
        user: Some("nobody".to_owned()),
        stdin: Some(bytes()),
        timeout_ms: Some(1),
        max_output_bytes: Some(1),
        ..ExecRequest::default()
    };
    fits("ExecRequest", &full);
    let json = serde_json::to_string(&full).expect("JSON");
    assert_eq!(serde_json::from_str::<ExecRequest>(&json).expect("a request"), full);
    let (node, class) = ("w1".parse().expect("valid"), "x".parse().expect("valid"));
    fits("StartTask", &StartTask { node, class, spec: json!({"a": [1]}), id: None });
    let stream_gap = dto::StreamGap { reason: "resumed".to_owned(), message: "x".to_owned() };
    fits("StreamGap", &stream_gap);
}
