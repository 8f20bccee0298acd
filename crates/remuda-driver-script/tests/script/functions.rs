//! Functions: as requests, and as tasks.

use std::{fs, time::Duration};

use remuda_driver_script::Report;
use remuda_model::{ErrorKind, Failure, TaskEnd};
use serde_json::{Value, json};

use crate::support::{Agent, LIMIT, Mortal, Place, helper, output_with, until};

async fn call(agent: &Agent, source: &str) -> Result<Value, Failure> {
    agent.request("function", &json!({ "source": source })).await
}

async fn result(agent: &Agent, source: &str, args: Value) -> Value {
    let reply = agent.request("function", &json!({ "source": source, "args": args })).await;
    reply.unwrap()["result"].clone()
}

#[tokio::test]
async fn arguments_and_results_are_json() {
    let place = Place::new();
    let agent = place.agent().await;
    for (source, args, expected) in [
        ("function (a, b) { return a + b }", json!([1, 2.5]), json!(3.5)),
        ("function named(a) { return a.x[1] }", json!([{"x": [1, "ä\n"]}]), json!("ä\n")),
        ("(...all) => all.length", json!([null, true, []]), json!(3)),
        ("async (a) => { await null; return a * 2 }", json!([4]), json!(8)),
        ("() => undefined", json!([]), Value::Null),
        ("() => NaN", json!([]), Value::Null),
        ("(x) => x // a comment", json!([5]), json!(5)),
        ("  \n\n function () {\n  return 'x'.repeat(3)\n}\n", json!([]), json!("xxx")),
    ] {
        assert_eq!(result(&agent, source, args).await, expected, "{source}");
    }
    let reply = call(&agent, "() => { console.log('a', {b: 1}, undefined); return 1 }").await;
    assert_eq!(reply.unwrap(), json!({"result": 1, "log": [r#"a {"b":1} undefined"#]}));
    assert!(place.processes().is_empty(), "requests need no holder");
}

#[tokio::test]
async fn errors_tell_where() {
    let place = Place::new();
    let agent = place.agent().await;
    let failure = async |source: &str| call(&agent, source).await.expect_err(source);
    let thrown = failure("function f() {\n  const a = 1\n  throw new TypeError('boom')\n}").await;
    assert_eq!((thrown.kind, thrown.code.as_str()), (ErrorKind::Failed, "function_threw"));
    assert!(thrown.message.starts_with("TypeError: boom\n"), "{thrown}");
    assert!(thrown.message.contains("at f (function.js:3:"), "{thrown}");
    let late = failure("async () => {\n await null\n nowhere() }").await;
    assert!(late.message.contains("nowhere") && late.message.contains("js:3:"), "{late}");
    let syntax = failure("function (a {\n}").await;
    assert_eq!((syntax.kind, syntax.code.as_str()), (ErrorKind::Invalid, "syntax_error"));
    assert!(syntax.message.contains("function.js:1:"), "{syntax}");
    assert!(failure("1 + 1").await.message.contains("no function"));
    assert!(failure("() => { throw {a: 1} }").await.message.contains(r#"threw {"a":1}"#));
    assert!(failure("() => new Promise(() => {})").await.message.contains("never happens"));
    for source in ["() => 1n", "() => { const a = {}; a.a = a; return a }", "() => '\\ud800'"] {
        assert_eq!(failure(source).await.code, "function_result", "{source}");
    }
    let deep = "() => { let a = []; for (let i = 0; i < 500; i++) a = [a]; return a }";
    assert_eq!(failure(deep).await.code, "function_result");
}

#[tokio::test]
async fn what_is_wrong_with_a_spec_is_named() {
    let place = Place::new();
    let agent = place.agent().await;
    for (field, spec) in [
        ("source", json!({"source": ""})),
        ("timeout_ms", json!({"source": "() => 1", "timeout_ms": 0})),
        ("memory_bytes", json!({"source": "() => 1", "memory_bytes": 1})),
        ("`code`", json!({"source": "() => 1", "code": "x"})),
    ] {
        let failure = agent.request("function", &spec).await.expect_err(field);
        assert_eq!(failure.kind, ErrorKind::Invalid);
        assert!(failure.message.contains(field), "{failure}");
        let failure = agent.start("function", "t", &spec).await.map(drop).expect_err(field);
        assert!(failure.message.contains(field), "{failure}");
    }
}

#[tokio::test]
async fn a_function_that_never_returns_is_ended() {
    let place = Place::new();
    let agent = place.agent().await;
    for body in [
        "while (true) {}",
        "while (true) { try { while (true) {} } catch {} finally { continue } }",
        "return /(a+)+$/.test('a'.repeat(40) + 'b')",
        "return { toJSON() { while (true) {} } }",
        "const e = new Error('x'); Object.defineProperty(e, 'stack', \
         { get() { while (true) {} } }); throw e",
        "const chain = async () => { while (true) await null }; return chain()",
    ] {
        let spec = json!({"source": format!("function () {{ {body} }}"), "timeout_ms": 100});
        let failure = agent.request("function", &spec).await.expect_err(body);
        assert_eq!(failure.code, "function_timed_out", "{body}: {failure}");
        assert!(failure.message.contains("100 ms"), "{failure}");
    }
    assert_eq!(result(&agent, "() => 'still here'", json!([])).await, json!("still here"));
}

#[tokio::test]
async fn memory_and_stack_have_an_end() {
    let place = Place::new();
    let agent = place.agent().await;
    for body in [
        "const a = []; while (true) a.push({})",
        "const a = []; while (true) a.push('x'.repeat(100000) + a.length)",
        "return new ArrayBuffer(1e9).byteLength",
        "return new Array(1e9).fill(0).length",
    ] {
        let spec =
            json!({"source": format!("() => {{ {body} }}"), "memory_bytes": 8 * 1024 * 1024});
        let failure = agent.request("function", &spec).await.expect_err(body);
        assert_eq!(failure.code, "function_out_of_memory", "{body}: {failure}");
    }
    for body in [
        "const f = () => f() + 1; return f()",
        "return JSON.parse('['.repeat(100000))",
        "return eval('('.repeat(100000))",
        "return new RegExp('('.repeat(100000) + ')'.repeat(100000)).test('')",
    ] {
        let failure = call(&agent, &format!("() => {{ {body} }}")).await.expect_err(body);
        assert_eq!(failure.code, "function_threw", "{body}: {failure}");
    }
    assert_eq!(result(&agent, "() => 'still here'", json!([])).await, json!("still here"));
}

#[tokio::test]
async fn much_is_cut_or_refused() {
    let place = Place::new();
    let agent = place.agent().await;
    let million = result(&agent, "(n) => 'x'.repeat(n)", json!([1_000_000])).await;
    assert_eq!(million.as_str().unwrap().len(), 1_000_000);
    let much = call(&agent, "() => 'x'.repeat(5000000)").await.unwrap_err();
    assert_eq!(much.code, "function_result");
    assert!(much.message.contains("longer than 4194304"), "{much}");
    let talkative = "() => { for (let i = 0; i < 1e5; i++) console.log('line', i); return 1 }";
    let reply = call(&agent, talkative).await.unwrap();
    assert_eq!(reply["log"].as_array().unwrap().len(), 1000);
    assert_eq!((&reply["log_truncated"], &reply["result"]), (&json!(true), &json!(1)));
    let long = call(&agent, "() => console.log('x'.repeat(1e6))").await.unwrap();
    assert_eq!(long["log"][0].as_str().unwrap().len(), 16 * 1024);
}

#[tokio::test]
async fn nothing_of_the_machine_can_be_reached() {
    let place = Place::new();
    let agent = place.agent().await;
    let names = "() => ['require', 'process', 'std', 'os', 'fetch', 'XMLHttpRequest', 'WebSocket', \
                 'setTimeout', 'Deno', 'Bun', 'print', 'load', 'scriptArgs', 'Worker']\
                 .filter((name) => name in globalThis)";
    assert_eq!(result(&agent, names, json!([])).await, json!([]));
    for source in ["() => import('fs')", "() => import('/etc/passwd')", "() => import('std')"] {
        let failure = call(&agent, source).await.expect_err(source);
        assert!(failure.message.contains("could not load module"), "{failure}");
    }
    // One call leaves nothing for the next.
    assert_eq!(result(&agent, "() => { globalThis.x = 1; return x }", json!([])).await, json!(1));
    assert_eq!(result(&agent, "() => typeof x", json!([])).await, json!("undefined"));
}

#[tokio::test]
async fn a_request_that_is_cancelled_kills_its_process() {
    let place = Place::new();
    let agent = place.agent().await;
    let spec = json!({"source": "() => { while (true) {} }", "timeout_ms": 7_001_000});
    let request = agent.request("function", &spec);
    tokio::select! {
        reply = request => panic!("it cannot end: {reply:?}"),
        () = until("a process", || helper(7001).is_some()) => {}
    }
    until("none", || helper(7001).is_none()).await;
}

#[tokio::test]
async fn the_process_of_a_function_is_locked_in() {
    let place = Place::new();
    let agent = place.agent().await;
    let spec = json!({"source": "() => { while (true) {} }", "timeout_ms": 7_002_000});
    let about = |pid: i32, what: &str| fs::read_to_string(format!("/proc/{pid}/{what}"));
    let status = |pid: i32, key: &str| {
        let status = about(pid, "status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(key).map(str::trim));
        line.map(str::to_owned).unwrap_or_default()
    };
    let locked = || helper(7002).filter(|&pid| status(pid, "Seccomp:") == "2");
    let request = agent.request("function", &spec);
    let looked = async {
        until("a process that is locked in", || locked().is_some()).await;
        let pid = locked().unwrap();
        assert_eq!(status(pid, "NoNewPrivs:"), "1");
        assert_eq!(status(pid, "CapEff:").trim_start_matches('0'), "");
        assert!(!status(pid, "Uid:").split_whitespace().any(|uid| uid == "0"));
        assert_eq!(about(pid, "environ").unwrap_or_default(), "");
        if rustix::process::geteuid().is_root() {
            let network = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
            assert_ne!(network(&pid.to_string()), network("self"));
            let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
            assert_eq!(open, 3, "standard input, output and error");
        }
        let limits = about(pid, "limits").unwrap();
        assert!(limits.lines().any(|line| line.starts_with("Max file size             0 ")));
        assert!(!limits.lines().any(|line| line.starts_with("Max data size             unlim")));
    };
    tokio::select! {
        reply = request => panic!("it cannot end: {reply:?}"),
        () = looked => {}
    }
}

#[tokio::test]
async fn a_task_reports_and_returns() {
    let place = Place::new();
    let agent = place.agent().await;
    let source = "async function work(n) {\n  console.log('begin')\n  progress(0.25)\n  \
                  emit({step: 'one'})\n  progress(0.1)\n  progress('much')\n  progress(1)\n  \
                  console.log('end')\n  return {n: n + 1}\n}";
    let task = agent.start("function", "t", &json!({"source": source, "args": [1]})).await.unwrap();
    assert_eq!(task.summary, "async function work(n) {…");
    let done = task.finish().await;
    assert_eq!(done.end, TaskEnd::Finished { result: r#"{"n":2}"#.to_owned() });
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("begin\nend\n", ""));
    let why = "progress is a number from 0 to 1".to_owned();
    assert_eq!(
        done.reports,
        [
            Report::Progress(0.25),
            Report::Value(json!({"step": "one"})),
            Report::Refused { line: "NaN".to_owned(), why },
            Report::Progress(1.0),
        ]
    );
    assert!(place.is_clean("t"));
    agent.class("function").forget(&"t".parse().unwrap()).await;
    assert!(!place.task_dir("t").exists());
}

#[tokio::test]
async fn a_task_that_fails_says_why_in_its_end() {
    let place = Place::new();
    let agent = place.agent().await;
    let run = async |task: &str, spec: Value| agent.run("function", task, &spec).await;
    let thrown = run("a", json!({"source": "function f() {\n throw new Error('boom') }"})).await;
    let TaskEnd::Failed { message } = &thrown.end else { panic!("{thrown:?}") };
    assert!(message.starts_with("Error: boom\n    at f (function.js:2:"), "{message}");
    assert!(thrown.stderr.contains("boom"));
    let endless = run("b", json!({"source": "() => { while (true) {} }", "timeout_ms": 100})).await;
    let TaskEnd::Failed { message } = &endless.end else { panic!("{endless:?}") };
    assert!(message.starts_with("ran longer than 100 ms"), "{message}");
    let much = run("c", json!({"source": "() => 'x'.repeat(200000)"})).await;
    assert!(matches!(much.end, TaskEnd::Failed { .. }), "{much:?}");
}

#[tokio::test]
async fn a_task_that_is_stopped_ends_at_once() {
    let place = Place::new();
    let agent = place.agent().await;
    let endless = json!({"source": "() => { console.log('on'); while (true) {} }"});
    let task = agent.start("function", "t", &endless).await.unwrap();
    output_with(&task.log, "on").await;
    task.stop(LIMIT).await;
    let done = task.finish().await;
    assert!(matches!(done.end, TaskEnd::Exited { stopped: true, .. }), "{done:?}");
    assert!(place.is_clean("t"));
}

#[test]
fn a_function_outlives_its_agent_and_so_does_its_result() {
    let place = Place::new();
    let first = Mortal::new();
    first.0.block_on(async {
        let agent = place.agent().await;
        let source = "() => { const until = Date.now() + 300; progress(0.5); console.log('on'); \
                      while (Date.now() < until); progress(0.75); return 'done' }";
        let task = agent.start("function", "t", &json!({ "source": source })).await.unwrap();
        output_with(&task.log, "on").await;
    });
    first.die();
    let second = Mortal::new();
    second.0.block_on(async {
        let agent = place.agent().await;
        agent.recovering("function", &["t"]).await;
        let task = agent.recover("function", "t").await.unwrap();
        assert!(task.summary.starts_with("() => {"), "{}", task.summary);
        let done = task.finish().await;
        assert_eq!(done.end, TaskEnd::Finished { result: r#""done""#.to_owned() });
        assert_eq!(done.reports.last(), Some(&Report::Progress(0.75)));
        // Until the agent has written that down, the next one learns the same.
        let again = agent.recover("function", "t").await.unwrap().finish().await;
        assert_eq!(again.end, TaskEnd::Finished { result: r#""done""#.to_owned() });
    });
    second.0.shutdown_timeout(Duration::from_secs(10));
}
