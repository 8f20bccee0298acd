//! Lists of targets by name, and schedules, as the API takes and shows them.

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    fixture::{Answer, DEADLINE, Server},
    node::Node,
    schema::check,
};
use crate::openapi;

/// Asks as often as it takes until the cluster, which has just begun, speaks of schedules.
async fn put(server: &Server, path: &str, body: &Value) -> Answer {
    let end = Instant::now() + DEADLINE;
    loop {
        let answer = server.call("PUT", path, &server.operate, &body.to_string()).await;
        if answer.status < 400 || answer.code() != "level_too_low" || Instant::now() > end {
            return answer;
        }
        sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Whether an answer is as the document says.
fn fits(schema: &str, value: &Value) {
    let document: Value = serde_json::from_str(openapi::json()).expect("JSON");
    let schema = json!({"$ref": format!("#/components/schemas/{schema}")});
    if let Err(error) = check(&document, &schema, value) {
        panic!("{schema} does not describe {value}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_are_kept_under_a_name() {
    let node = Node::start().await;
    let server = &node.server;
    let lines =
        json!({"lines": ["web[1-3].example", "{\"host\": \"x\", \"vars\": {\"a\": \"1\"}}"]});
    let saved = put(server, "/v1/fanout/targets/web", &lines).await;
    assert_eq!((saved.status, &saved.json()["targets"]), (200, &json!(4)), "{saved:?}");
    fits("TargetListInfo", &saved.json());
    let shown = server.call("GET", "/v1/fanout/targets/web", &server.read, "").await;
    assert_eq!(shown.json()["lines"], lines["lines"]);
    fits("TargetList", &shown.json());
    let listed = server.call("GET", "/v1/fanout/targets", &server.read, "").await;
    assert_eq!(listed.json()["lists"], json!([saved.json()]));
    fits("TargetLists", &listed.json());

    let wrong = put(server, "/v1/fanout/targets/web", &json!({"lines": ["a", "", "b["]})).await;
    assert_eq!((wrong.status, wrong.code().as_str()), (400, "bad_targets"));
    assert!(wrong.message().contains("line 3: "), "{}", wrong.message());
    let long =
        put(server, "/v1/fanout/targets/web", &json!({"lines": ["x".repeat(300_000)]})).await;
    assert_eq!((long.status, long.code().as_str()), (507, "too_much"));
    let name = put(server, "/v1/fanout/targets/a%20b", &lines).await;
    assert_eq!(name.status, 400);

    // A run names it.
    let run = |targets: Value| {
        json!({"id": "first", "spec": {"command": {"ping": {}}}, "targets": targets}).to_string()
    };
    let create = async |body: &str| server.call("POST", "/v1/fanout", &server.operate, body).await;
    let created = create(&run(json!({"saved": ["web"]}))).await;
    assert_eq!((created.status, &created.json()["targets"]), (201, &json!(4)), "{created:?}");
    for (targets, status) in [(json!({"saved": []}), 400), (json!({"saved": ["web", "no"]}), 404)] {
        assert_eq!(create(&run(targets)).await.status, status);
    }
    // Names of runs that are paths of something else.
    for id in ["targets", "schedules"] {
        let body = run(json!({"lines": ["a"]})).replace("first", id);
        assert_eq!(create(&body).await.status, 400, "{id}");
    }

    let path = "/v1/fanout/targets/web";
    assert_eq!(server.call("DELETE", path, &server.operate, "").await.status, 204);
    for method in ["GET", "DELETE"] {
        let gone = server.call(method, path, &server.operate, "").await;
        assert_eq!((gone.status, gone.code().as_str()), (404, "unknown_targets"));
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_is_made_shown_and_removed_and_its_secrets_stay_hidden() {
    let node = Node::start().await;
    let server = &node.server;
    put(server, "/v1/fanout/targets/web", &json!({"lines": ["web1.example"]})).await;
    let header = json!({"name": "Authorization", "value": "Bearer {{secrets.token}}"});
    let spec = json!({"command": {"http": {
        "method": "GET", "url": "http://{{host}}/", "headers": [header],
    }}});
    let nightly = json!({
        "name": "nightly", "cron": "0 2 * * *", "timezone": "Europe/Berlin", "paused": true,
        "spec": spec, "targets": {"saved": ["web"], "lines": ["db[1-2]"]},
        "secrets": {"values": {"token": "hush-hush"}},
    });
    let path = "/v1/fanout/schedules";
    let create =
        async |body: &Value| server.call("POST", path, &server.operate, &body.to_string()).await;
    let made = create(&nightly).await;
    assert_eq!(made.status, 201, "{made:?}");
    fits("Schedule", &made.json());
    assert_eq!((&made.json()["paused"], &made.json()["next_ms"]), (&json!(true), &Value::Null));
    let again = create(&nightly).await;
    assert_eq!((again.status, again.code().as_str()), (409, "schedule_exists"));
    let one = format!("{path}/nightly");
    let shown = server.call("GET", &one, &server.read, "").await;
    fits("ScheduleDetail", &shown.json());
    assert_eq!(shown.json()["targets"], nightly["targets"]);
    assert_eq!(shown.json()["spec"]["name"], "nightly");
    for answer in [&made, &shown] {
        assert!(!String::from_utf8_lossy(&answer.body).contains("hush"), "{answer:?}");
    }

    let change =
        async |what: &str| server.call("POST", &format!("{one}/{what}"), &server.operate, "").await;
    let resumed = change("resume").await.json();
    assert!(resumed["next_ms"].is_u64(), "{resumed}");
    assert_eq!(change("pause").await.json()["paused"], true);
    let run = change("run").await;
    assert_eq!((run.status, &run.json()["targets"]), (201, &json!(3)), "{run:?}");
    assert!(run.json()["id"].as_str().is_some_and(|id| id.starts_with("nightly-2")), "{run:?}");
    let running = change("run").await;
    assert_eq!((running.status, running.code().as_str()), (409, "schedule_running"));
    let listed = server.call("GET", path, &server.read, "").await.json();
    fits("Schedules", &listed);
    let first = &listed["schedules"][0];
    assert_eq!(
        (&first["last"]["run"], &first["begun"]),
        (&run.json()["id"], &json!(1)),
        "{listed}"
    );

    assert_eq!(server.call("DELETE", &one, &server.operate, "").await.status, 204);
    assert_eq!(change("pause").await.code(), "unknown_schedule");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_schedule_is_named() {
    let server = Server::start().await;
    let good = json!({
        "name": "s", "every_ms": 1000, "spec": {"command": {"ping": {}}},
        "targets": {"lines": ["a"]},
    });
    for (field, value, named) in [
        ("cron", json!("0 2 * * *"), "`cron` or `every_ms`"),
        ("every_ms", Value::Null, "`cron` or `every_ms`"),
        ("every_ms", json!(10), "every_ms: "),
        ("timezone", json!("UTC"), "timezone: "),
        ("targets", json!({}), "targets: "),
        ("targets", json!({"nodes": "a &&"}), "nodes: "),
        ("targets", json!({"lines": ["a", "["]}), "line 2: "),
        ("spec", json!({"command": {"ping": {"tries": 0}}}), "tries"),
        ("name", json!("a b"), "schedule name"),
        ("often", json!(true), "often"),
    ] {
        let mut wrong = good.clone();
        wrong[field] = value;
        let body = wrong.to_string();
        let answer = server.call("POST", "/v1/fanout/schedules", &server.operate, &body).await;
        assert_eq!(answer.status, 400, "{wrong}: {answer:?}");
        assert!(answer.message().contains(named), "{wrong}: {}", answer.message());
    }
    server.stop().await;
}
