//! The one screen of `remuda cluster status`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use expect_test::expect;
use serde_json::{Value, json};

use crate::{api::Api, run::World};

fn world(api: &Api) -> World {
    World::new().set("REMUDA_ADDR", &api.address).set("REMUDA_TOKEN", "rmt1.t.s")
}

fn control(name: &str, ahead_ms: Option<i64>) -> Value {
    json!({
        "id": name, "active": true, "linked": true, "version": "0.1.0", "lag": 0,
        "clock_ahead_ms": ahead_ms, "lost_ms": null, "workers": 2, "fault": null,
    })
}

fn cluster(controls: &[Value], problems: &[(&str, &str, &str)]) -> Value {
    let problem = |(code, message, hint): &(&str, &str, &str)| json!({ "code": code, "message": message, "hint": hint });
    json!({
        "id": "0123456789abcdefghjkmnpqrs", "name": "herd", "leader": "c1", "term": 3,
        "voters": ["c1", "c2", "c3"], "learners": [], "controls": controls,
        "epoch": 20, "last_log": 31, "applied": 31, "nodes": 5,
        "healthy": problems.is_empty(),
        "reasons": problems.iter().map(|(_, message, _)| message).collect::<Vec<_>>(),
        "problems": problems.iter().map(problem).collect::<Vec<_>>(),
        "by_status": {"ready": 4, "not_connected": 1},
    })
}

#[test]
fn a_cluster_that_is_well() {
    let controls = [control("c1", None), control("c2", Some(-3)), control("c3", Some(12))];
    let answer = cluster(&controls, &[]).to_string();
    let api = Api::serve(move |_what, _body| (200, answer.clone()));
    let outcome = world(&api).run(&["cluster", "status"]);
    expect![[r#"
        cluster  herd (0123456789abcdefghjkmnpqrs)
        health   healthy
        leader   c1, term 3
        log      31 written, 31 applied
        epoch    20
        nodes    5: 4 ready, 1 not_connected

        CONTROL  ROLE    LINK  LAG  CLOCK   WORKERS  VERSION
        c1       leader  up    0    -       2        0.1.0
        c2       voter   up    0    -3 ms   2        0.1.0
        c3       voter   up    0    +12 ms  2        0.1.0
    "#]]
    .assert_eq(&outcome.stdout);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    assert_eq!(api.asked(), ["GET /v1/cluster"]);
}

#[test]
fn a_cluster_in_trouble_without_a_leader() {
    let days = Duration::from_mins(3 * 24 * 60 + 1);
    let lost = SystemTime::now() - days;
    let lost = lost.duration_since(UNIX_EPOCH).unwrap();
    let lost = json!({
        "id": "c2", "active": true, "linked": false, "version": null, "lag": null,
        "clock_ahead_ms": null, "lost_ms": u64::try_from(lost.as_millis()).unwrap(), "workers": null, "fault": null,
    });
    let mut stopped = control("c3", Some(0));
    stopped["fault"] = json!("disk full");
    let problems = [
        ("no_leader", "no leader is known", "start more"),
        ("voter_unreachable", "voters out of reach: c2\u{1b}[2J", "start it"),
    ];
    let mut answer = cluster(&[control("c1", None), lost, stopped], &problems);
    answer["leader"] = Value::Null;
    let answer = answer.to_string();
    let api = Api::serve(move |what, _body| {
        if what.ends_with("?consistency=stale") {
            return (200, answer.clone());
        }
        let failure =
            json!({"kind": "unavailable", "code": "no_leader", "message": "no", "hint": null});
        (503, json!({ "error": failure }).to_string())
    });
    let outcome = world(&api).run(&["cluster", "status"]);
    expect![[r#"
        cluster  herd (0123456789abcdefghjkmnpqrs)
        health   UNHEALTHY: 2 problems
        leader   none, term 3
        log      31 written, 31 applied
        epoch    20
        nodes    5: 4 ready, 1 not_connected

        CONTROL  ROLE   LINK         LAG  CLOCK  WORKERS  VERSION
        c1       voter  up           0    -      2        0.1.0
        c2       voter  lost 3d ago  -    -      -        -
        c3       voter  stopped      0    +0 ms  2        0.1.0

        ! no leader is known
          start more

        ! voters out of reach: c2\x1b[2J
          start it
    "#]]
    .assert_eq(&outcome.stdout);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (8, ""));
    let json = world(&api).run(&["cluster", "status", "--stale", "--json"]);
    assert_eq!(json.code, 8);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["problems"][0]["code"], "no_leader");
}
