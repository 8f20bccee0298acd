//! Tasks of components.

use std::time::Duration;

use remuda_model::{NodeStatus, TaskEnd};
use remuda_plugin::RawInput;
use serde_json::json;

use super::{
    support::Node,
    text::{ACCEPT, ECHO, UNTIL_STOPPED, task},
};

/// Counts its runs; the tenth is the last.
const TEN_RUNS: &str = r"
    (global.set $runs (i32.add (global.get $runs) (i32.const 1)))
    (if (result i32) (i32.lt_u (global.get $runs) (i32.const 10))
        (then (call $wait (i64.const 0)))
        (else (call $done (i32.const 1024) (i32.const 2))))";
const RUNS: &str = "(global $runs (mut i32) (i32.const 0)) (data (i32.const 1024) \"10\")";

#[tokio::test(flavor = "multi_thread")]
async fn a_task_runs_until_it_is_done() {
    let node = Node::start().await;
    node.load("ten", &task(RUNS, ACCEPT, TEN_RUNS, ECHO), json!({})).await.expect("loads");
    let started = node.start_task("ten", "t", json!(null)).await.expect("starts");
    assert_eq!(started.end().await, TaskEnd::Finished { result: "10".to_owned() });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_takes_commands_and_stops() {
    let node = Node::start().await;
    let more = "(data (i32.const 1024) \"1\")";
    node.load("waits", &task(more, ACCEPT, UNTIL_STOPPED, ECHO), json!({})).await.expect("loads");
    let started = node.start_task("waits", "t", json!(null)).await.expect("starts");
    for n in 0..20 {
        assert_eq!(started.command(json!({ "n": n })).await, Ok(json!({ "n": n })));
    }
    started.say(RawInput::Status(NodeStatus::Standby)).await;
    started.say(RawInput::Stop(Duration::from_secs(5))).await;
    assert_eq!(started.end().await, TaskEnd::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_may_refuse_to_start_and_to_obey() {
    let node = Node::start().await;
    let refuse = "(call $refuse (local.get $at) (local.get $length))";
    node.load("never", &task("", refuse, UNTIL_STOPPED, ECHO), json!({})).await.expect("loads");
    let failure = node.start_task("never", "t", json!("why")).await.err().expect("refused");
    assert_eq!(failure.message, "\"why\"");
    node.load("stubborn", &task("", ACCEPT, UNTIL_STOPPED, refuse), json!({}))
        .await
        .expect("loads");
    let started = node.start_task("stubborn", "t", json!(null)).await.expect("starts");
    assert_eq!(started.command(json!("no")).await.expect_err("refused").message, "\"no\"");
    assert_eq!(started.command(json!("no")).await.expect_err("it goes on").message, "\"no\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_ends_one_task() {
    let node = Node::start().await;
    let more = "(data (i32.const 1024) \"1\")";
    let trap = "(unreachable)";
    for (name, guest) in [
        ("start", task(more, trap, UNTIL_STOPPED, ECHO)),
        ("run", task(more, ACCEPT, trap, ECHO)),
        ("command", task(more, ACCEPT, UNTIL_STOPPED, trap)),
    ] {
        node.load(name, &guest, json!({})).await.expect("loads");
    }
    assert_eq!(
        node.start_task("start", "t", json!(null)).await.err().expect("trapped").code,
        "trapped"
    );
    let run = node.start_task("run", "t", json!(null)).await.expect("starts");
    assert!(
        matches!(run.end().await, TaskEnd::Failed { message } if message.contains("unreachable"))
    );
    let other = node.start_task("command", "t1", json!(null)).await.expect("starts");
    let command = node.start_task("command", "t2", json!(null)).await.expect("starts");
    assert_eq!(command.command(json!(null)).await.expect_err("trapped").code, "trapped");
    assert!(matches!(command.end().await, TaskEnd::Failed { .. }));
    other.say(RawInput::Stop(Duration::from_secs(5))).await;
    assert_eq!(other.end().await, TaskEnd::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_run_has_its_time_anew() {
    let node = Node::start().await;
    let quota = json!({ "quota": { "cpu_ms": 20 } });
    let endless = task("", ACCEPT, "(loop $l (br $l)) (unreachable)", ECHO);
    node.load("endless", &endless, quota).await.expect("loads");
    let started = node.start_task("endless", "t", json!(null)).await.expect("starts");
    let end = started.end().await;
    assert!(
        matches!(&end, TaskEnd::Failed { message } if message.contains("processor time")),
        "{end:?}"
    );
    // One that comes back in time goes on for ever, and yet it can be told something.
    let spins = task("", ACCEPT, "(call $wait (i64.const 0))", ECHO);
    node.load("spins", &spins, json!({ "quota": { "tasks": 1 } })).await.expect("loads");
    let started = node.start_task("spins", "t", json!(null)).await.expect("starts");
    for _ in 0..100 {
        started.command(json!(1)).await.expect("an answer");
    }
    let second = node.start_task("spins", "t2", json!(null)).await.err().expect("one at a time");
    assert_eq!(second.code, "too_many_tasks");
    assert!(matches!(started.cut_off().await, TaskEnd::Lost { .. }));
}
