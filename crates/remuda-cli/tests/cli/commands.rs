//! Commands against an API of paper.

use remuda_model::{NodeView, Selector};
use serde_json::{Value, json};

use crate::{api::Api, run::World};

fn node(id: &str, labels: &str, status: &str) -> Value {
    json!({
        "id": id, "roles": ["worker"], "status": status, "version": "0.1.0", "generation": 1,
        "addresses": ["remuda://127.0.0.1:7"], "labels": labels, "attributes": {"os": "linux"},
        "stats": null, "owner": null, "via": null, "rtt_us": null, "running_tasks": 0,
    })
}

/// All nodes, or those that meet the condition in the query.
fn nodes(what: &str) -> (u16, String) {
    let all = [node("a", "gpu", "ready"), node("bb", "", "standby"), node("c", "gpu;x=1", "ready")];
    let on = what.strip_prefix("GET /v1/nodes?on=").map(|on| {
        let text = percent_encoding::percent_decode_str(on).decode_utf8().unwrap();
        text.parse::<Selector>().unwrap()
    });
    let meets = |node: &&Value| {
        let view: NodeView = serde_json::from_value((*node).clone()).unwrap();
        on.as_ref().is_none_or(|on| view.meets(on))
    };
    let nodes: Vec<_> = all.iter().filter(meets).collect();
    (200, json!({ "nodes": nodes }).to_string())
}

/// What `exec` streams: standard output (base64), and the end.
fn output(stdout: &str, end: &Value) -> (u16, String) {
    let lines = [
        json!({ "type": "stdout", "data": stdout, "next": 10 }),
        json!({ "type": "end", "end": end }),
    ];
    (200, lines.map(|line| format!("{line}\n")).concat())
}

fn exited(code: i32) -> Value {
    json!({ "exited": { "status": { "code": code }, "stopped": false, "timed_out": false } })
}

fn failure(status: u16, kind: &str, message: &str) -> (u16, String) {
    let error = json!({ "kind": kind, "code": kind, "message": message, "hint": null });
    (status, json!({ "error": error }).to_string())
}

fn world(api: &Api) -> World {
    World::new().set("REMUDA_ADDR", &api.address).set("REMUDA_TOKEN", "t")
}

#[test]
fn nodes_as_a_table_and_as_json() {
    let api = Api::serve(|what, _body| nodes(what));
    let outcome = world(&api).run(&["node", "list", "--on", "gpu && status==ready && os==linux"]);
    assert_eq!(
        outcome.stdout,
        "NODE  ROLES   STATUS  VERSION  ADDRESS               TASKS  LABELS\n\
         a     worker  ready   0.1.0    remuda://127.0.0.1:7  0      gpu\n\
         c     worker  ready   0.1.0    remuda://127.0.0.1:7  0      gpu;x=1\n"
    );
    let outcome = world(&api).run(&["node", "list", "--json"]);
    let list: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 3);
    assert_eq!(outcome.code, 0);
}

#[test]
fn the_code_of_a_command_on_one_node_is_ours() {
    for (end, code, stderr) in [
        (exited(0), 0, ""),
        (exited(42), 42, ""),
        (
            json!({ "exited": { "status": { "signal": 9 }, "stopped": false, "timed_out": false } }),
            137,
            "a: signal 9\n",
        ),
        (json!({ "lost": { "message": "gone" } }), 5, "error: gone\n"),
    ] {
        let api = Api::serve(move |_what, _body| output("aGkK", &end));
        let outcome = world(&api).run(&["exec", "a", "--env", "K=V", "--", "say", "hi"]);
        assert_eq!(
            (outcome.code, outcome.stdout.as_str(), outcome.stderr.as_str()),
            (code, "hi\n", stderr)
        );
        let asked = api.asked();
        assert!(asked[0].starts_with("POST /v1/nodes/a/exec {"), "{asked:?}");
        assert!(asked[0].contains(r#""argv":["say","hi"],"env":{"K":"V"}"#), "{asked:?}");
    }
}

#[test]
fn several_nodes_answer_side_by_side() {
    let api = Api::serve(|what, _body| match what {
        what if what.starts_with("GET /v1/nodes") => nodes(what),
        "POST /v1/nodes/a/exec" => output("b25lCnR3bw==", &exited(0)),
        "POST /v1/nodes/bb/exec" => output("eA==", &exited(3)),
        _ => failure(503, "not_connected", "no link"),
    });
    let outcome = world(&api).run(&["exec", "--all", "--parallel", "1", "--", "x"]);
    assert_eq!(outcome.stdout, "a  | one\na  | two\nbb | x\n");
    assert_eq!(outcome.stderr, "bb: exit 3\nc: no link\n1 ok, 2 failed, 3 nodes\n");
    assert_eq!(outcome.code, 7);
    let outcome = world(&api).run(&["exec", "--on", "node==a", "--json", "--", "x"]);
    let lines: Vec<Value> =
        outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        lines[0],
        json!({"node": "a", "type": "stdout", "data": "b25lCnR3bw==", "next": 10})
    );
    assert_eq!(outcome.code, 0);
    let outcome = world(&api).run(&["exec", "--on", "absent", "--", "x"]);
    assert!(outcome.stderr.starts_with("error: no node meets `absent`\n"), "{}", outcome.stderr);
    assert_eq!(outcome.code, 3);
}

#[test]
fn a_cut_stream_is_no_success() {
    let api = Api::serve(|_what, _body| {
        (200, "{\"type\":\"stdout\",\"data\":\"aGkK\",\"next\":10}\n".to_owned())
    });
    let outcome = world(&api).run(&["exec", "a", "--", "x"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (5, "hi\n"));
}

#[test]
fn requests_take_json_from_anywhere() {
    let api = Api::serve(|_what, body| (200, body.replace("payload", "reply")));
    let outcome = world(&api).run(&["request", "a", "node", "{\"get\": \"k\"}"]);
    assert_eq!(outcome.stdout, "{\n  \"get\": \"k\"\n}\n");
    let outcome = world(&api).run_with_input(&["request", "a", "node", "-", "--json"], "[1, 2]");
    assert_eq!(outcome.stdout, "[1,2]\n");
}

#[test]
fn a_message_to_a_task_says_how_long_it_waits() {
    let api = Api::serve(|_what, _body| (200, r#"{"reply":null}"#.to_owned()));
    for (options, body) in [
        (&["--timeout", "90s"][..], r#"{"payload":1,"timeout_ms":90000}"#),
        (&[], r#"{"payload":1}"#),
    ] {
        let outcome = world(&api).run(&[&["task", "send", "t1", "1"], options].concat());
        assert_eq!((outcome.code, outcome.stdout.as_str()), (0, ""), "{}", outcome.stderr);
        let expected = format!("POST /v1/tasks/t1/commands {body}");
        assert_eq!(api.asked().last(), Some(&expected));
    }
}

#[test]
fn the_events_of_a_task_are_those_that_its_node_keeps() {
    let record = json!({
        "id": "t1", "class": "exec", "node": "bb", "generation": 1, "state": "running",
        "end": null, "summary": "", "started_ms": 1, "ended_ms": null,
    });
    let event = json!({
        "node": "bb", "seq": 4, "generation": 1, "time_ms": 0,
        "body": {"task_started": {"class": "exec", "task": "t1"}},
    });
    let events = format!("event: event\nid: bb:4\ndata: {event}\n\n");
    let api = Api::serve(move |what, _body| match what {
        "GET /v1/tasks/t1" => (200, record.to_string()),
        "GET /v1/events?node=bb&task=t1&after=0" => (200, events.clone()),
        _ => failure(404, "not_found", "no such task"),
    });
    let outcome = world(&api).run(&["event", "--task", "t1"]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert!(outcome.stdout.ends_with("bb  #4  started exec task t1\n"), "{}", outcome.stdout);
    let outcome = world(&api).run(&["event", "--task", "t2"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (3, ""));
    assert!(outcome.stderr.contains("no such task"), "{}", outcome.stderr);
}

#[test]
fn many_nodes_are_asked_side_by_side() {
    let api = Api::serve(|what, body| match what {
        "POST /v1/nodes/bb/requests" => failure(503, "not_connected", "no link"),
        what if what.starts_with("GET /v1/nodes") => nodes(what),
        _ => (200, body.replace("payload", "reply")),
    });
    let ask = |options: &[&str]| world(&api).run(&[&["request"], options].concat());
    let outcome = ask(&["--all", "--parallel", "1", "node", "{\"get\": \"k\"}"]);
    assert_eq!(outcome.stdout, "a | {\"get\":\"k\"}\nc | {\"get\":\"k\"}\n");
    assert_eq!(outcome.stderr, "bb: no link\n2 ok, 1 failed, 3 nodes\n");
    assert_eq!(outcome.code, 7);
    let outcome = ask(&["--on", "gpu && !x", "node", "1", "--json", "--timeout", "2s"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, "{\"node\":\"a\",\"reply\":1}\n"));
    let sent = "POST /v1/nodes/a/requests {\"class\":\"node\",\"payload\":1,\"timeout_ms\":2000}";
    assert_eq!(api.asked().last().map(String::as_str), Some(sent));
    let outcome = ask(&["--on", "absent", "node"]);
    assert_eq!(outcome.code, 3, "{}", outcome.stderr);
    let outcome = ask(&["--all", "a", "node", "1"]);
    assert_eq!(outcome.code, 2, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("no node is named"), "{}", outcome.stderr);
}

#[test]
fn tasks_start_on_many_nodes_each_with_its_own_id() {
    let api = Api::serve(|what, body| {
        if what != "POST /v1/tasks" {
            return nodes(what);
        }
        let task: Value = serde_json::from_str(body).unwrap();
        let record = json!({
            "id": task["id"], "class": task["class"], "node": task["node"], "generation": 1,
            "state": "running", "end": null, "summary": "", "started_ms": 1, "ended_ms": null,
        });
        (201, record.to_string())
    });
    let start = |options: &[&str]| world(&api).run(&[&["task", "start"], options].concat());
    let outcome = start(&["--on", "gpu", "--parallel", "1", "--json", "exec", "7"]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let lines: Vec<Value> =
        outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |line: &Value| (line["node"].clone(), line["task"]["node"].clone());
    assert_eq!(
        lines.iter().map(of).collect::<Vec<_>>(),
        [(json!("a"), json!("a")), (json!("c"), json!("c"))]
    );
    assert_ne!(lines[0]["task"]["id"], lines[1]["task"]["id"]);
    let outcome = start(&["--all", "--parallel", "1", "--id", "nap", "exec"]);
    assert_eq!(outcome.stdout, "a | nap\nbb | nap\nc | nap\n");
    assert_eq!(outcome.stderr, "3 ok, 0 failed, 3 nodes\n");
    let outcome = start(&["bb", "exec", "--id", "nap"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, "nap\n"));
}

#[test]
fn kinds_decide_the_exit_code() {
    for (status, kind, code) in [
        (400, "invalid", 2),
        (404, "not_found", 3),
        (409, "conflict", 4),
        (503, "unavailable", 5),
        (403, "forbidden", 6),
        (502, "failed", 1),
        (500, "internal", 70),
    ] {
        let api = Api::serve(move |_what, _body| failure(status, kind, "no\u{1b}[2J"));
        let outcome = world(&api).run(&["task", "show", "t1"]);
        assert_eq!(outcome.code, code, "{kind}");
        assert!(outcome.stderr.starts_with("error: no"), "{}", outcome.stderr);
        assert!(!outcome.stderr.contains('\u{1b}'), "{}", outcome.stderr);
    }
}

#[test]
fn some_of_several_status_changes_may_fail() {
    let api = Api::serve(|what, _body| match what {
        "PUT /v1/nodes/a/status" => (204, String::new()),
        _ => failure(404, "not_found", "no such node"),
    });
    let outcome = world(&api).run(&["node", "standby", "a", "b"]);
    assert_eq!(outcome.stderr, "b: no such node\nasked 1 of 2 nodes to be standby\n");
    assert_eq!(outcome.code, 7);
    let outcome = world(&api).run(&["node", "standby", "b"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (3, "error: no such node\n"));
}

#[test]
fn a_selector_changes_the_status_of_many() {
    let api = Api::serve(|what, _body| match what {
        "PUT /v1/nodes/a/status" | "PUT /v1/nodes/bb/status" => (204, String::new()),
        "PUT /v1/nodes/c/status" => failure(503, "not_connected", "no link to c"),
        what => nodes(what),
    });
    let world = world(&api);
    let outcome = world.run(&["node", "standby", "--on", "gpu"]);
    assert_eq!(outcome.stdout, "a | asked to be standby\n");
    assert_eq!(outcome.stderr, "c: no link to c\n1 ok, 1 failed, 2 nodes\n");
    assert_eq!(outcome.code, 7);
    let outcome = world.run(&["node", "ready", "--all", "--parallel", "1", "--json"]);
    let lines = outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<Value> = lines.collect();
    assert_eq!(lines[0], json!({ "node": "a", "asked": "ready" }));
    assert_eq!(lines[1], json!({ "node": "bb", "asked": "ready" }));
    assert_eq!(lines[2]["error"]["kind"], "not_connected", "{lines:?}");
    assert_eq!((lines.len(), outcome.code), (3, 7));
    let outcome = world.run(&["node", "stop", "--on", "status==standby"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, "bb | asked to be stopped\n"));
    assert_eq!(world.run(&["node", "stop", "--on", "none"]).code, 3, "nobody is meant");

    let asked = api.asked().len();
    for wrong in [&["node", "stop"][..], &["node", "stop", "a", "--all"]] {
        assert_eq!(world.run(wrong).code, 2, "{wrong:?}");
    }
    assert_eq!(api.asked().len(), asked, "nothing was asked");
}

#[test]
fn configuration_shows_where_values_come_from() {
    let world = World::new().set("REMUDA_LABELS", "gpu").set("REMUDA_JOIN", "h");
    world.file("remuda.toml", "name = \"web1\"\n");
    let arguments = [
        "config",
        "show",
        "--json",
        "--config",
        "remuda.toml",
        "--data-dir",
        "d",
        "--log-format=json",
    ];
    let outcome = world.run(&arguments);
    let list: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let find =
        |key: &str| list.as_array().unwrap().iter().find(|entry| entry["key"] == key).cloned();
    for (key, value, origin) in [
        ("name", "web1", "remuda.toml:1"),
        ("labels", "gpu", "REMUDA_LABELS"),
        ("data_dir", "d", "--data-dir"),
        ("drain_limit", "10s", "default"),
    ] {
        assert_eq!(find(key), Some(json!({ "key": key, "value": value, "origin": origin })));
    }
}

#[test]
fn a_parquet_file_is_there_whole_or_not_at_all() {
    let record = |index: u32| {
        json!({
            "type": "record", "host": format!("web{index}"), "index": index, "outcome": "ok",
            "status": 200, "started_ms": 1, "duration_us": 1, "attempts": 1, "body": "up",
            "truncated": false,
        })
    };
    let api = Api::serve(move |what, _body| match what {
        "GET /v1/fanout/good/results?outcome=ok" => {
            (200, format!("{}\n{}\n{{\"type\":\"end\"}}\n", record(0), record(1)))
        }
        "GET /v1/fanout/cut/results" => (200, format!("{}\n", record(0))),
        _ => failure(404, "not_found", "no such run"),
    });
    let world = world(&api);
    let there = || std::fs::read_dir(world.home()).unwrap().count();
    for (run, code) in [("cut", 5), ("gone", 3)] {
        let outcome = world.run(&["fanout", "results", run, "--parquet", "r.parquet"]);
        assert_eq!(outcome.code, code, "{outcome:?}");
        assert_eq!(there(), 0, "{run} leaves nothing");
    }
    let good = ["fanout", "results", "good", "--outcome", "ok", "--parquet", "r.parquet"];
    let outcome = world.run(&good);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, ""), "{outcome:?}");
    assert!(outcome.stderr.starts_with("r.parquet: 2 records, "), "{outcome:?}");
    let bytes = std::fs::read(world.home().join("r.parquet")).unwrap();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    assert_eq!(there(), 1);

    let piped = ["fanout", "results", "good", "--outcome", "ok", "--parquet", "-"];
    let piped = world.command(&piped).output().unwrap();
    assert!(piped.status.success() && piped.stderr.is_empty(), "{piped:?}");
    assert_eq!(piped.stdout, bytes);

    let outcome = world.run(&["fanout", "results", "good", "--parquet", "/dev/null"]);
    assert_eq!(outcome.code, 2);
    assert!(outcome.stderr.contains("hint: `--parquet -`"), "{}", outcome.stderr);
    let outcome = world.run(&["fanout", "results", "good", "--csv", "--parquet", "r.parquet"]);
    assert_eq!(outcome.code, 2);
}
