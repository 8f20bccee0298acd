//! Functions, files and repositories that come with the call.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use remuda_e2e::{Finished, Lab, eventually, id};
use remuda_model::{EventBody, TaskId};
use serde_json::Value;

async fn cli(lab: &Lab, arguments: &[&str]) -> Finished {
    lab.cli("c1", arguments).await
}

/// The lines of the output, sorted: nodes answer in any order.
fn lines(finished: &Finished) -> Vec<&str> {
    let mut lines: Vec<_> = finished.stdout.lines().collect();
    lines.sort_unstable();
    lines
}

/// What is left of tasks on a node.
fn folders(lab: &Lab, node: &str) -> usize {
    let tasks = lab.node(node).dir().join("scripts/tasks");
    fs::read_dir(tasks).expect("reads").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_is_called_on_one_node_or_on_those_that_match() {
    let lab = Lab::start(1, 2).await;
    let sum = "function (a, b) { console.log('adding'); return { sum: a + b } }";
    let one = cli(&lab, &["call", "w1", sum, "1", "2"]).await;
    let reply: Value = serde_json::from_str(&one.stdout).expect("JSON");
    assert_eq!((one.code, &reply["sum"]), (Some(0), &Value::from(3)), "{one:#?}");
    assert!(one.stderr.contains("adding"), "{one:#?}");

    let many = cli(&lab, &["call", "--on", "!control", "(text) => text.length", "four"]).await;
    assert_eq!(lines(&many), ["c1 | 4", "w1 | 4", "w2 | 4"], "{many:#?}");

    let file = lab.dir().join("broken.js");
    fs::write(&file, "function broken(list) {\n  return list.first.second;\n}\n").expect("writes");
    let source = format!("@{}", file.display());
    let threw = cli(&lab, &["call", "w1", &source, "[]"]).await;
    assert_eq!(threw.code, Some(1), "{threw:#?}");
    assert!(threw.stderr.contains("TypeError"), "{threw:#?}");
    assert!(threw.stderr.contains("at broken (function.js:2:"), "{threw:#?}");

    let endless = cli(&lab, &["call", "w1", "() => { for (;;); }", "--timeout", "200ms"]).await;
    assert_ne!(endless.code, Some(0), "{endless:#?}");
    let bomb = "() => { let all = []; for (;;) all.push(new Array(1e6).fill(1)); }";
    let bomb = cli(&lab, &["call", "w1", bomb]).await;
    assert_eq!(bomb.code, Some(1), "{bomb:#?}");
    let after = cli(&lab, &["call", "w1", "() => 'alive'"]).await;
    assert_eq!(after.stdout.trim(), "\"alive\"", "{after:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_is_sent_run_and_leaves_nothing() {
    let lab = Lab::start(1, 2).await;
    let script = lab.dir().join("job.sh");
    let text =
        "#!/bin/sh\nprintf '%s|' \"$@\"\necho 0.25 >\"$REMUDA_EVENTS\"\ntouch left\nexit 3\n";
    fs::write(&script, text).expect("writes");
    let path = script.to_str().expect("text");
    let one = cli(&lab, &["exec", "w1", "--send", path, "--", "a", "b c"]).await;
    assert_eq!((one.code, one.stdout.as_str()), (Some(3), "a|b c|"), "{one:#?}");
    let many = cli(&lab, &["exec", "--all", "--send", path, "--", "x"]).await;
    assert_eq!(many.code, Some(7), "{many:#?}");
    assert_eq!(lines(&many), ["c1 | x|", "w1 | x|", "w2 | x|"], "{many:#?}");
    for node in ["c1", "w1", "w2"] {
        eventually("folders", async || folders(&lab, node), |left| *left == 0).await;
    }
    let events = cli(&lab, &["event", "--json", "--node", "w1"]).await;
    assert!(events.stdout.contains("{\\\"progress\\\":0.25}"), "{events:#?}");

    let no_program = lab.dir().join("notes.txt");
    fs::write(&no_program, "just words").expect("writes");
    let refused = cli(&lab, &["exec", "w1", "--send", no_program.to_str().expect("text")]).await;
    assert_eq!(refused.code, Some(2), "{refused:#?}");
    assert!(refused.stderr.contains("#!"), "{refused:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_outlives_its_agent_and_says_how_it_ended() {
    let mut lab = Lab::start(1, 1).await;
    let script = lab.dir().join("job.sh");
    let flag = lab.dir().join("flag");
    let text = format!(
        "#!/bin/sh\nuntil [ -e {} ]; do sleep 0.05; done\necho 1 >\"$REMUDA_EVENTS\"\necho late\n",
        flag.display()
    );
    fs::write(&script, text).expect("writes");
    let path = script.to_str().expect("text");
    let started = cli(&lab, &["exec", "w1", "--detach", "--send", path]).await;
    assert_eq!(started.code, Some(0), "{started:#?}");
    let task: TaskId = started.stdout.trim().parse().expect("an id");
    lab.node_mut("w1").kill9();
    fs::write(&flag, "").expect("writes");
    lab.node_mut("w1").start();
    lab.node_mut("w1").ready().await;
    lab.wait_ready(2).await;
    let client = lab.client("c1");
    let (output, end) = remuda_e2e::whole_output(&client, "w1", &task).await;
    assert_eq!(output, "late\n");
    assert!(end.success(), "{end}");
    let work = lab.node("w1").dir().join(format!("scripts/tasks/{task}/work"));
    assert!(!work.exists(), "where it worked goes with it");
    let progress = async || {
        let query = remuda_api::dto::EventQuery { node: Some(id("w1")), ..Default::default() };
        let mut events = client.events(&query, Some("w1:0")).await.expect("events");
        let mut seen = Vec::new();
        while let Ok(Some(message)) = events.next().await {
            let remuda::client::EventMessage::Event(event) = message else { continue };
            match event.body {
                EventBody::Class { payload, .. } => seen.push(payload),
                EventBody::TaskEnded { .. } => break,
                _ => {}
            }
        }
        seen
    };
    assert!(progress().await.contains(&"{\"progress\":1.0}".to_owned()));
}

/// A repository with a file that says which commit it is.
fn repository(dir: &Path) -> String {
    fs::create_dir(dir).expect("makes");
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=Test", "-c", "user.email=test@example.com"]);
        git.arg("-C").arg(dir).args(arguments).env("GIT_CONFIG_GLOBAL", "/dev/null");
        let output = git.output().expect("git runs");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    };
    git(&["init", "--quiet", "--initial-branch", "main"]);
    let hook = dir.join(".git/hooks/post-checkout");
    fs::write(&hook, "#!/bin/sh\ntouch hooked\n").expect("writes");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).expect("sets");
    for (text, tag) in [("one", "v1"), ("two", "v2")] {
        fs::write(dir.join("which"), text).expect("writes");
        git(&["add", "which"]);
        git(&["commit", "--quiet", "--message", text]);
        git(&["tag", tag]);
    }
    format!("file://{}", dir.display())
}

#[tokio::test(flavor = "multi_thread")]
async fn repositories_are_cloned_run_and_removed() {
    let mut lab = Lab::start(1, 0).await;
    lab.join("w1", &["--file-repositories"]).await;
    lab.wait_ready(2).await;
    let url = repository(&lab.dir().join("repository"));
    let log = lab.dir().join("log");
    let post = format!("echo post $(ls) >> {}", log.display());
    let run = async |more: &[&str], command: &[&str]| {
        let fixed = ["exec", "w1", "--clone", &url, "--post", &post];
        cli(&lab, &[&fixed[..], more, &["--"], command].concat()).await
    };
    let newest = run(&["--pre", "echo pre"], &["cat", "which"]).await;
    assert_eq!((newest.code, newest.stdout.as_str()), (Some(0), "pre\ntwo"), "{newest:#?}");
    let tagged = run(&["--revision", "v1"], &["cat", "which"]).await;
    assert_eq!((tagged.code, tagged.stdout.as_str()), (Some(0), "one"), "{tagged:#?}");
    let failed = run(&["--pre", "exit 9"], &["touch", "never"]).await;
    assert_eq!(failed.code, Some(9), "{failed:#?}");
    let missing = run(&["--revision", "v9"], &["cat", "which"]).await;
    assert_eq!(missing.code, Some(128), "{missing:#?}");
    let posts = fs::read_to_string(&log).expect("was written");
    assert_eq!(posts, "post which\n".repeat(3), "no hook ran, and `post` did after each clone");
    eventually("folders", async || folders(&lab, "w1"), |left| *left == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_smuggle_options_are_refused() {
    let lab = Lab::start(1, 1).await;
    for url in [
        "--clone=--upload-pack=touch /tmp/x",
        "--clone=ext::sh -c whoami",
        "--clone=file:///etc",
        "--clone=ssh://-oProxyCommand=id/x",
        "--clone=https://user:secret@example.com/x",
        "--clone=/etc",
        "--clone=https://example.com/x\n--config=y",
    ] {
        let refused = cli(&lab, &["exec", "w1", url, "--", "true"]).await;
        assert_eq!(refused.code, Some(2), "{url:?}: {refused:#?}");
        assert!(refused.stderr.contains("url"), "{url:?}: {refused:#?}");
    }
    let revision = ["exec", "w1", "--clone", "https://example.com/x", "--revision=--help"];
    let refused = cli(&lab, &[&revision[..], &["--", "true"]].concat()).await;
    assert_eq!(refused.code, Some(2), "{refused:#?}");
    assert!(refused.stderr.contains("revision"), "{refused:#?}");
}
