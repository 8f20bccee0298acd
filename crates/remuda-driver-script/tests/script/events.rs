//! Progress and events of processes.

use remuda_driver_script::Report;
use serde_json::{Value, json};

use crate::support::Place;

fn script(place: &Place, text: &str) -> Value {
    let digest = place.keep(format!("#!/bin/sh\n{text}").as_bytes());
    json!({ "digest": digest, "name": "job.sh" })
}

#[tokio::test]
async fn a_line_is_an_event() {
    let place = Place::new();
    let agent = place.agent().await;
    let text = r#"
        echo 0 > "$REMUDA_EVENTS"
        echo 0.5 > "$REMUDA_EVENTS"
        echo 0.4 > "$REMUDA_EVENTS"
        echo '{"step": "build", "n": 1}' > "$REMUDA_EVENTS"
        echo 50 > "$REMUDA_EVENTS"
        echo NaN > "$REMUDA_EVENTS"
        echo half done > "$REMUDA_EVENTS"
        head -c 70000 /dev/zero | tr '\0' x > "$REMUDA_EVENTS"
        echo > "$REMUDA_EVENTS"
        printf '{"progress": 1}' > "$REMUDA_EVENTS"
    "#;
    let done = agent.run("file", "t", &script(&place, text)).await;
    let refused = |line: &str, why: &str| Report::Refused { line: line.into(), why: why.into() };
    let number = "progress is a number from 0 to 1";
    assert_eq!(
        done.reports,
        [
            Report::Progress(0.0),
            Report::Progress(0.5),
            Report::Value(json!({"step": "build", "n": 1})),
            refused("50", number),
            refused("NaN", number),
            Report::Value(json!("half done")),
            refused(&"x".repeat(100), "longer than 64 KiB"),
            Report::Progress(1.0),
        ],
        "{}",
        done.stderr
    );
}

#[tokio::test]
async fn an_event_comes_while_the_task_runs() {
    let place = Place::new();
    let agent = place.agent().await;
    let mut spec = script(&place, "echo 0.5 > \"$REMUDA_EVENTS\"; read wait");
    spec["stdin"] = json!("open");
    let mut task = agent.start("file", "t", &spec).await.unwrap();
    assert_eq!(task.report().await, Report::Progress(0.5));
    assert!(!task.work.is_finished());
    task.stop(crate::support::LIMIT).await;
    task.finish().await;
}

#[tokio::test]
async fn a_flood_is_thinned_out_and_counted() {
    let place = Place::new();
    let agent = place.agent().await;
    let text = r#"
        i=0
        while [ $i -lt 5000 ]; do echo "[$i]"; i=$((i+1)); done > "$REMUDA_EVENTS"
        echo 0.9 > "$REMUDA_EVENTS"
    "#;
    let done = agent.run("file", "t", &script(&place, text)).await;
    let values = done.reports.iter().filter(|report| matches!(report, Report::Value(_))).count();
    let dropped = |report: &Report| if let Report::Dropped(n) = report { *n } else { 0 };
    let dropped: u64 = done.reports.iter().map(dropped).sum();
    assert_eq!(values as u64 + dropped, 5000);
    assert!(values >= 100 && dropped > 0, "{values} {dropped}");
    // The newest progress is never lost.
    assert_eq!(done.reports.last(), Some(&Report::Progress(0.9)));
}

#[tokio::test]
async fn a_flood_without_end_delays_nobody() {
    let place = Place::new();
    let agent = place.agent().await;
    let text = "(while :; do echo x; done) > \"$REMUDA_EVENTS\" & yes > \"$REMUDA_EVENTS\" & \
                echo 1 > \"$REMUDA_EVENTS\"; sleep 0.1; exit 3";
    let done = agent.run("file", "t", &script(&place, text)).await;
    assert_eq!(done.end, crate::files::exited(remuda_model::ExitStatus::Code(3)));
    assert!(place.is_clean("t"));
}

#[tokio::test]
async fn large_events_arrive_whole() {
    let place = Place::new();
    let agent = place.agent().await;
    let text = r#"
        for n in 1 2 3; do
            { printf '"'; head -c 65000 /dev/zero | tr '\0' $n; echo '"'; } > "$REMUDA_EVENTS"
        done
    "#;
    let done = agent.run("file", "t", &script(&place, text)).await;
    let expected = ["1", "2", "3"].map(|n| Report::Value(json!(n.repeat(65000))));
    assert!(done.reports == expected, "{} events", done.reports.len());
}
