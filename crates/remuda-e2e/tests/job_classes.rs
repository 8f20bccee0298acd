//! Job classes that are sent over the wire, between machines.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use remuda_e2e::{Finished, Lab, Namespace, eventually, pair};
use serde_json::Value;

async fn cli(lab: &Lab, arguments: &[&str]) -> Finished {
    lab.cli("c1", arguments).await
}

async fn json(lab: &Lab, arguments: &[&str]) -> Value {
    let ended = cli(lab, arguments).await;
    assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:#?}");
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:#?}"))
}

/// `c1` in one namespace, `w1` in another.
async fn two_machines() -> (Lab, Namespace, Namespace) {
    let (near, far) = pair();
    let listen = format!("remuda://{}:0", near.address());
    let mut lab = Lab::found(&near.place(), &["--listen", &listen]).await;
    lab.join_at(&far.place(), "w1", &[]).await;
    lab.wait_only_ready("c1", &["c1", "w1"]).await;
    (lab, near, far)
}

/// The example class in C, twice: the second has a note at its end, and so another digest.
fn components(lab: &Lab) -> [PathBuf; 2] {
    let target = std::env::current_exe().expect("a test has a path");
    // target/debug/deps/test → target
    let target = target.ancestors().nth(3).expect("tests lie in deps");
    let build = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/guests/build");
    let built = Command::new(build).arg("c").env("CARGO_TARGET_DIR", target).output();
    let built = built.expect("it runs");
    assert!(built.status.success(), "{built:?}");
    let path = String::from_utf8(built.stdout).expect("a path");
    let mut bytes = fs::read(path.trim()).expect("a component");
    let (first, second) = (lab.dir().join("first.wasm"), lab.dir().join("second.wasm"));
    fs::write(&first, &bytes).expect("writes");
    bytes.extend_from_slice(b"\0\x05\x04note");
    fs::write(&second, &bytes).expect("writes");
    [first, second]
}

const GRANTS: [&str; 6] = ["--grant", "key_value", "--grant", "events", "--grant", "log"];

async fn load(lab: &Lab, component: &Path, version: &str) -> Finished {
    let path = component.to_str().expect("text");
    let fixed = ["class", "load", "greeter", path, "--version", version, "--all"];
    cli(lab, &[&fixed[..], &GRANTS].concat()).await
}

/// M13: a new version comes while tasks of the old one run, and goes again.
#[tokio::test(flavor = "multi_thread")]
async fn m13_a_new_version_leaves_old_tasks_alone_and_rolls_back_in_namespaces_guest_in_c() {
    let (mut lab, _near, _far) = two_machines().await;
    let [first, second] = components(&lab);
    let loaded = load(&lab, &first, "1").await;
    assert_eq!(loaded.code, Some(0), "{loaded:#?}");
    assert_eq!(loaded.stdout.matches("greeter").count(), 2, "on both nodes: {loaded:#?}");
    let sum = cli(&lab, &["call", "--all", "greeter/add", "1", "2"]).await;
    assert_eq!(sum.stdout.lines().filter(|line| line.ends_with("| 3")).count(), 2, "{sum:#?}");

    let started = cli(&lab, &["task", "start", "w1", "greeter", "1000000", "--id", "old"]).await;
    assert_eq!(started.code, Some(0), "{started:#?}");
    assert_eq!(load(&lab, &second, "2").await.code, Some(0));
    let listed = json(&lab, &["class", "list", "--node", "w1", "--json"]).await;
    let of = |version: &str| {
        let classes = listed["classes"].as_array().expect("a list").iter();
        classes.clone().find(|one| one["version"] == version).cloned().expect("is listed")
    };
    assert_eq!((&of("1")["current"], &of("1")["tasks"]), (&false.into(), &1.into()), "{listed}");
    assert_eq!((&of("2")["current"], &of("2")["tasks"]), (&true.into(), &0.into()), "{listed}");
    let unloaded = cli(&lab, &["class", "unload", "greeter", "--version", "1", "--all"]).await;
    assert_eq!(unloaded.code, Some(0), "{unloaded:#?}");
    let task = json(&lab, &["task", "show", "old", "--json"]).await;
    assert_eq!(task["state"], "running", "{task}");
    let refused = cli(&lab, &["call", "w1", "greeter.v1/add", "1"]).await;
    assert_eq!(refused.code, Some(3), "it takes nothing new: {refused:#?}");
    assert_eq!(cli(&lab, &["task", "stop", "old", "--grace", "0s"]).await.code, Some(0));
    let gone = async || {
        let listed = json(&lab, &["class", "list", "--node", "w1", "--json"]).await;
        listed["classes"].as_array().map_or(0, Vec::len)
    };
    eventually("the old version goes with its last task", gone, |left| *left == 1).await;

    // Back to what was, which every node still has.
    assert_eq!(load(&lab, &first, "1").await.code, Some(0));
    let greeting = json(&lab, &["request", "w1", "greeter", "{\"name\": \"Ada\"}"]).await;
    assert_eq!(greeting["greeting"], "Hello, Ada!");

    // What is loaded is loaded again.
    lab.node_mut("w1").kill9();
    lab.node_mut("w1").start();
    lab.node_mut("w1").ready().await;
    lab.wait_only_ready("c1", &["c1", "w1"]).await;
    let call = ["request", "w1", "node"];
    let again =
        "{\"call\": {\"class\": \"greeter.v1\", \"function\": \"add\", \"args\": [20, 22]}}";
    assert_eq!(json(&lab, &[&call[..], &[again]].concat()).await, 42);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_good_component_is_refused_with_words_in_namespaces() {
    let (lab, _near, _far) = two_machines().await;
    let file = |name: &str, bytes: &[u8]| {
        let path = lab.dir().join(name);
        fs::write(&path, bytes).expect("writes");
        path.to_str().expect("text").to_owned()
    };
    let text = file("text", b"just words");
    let core = file("core", b"\0asm\x01\0\0\0");
    let cut = file("cut", b"\0asm\x0d\0\x01\0\x01");
    let huge = lab.dir().join("huge");
    fs::File::create(&huge).and_then(|file| file.set_len(65 << 20)).expect("makes");
    let huge = huge.to_str().expect("text").to_owned();
    for (path, code) in [(&text, 2), (&core, 2), (&cut, 2), (&huge, 2)] {
        let refused = cli(&lab, &["class", "load", "bad", path, "--node", "w1"]).await;
        assert_eq!(refused.code, Some(code), "{path}: {refused:#?}");
        assert!(refused.stderr.len() > 20, "{path}: {refused:#?}");
    }
    let listed = json(&lab, &["class", "list", "--node", "w1", "--json"]).await;
    assert_eq!(listed["classes"], Value::Array(Vec::new()));
    let info = json(&lab, &["request", "w1", "node", "\"status\""]).await;
    assert_eq!(info, "ready");
}
