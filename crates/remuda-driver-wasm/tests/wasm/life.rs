//! Versions: loaded, replaced, unloaded, loaded again.

use remuda_model::{ErrorKind, TaskEnd};
use remuda_plugin::RawInput;
use serde_json::{Value, json};

use super::{
    support::Node,
    text::{ACCEPT, ECHO, UNTIL_STOPPED, answers, component, says, task},
};

fn names(list: &Value) -> Vec<(&str, bool, &str)> {
    let all = list.as_array().expect("a list").iter();
    all.map(|class| {
        let text = |field: &str| class[field].as_str().expect("a text");
        (text("class"), class["current"].as_bool().expect("a bool"), text("state"))
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loaded_component_is_a_class() {
    let node = Node::start().await;
    let echo = answers("(call $ok (local.get $at) (local.get $length))");
    let loaded = node.load("echo", &echo, json!({})).await.expect("loads");
    let digest = loaded["digest"].as_str().expect("a digest");
    let class = format!("echo.v{}", &digest[..12]);
    assert_eq!(loaded["class"], json!(class));
    assert_eq!(loaded["exports"], json!(["requests"]));
    assert_eq!(loaded["quota"]["memory_bytes"], json!(64 << 20));
    assert_eq!(node.request("echo", json!({ "a": [1, "ü"] })).await, Ok(json!({ "a": [1, "ü"] })));
    assert_eq!(node.request(&class, json!(null)).await, Ok(json!(null)));

    let failure = node.call("echo", "f", json!([])).await.expect_err("it has no functions");
    assert_eq!((failure.kind, failure.code.as_str()), (ErrorKind::Invalid, "no_such_export"));
    let failure = node.start_task("echo", "t", json!(null)).await.err().expect("it has no tasks");
    assert_eq!(failure.code, "no_such_export");
    assert_eq!(
        node.call("wasm", "f", json!([])).await.expect_err("no component").code,
        "no_component"
    );
    assert_eq!(
        node.call("nosuch", "f", json!([])).await.expect_err("no class").code,
        "unknown_class"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_may_refuse() {
    let node = Node::start().await;
    let refuses = answers("(call $refuse (local.get $at) (local.get $length))");
    node.load("refuses", &refuses, json!({})).await.expect("loads");
    let failure = node.request("refuses", json!("words")).await.expect_err("refused");
    assert_eq!((failure.kind, failure.code.as_str()), (ErrorKind::Conflict, "\"words\""));
    assert_eq!(failure.message, "\"words\"");
    // An empty code is the word of the kind; a request without payload is `null`.
    let kind_only = answers("(call $refuse (i32.const 0) (i32.const 0))");
    node.load("kind", &kind_only, json!({})).await.expect("loads");
    assert_eq!(node.request("kind", json!(1)).await.expect_err("refused").code, "conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_versions_stand_side_by_side() {
    let node = Node::start().await;
    let load = async |version: &str, current: bool| {
        let more = json!({ "version": version, "current": current });
        node.load("greeter", &says(&format!("\"{version}\"")), more).await.expect("loads")
    };
    load("1", true).await;
    load("2", true).await;
    let third = load("3", false).await;
    assert_eq!(third["current"], json!(false));
    for (class, version) in
        [("greeter", "2"), ("greeter.v1", "1"), ("greeter.v2", "2"), ("greeter.v3", "3")]
    {
        assert_eq!(node.request(class, json!(null)).await, Ok(json!(version)), "{class}");
    }
    // Loading what is loaded makes it current.
    load("1", true).await;
    assert_eq!(node.request("greeter", json!(null)).await, Ok(json!("1")));
    let other = node.load("greeter", &says("0"), json!({ "version": "1" })).await;
    assert_eq!(other.expect_err("version 1 is another component").code, "version_exists");

    // When the current version goes, the newest that stays is current.
    let unload = json!({ "unload": { "name": "greeter", "version": "1" } });
    let gone = node.wasm(unload.clone()).await.expect("unloads");
    assert_eq!(names(&gone), [("greeter.v1", false, "ready")]);
    assert_eq!(node.request("greeter", json!(null)).await, Ok(json!("3")));
    assert_eq!(node.wasm(unload).await.expect_err("it is gone").code, "unknown_class");
    let list = node.wasm(json!("list")).await.expect("a list");
    assert_eq!(names(&list), [("greeter.v2", false, "ready"), ("greeter.v3", true, "ready")]);

    node.wasm(json!({ "unload": { "name": "greeter" } })).await.expect("unloads all");
    assert_eq!(node.request("greeter", json!(null)).await.expect_err("gone").code, "unknown_class");
    assert_eq!(node.wasm(json!("list")).await, Ok(json!([])));
    let kept = node.dir.path().join("wasm/components");
    assert_eq!(std::fs::read_dir(kept).expect("a folder").count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_goes_with_its_last_task() {
    let node = Node::start().await;
    let waits = task("(data (i32.const 1024) \"1\")", ACCEPT, UNTIL_STOPPED, ECHO);
    node.load("waits", &waits, json!({ "version": "1" })).await.expect("loads");
    let old = node.start_task("waits", "t1", json!(null)).await.expect("starts");
    assert_eq!(old.summary, "waits 1");
    let newer = task(
        "(data (i32.const 1024) \"2\")",
        ACCEPT,
        UNTIL_STOPPED,
        "(call $ok (i32.const 1024) (i32.const 1))",
    );
    node.load("waits", &newer, json!({ "version": "2" })).await.expect("loads");
    let new = node.start_task("waits", "t2", json!(null)).await.expect("starts");
    assert_eq!(old.command(json!("x")).await, Ok(json!("x")), "it keeps its version");
    assert_eq!(new.command(json!("x")).await, Ok(json!(2)));

    let unload = json!({ "unload": { "name": "waits", "version": "1", "purge": false } });
    node.wasm(unload).await.expect("unloads");
    let list = node.wasm(json!("list")).await.expect("a list");
    assert_eq!(names(&list), [("waits.v2", true, "ready"), ("waits.v1", false, "draining")]);
    assert!(node.start_task("waits.v1", "t3", json!(null)).await.is_err());
    assert_eq!(old.command(json!("y")).await, Ok(json!("y")));
    let purge = json!({ "unload": { "name": "waits", "purge": true } });
    assert_eq!(node.wasm(purge).await.expect_err("tasks run").code, "class_in_use");
    old.say(RawInput::Stop(std::time::Duration::from_secs(1))).await;
    assert_eq!(old.end().await, TaskEnd::Stopped);
    let list = node.wasm(json!("list")).await.expect("a list");
    assert_eq!(names(&list), [("waits.v2", true, "ready")]);
    assert!(matches!(new.cut_off().await, TaskEnd::Lost { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_loaded_comes_back_after_a_restart() {
    let node = Node::start().await;
    for (version, current) in [("1", true), ("2", false)] {
        let more = json!({ "version": version, "current": current, "quota": { "cpu_ms": 77 } });
        node.load("greeter", &says(version), more).await.expect("loads");
    }
    let broken = node.load("broken", &says("3"), json!({})).await.expect("loads");
    // The content that was brought may go: the class keeps its own.
    std::fs::remove_dir_all(node.dir.path().join("content")).expect("removed");
    let digest = broken["digest"].as_str().expect("a digest").to_owned();
    std::fs::write(node.dir.path().join("wasm/components").join(digest), b"nonsense")
        .expect("written");

    let node = node.restart().await;
    // A request waits until it is compiled.
    assert_eq!(node.request("greeter", json!(null)).await, Ok(json!(1)));
    assert_eq!(node.request("greeter.v2", json!(null)).await, Ok(json!(2)));
    assert!(node.request("broken", json!(null)).await.is_err());
    // What came after it is compiled, so it has been given up.
    let list = node.wasm(json!("list")).await.expect("a list");
    assert_eq!(names(&list), [("greeter.v1", true, "ready"), ("greeter.v2", false, "ready")]);
    assert_eq!(list[0]["quota"]["cpu_ms"], json!(77));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_list_stops_no_agent() {
    let node = Node::start().await;
    node.load("greeter", &says("1"), json!({})).await.expect("loads");
    let list = node.dir.path().join("wasm/classes.json");
    std::fs::write(&list, b"{\"torn").expect("written");
    let node = node.restart().await;
    assert_eq!(node.wasm(json!("list")).await, Ok(json!([])));
    assert!(list.with_extension("damaged").exists(), "somebody can look at it");

    // One entry that cannot be read leaves the others alone.
    node.load("greeter", &says("1"), json!({})).await.expect("loads");
    let text = std::fs::read_to_string(&list).expect("readable");
    std::fs::write(&list, text.replacen('[', "[{\"name\":7},", 1)).expect("written");
    let node = node.restart().await;
    assert_eq!(node.request("greeter", json!(null)).await, Ok(json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_of_the_node_is_not_replaced() {
    let node = Node::start().await;
    let failure = node.load("wasm", &says("1"), json!({})).await.expect_err("refused");
    assert_eq!((failure.kind, failure.code.as_str()), (ErrorKind::Conflict, "fixed_class"));
    let nothing = component("", "(module)");
    assert_eq!(
        node.load("no", &nothing, json!({})).await.expect_err("refused").code,
        "no_job_class"
    );
}
