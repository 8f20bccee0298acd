//! The example guests, built for real. `examples/guests/build` says what it needs.

use std::{path::Path, process::Command};

use remuda_model::{ErrorKind, TaskEnd};
use remuda_plugin::RawInput;
use serde_json::json;

use super::support::Node;

/// Builds the example in a language.
fn build(language: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut command = Command::new(root.join("examples/guests/build"));
    // Beside what cargo builds, wherever that is.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("in the target folder");
    let built = command.arg(language).env("CARGO_TARGET_DIR", target).output().expect("it runs");
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "the guest in {language} is not built: {said}");
    let path = String::from_utf8(built.stdout).expect("a path");
    std::fs::read(path.trim()).expect("a component")
}

/// What the example does in every language.
async fn greets(language: &str) {
    let component = tokio::task::spawn_blocking({
        let language = language.to_owned();
        move || build(&language)
    });
    let component = component.await.expect("built");
    let mut node = Node::start().await;
    let refused =
        node.load("greeter", &component, json!({})).await.expect_err("nothing is granted");
    assert_eq!(refused.code, "missing_grant");
    let grants = json!({ "key_value": true, "events": true, "log": true });
    // A busy machine makes the larger ones slow; nothing here is about time.
    let more = json!({ "version": "1", "grants": grants, "quota": { "cpu_ms": 60_000 } });
    let loaded = node.load("greeter", &component, more).await.expect("loads");
    assert_eq!(loaded["exports"], json!(["requests", "functions", "tasks"]));

    for count in 1..=2 {
        let greeting = node.request("greeter", json!({ "name": "Ada" })).await;
        assert_eq!(greeting, Ok(json!({ "greeting": "Hello, Ada!", "count": count })));
    }
    let failure = node.request("greeter", json!({})).await.expect_err("refused");
    assert_eq!((failure.kind, failure.code.as_str()), (ErrorKind::Invalid, "no_name"));
    assert_eq!(failure.message, "say whom to greet");

    assert_eq!(node.call("greeter", "add", json!([1, 2, -4])).await, Ok(json!(-1)));
    let failure = node.call("greeter.v1", "nosuch", json!([])).await.expect_err("refused");
    assert_eq!((failure.kind, failure.code.as_str()), (ErrorKind::NotFound, "no_such_function"));
    let failure = node.call("greeter", "fail", json!([])).await.expect_err("it panics");
    assert_eq!(failure.kind, ErrorKind::Failed, "{failure}");
    assert_eq!(node.call("greeter", "add", json!([1])).await, Ok(json!(1)), "the class goes on");

    let refused = node.start_task("greeter", "t0", json!("far")).await.err().expect("refused");
    assert_eq!(refused.kind, ErrorKind::Invalid, "{refused}");
    let task = node.start_task("greeter", "t1", json!(3)).await.expect("starts");
    for left in [3, 2, 1] {
        let event = ("greeter".to_owned(), Some("t1".to_owned()), json!({ "left": left }));
        assert_eq!(node.event().await, event);
    }
    assert_eq!(task.end().await, TaskEnd::Finished { result: "\"lift-off\"".to_owned() });
    let task = node.start_task("greeter", "t2", json!(1_000_000)).await.expect("starts");
    let left = task.command(json!({ "add": 2_000_000 })).await.expect("an answer");
    assert!(left.as_u64().is_some_and(|left| left > 2_000_000), "{left}");
    let stop = RawInput::Stop(std::time::Duration::from_mins(1));
    let drained = async { while node.events.recv().await.is_some() {} };
    let stopped = async {
        task.say(stop).await;
        task.end().await
    };
    tokio::select! {
        biased;
        end = stopped => assert_eq!(end, TaskEnd::Stopped),
        () = drained => panic!("the node holds the other end"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_in_c() {
    greets("c").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_in_javascript() {
    greets("javascript").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_in_python() {
    greets("python").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_in_rust() {
    greets("rust").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_time_for_a_guest_in_rust() {
    let component = tokio::task::spawn_blocking(|| build("rust")).await.expect("built");
    let node = Node::start().await;
    let grants = |more: serde_json::Value| {
        let mut grants = json!({ "key_value": true, "events": true });
        grants.as_object_mut().expect("an object").extend(more.as_object().expect("one").clone());
        json!({ "grants": grants, "quota": { "files_bytes": 2000 } })
    };
    node.load("notes", &component, grants(json!({}))).await.expect("loads");
    let failure = node.call("notes", "note", json!(1)).await.expect_err("it has no folder");
    assert_eq!(failure.code, "no_file");

    node.load("notes", &component, grants(json!({ "files": true }))).await.expect("loads");
    let kept = node.call("notes", "note", json!(1)).await;
    assert_eq!(kept, Ok(json!({ "notes": 1, "seconds": 0 })), "the clock stands");
    let file = node.dir.path().join("wasm/files/notes/notes.txt");
    assert_eq!(std::fs::read_to_string(&file).expect("a file"), "1\n");
    // A link does not lead out of the folder.
    let secret = node.dir.path().join("secret");
    std::fs::rename(&file, &secret).expect("moved");
    std::os::unix::fs::symlink(&secret, &file).expect("a link");
    assert_eq!(node.call("notes", "note", json!(2)).await.expect_err("out of it").code, "no_file");
    assert_eq!(std::fs::read_to_string(&secret).expect("a file"), "1\n");
    std::fs::remove_file(&file).expect("removed");

    let all = grants(json!({ "files": true, "clock": true }));
    node.load("notes", &component, all).await.expect("loads");
    let kept = node.call("notes", "note", json!("x".repeat(3000))).await.expect("kept");
    assert!(kept["seconds"].as_u64().is_some_and(|seconds| seconds > 1_600_000_000), "{kept}");
    // Now there is more than the quota.
    assert_eq!(node.call("notes", "note", json!(3)).await.expect_err("full").code, "no_file");
    let purge = json!({ "unload": { "name": "notes", "purge": true } });
    node.wasm(purge).await.expect("unloads");
    assert!(!file.exists());
}
