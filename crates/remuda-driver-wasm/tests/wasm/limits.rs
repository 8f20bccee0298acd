//! What a component may use, and what happens when it wants more.

use serde_json::json;

use super::{
    support::Node,
    text::{answers, answers_with, says},
};

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_loop_ends_with_its_time() {
    let node = Node::start().await;
    let more = json!({ "quota": { "cpu_ms": 20 } });
    node.load("loops", &answers("(loop $l (br $l)) (unreachable)"), more).await.expect("loads");
    let failure = node.request("loops", json!(null)).await.expect_err("stopped");
    assert_eq!(failure.code, "cpu_limit", "{failure}");
    assert!(failure.hint.expect("a hint").contains("quota.cpu_ms"));
    // The agent goes on.
    node.load("says", &says("1"), json!({})).await.expect("loads");
    assert_eq!(node.request("says", json!(null)).await, Ok(json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_keeps_nobody_waiting() {
    // One thread runs everything, and yet both end.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let done = runtime.spawn(async {
        let node = Node::start().await;
        let more = json!({ "quota": { "cpu_ms": 60_000 } });
        node.load("loops", &answers("(loop $l (br $l)) (unreachable)"), more).await.expect("loads");
        node.load("says", &says("1"), json!({})).await.expect("loads");
        let looping = node.request("loops", json!(null));
        tokio::pin!(looping);
        tokio::select! {
            biased;
            _ = &mut looping => panic!("it ended"),
            said = node.request("says", json!(null)) => said,
        }
    });
    assert_eq!(done.await.expect("no panic"), Ok(json!(1)));
    runtime.shutdown_background();
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_recursion_ends_with_its_stack() {
    let node = Node::start().await;
    let more =
        "(func $deep (param i32) (result i32) (i32.add (call $deep (local.get 0)) (i32.const 1)))";
    let guest = answers_with("", more, "(drop (call $deep (i32.const 1))) (unreachable)");
    node.load("deep", &guest, json!({})).await.expect("loads");
    let failure = node.request("deep", json!(null)).await.expect_err("trapped");
    assert_eq!(failure.code, "trapped");
    assert!(failure.message.contains("call stack exhausted"), "{failure}");
}

/// Grows until it is refused, and says how many pages it has.
const GREEDY: &str = r"
    (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (i32.store8 (i32.const 1024) (i32.add (i32.const 48) (i32.div_u (memory.size) (i32.const 10))))
    (i32.store8 (i32.const 1025) (i32.add (i32.const 48) (i32.rem_u (memory.size) (i32.const 10))))
    (call $ok (i32.const 1024) (i32.const 2))";

#[tokio::test(flavor = "multi_thread")]
async fn memory_ends_at_its_quota() {
    let node = Node::start().await;
    let more = json!({ "quota": { "memory_bytes": 16 * 65536 } });
    node.load("greedy", &answers(GREEDY), more).await.expect("loads");
    for _ in 0..3 {
        assert_eq!(node.request("greedy", json!(null)).await, Ok(json!(16)));
    }
    // Two pages are what it begins with.
    let more = json!({ "quota": { "memory_bytes": 65536 } });
    let failure = node.load("small", &answers(GREEDY), more).await.expect_err("no room");
    assert_eq!(failure.code, "memory_limit", "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_ends_at_its_quota() {
    let node = Node::start().await;
    // A JSON text: a quote, spaces, a quote.
    let long = |length: u32| {
        answers(&format!(
            r"(drop (memory.grow (i32.const 32)))
            (memory.fill (i32.const 1024) (i32.const 32) (i32.const {length}))
            (i32.store8 (i32.const 1024) (i32.const 34))
            (i32.store8 (i32.const {}) (i32.const 34))
            (call $ok (i32.const 1024) (i32.const {length}))",
            1024 + length - 1
        ))
    };
    let more = json!({ "quota": { "output_bytes": 1 << 20 } });
    node.load("fits", &long(1 << 20), more.clone()).await.expect("loads");
    assert!(node.request("fits", json!(null)).await.is_ok());
    for (name, length) in [("long", (1 << 20) + 1), ("longer", 2 << 20)] {
        node.load(name, &long(length), more.clone()).await.expect("loads");
        let failure = node.request(name, json!(null)).await.expect_err("too long");
        assert_eq!(failure.code, "output_too_large", "{name}: {failure}");
    }
    // A failure may not be longer either, and is cut.
    let refuses = answers(
        "(drop (memory.grow (i32.const 1))) (call $refuse (i32.const 1024) (i32.const 65536))",
    );
    node.load("refuses", &refuses, json!({})).await.expect("loads");
    let failure = node.request("refuses", json!(null)).await.expect_err("refused");
    assert!(failure.message.len() <= 16 << 10 && failure.code.len() <= 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_json() {
    let node = Node::start().await;
    node.load("words", &says("hello"), json!({})).await.expect("loads");
    assert_eq!(node.request("words", json!(null)).await.expect_err("no JSON").code, "no_json");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_host_calls_are_only_time() {
    let node = Node::start().await;
    let world = "import remuda:job/clock@1.0.0; import remuda:job/log@1.0.0;";
    let more = r#"(import "remuda:job/clock@1.0.0" "now-ms" (func $now (result i64)))
(import "remuda:job/log@1.0.0" "write" (func $log (param i32 i32 i32)))"#;
    let answer = |call: &str| {
        format!(
            r"(loop $l {call}
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if $l (i32.lt_u (local.get $i) (i32.const 1000000))))
            (call $ok (local.get $at) (local.get $length))"
        )
    };
    let more_fields =
        json!({ "grants": { "clock": true, "log": true }, "quota": { "cpu_ms": 60_000 } });
    for (name, call) in [
        ("clock", "(drop (call $now))"),
        ("log", "(call $log (i32.const 1) (local.get $at) (local.get $length))"),
    ] {
        let guest = answers_with(world, more, &answer(call));
        node.load(name, &guest, more_fields.clone()).await.expect("loads");
        assert_eq!(node.request(name, json!("x")).await, Ok(json!("x")), "{name}");
    }
    // The same within a few milliseconds is stopped.
    let guest =
        answers_with(world, more, &answer("(drop (call $now)) (local.set $i (i32.const 0))"));
    let more_fields =
        json!({ "grants": { "clock": true, "log": true }, "quota": { "cpu_ms": 20 } });
    node.load("endless", &guest, more_fields).await.expect("loads");
    assert_eq!(node.request("endless", json!("x")).await.expect_err("stopped").code, "cpu_limit");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_has_a_memory_of_its_own() {
    let node = Node::start().await;
    let more = "(global $n (mut i32) (i32.const 48))";
    let counts = answers_with(
        "",
        more,
        r"
        (global.set $n (i32.add (global.get $n) (i32.const 1)))
        (i32.store8 (i32.const 1024) (global.get $n))
        (call $ok (i32.const 1024) (i32.const 1))",
    );
    node.load("counts", &counts, json!({ "quota": { "instances": 1 } })).await.expect("loads");
    for _ in 0..3 {
        assert_eq!(node.request("counts", json!(null)).await, Ok(json!(1)));
    }
    // More at a time than there are places wait.
    let all = (0..8).map(|_| node.request("counts", json!(null)));
    for answer in futures_util::future::join_all(all).await {
        assert_eq!(answer, Ok(json!(1)));
    }
}
