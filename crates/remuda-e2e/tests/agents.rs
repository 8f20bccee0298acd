//! Agents as an operator starts, configures and stops them.

use std::{collections::BTreeMap, fs, path::Path};

use remuda_e2e::{
    Lab, Node, Place, detach, eventually, exec, finish, id, processes, remuda, run, within,
    wrong_clock,
};
use remuda_model::{NodeStatus, TaskState};
use serde_json::Value;

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The token in a line of a text that says these words.
fn token(printed: &str, words: &str) -> String {
    let line = printed.lines().find(|line| line.contains(words));
    let line = line.unwrap_or_else(|| panic!("no {words} in:\n{printed}"));
    line.split_whitespace().next_back().expect("a value").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_made_as_the_readme_says() {
    let dir = tempfile::tempdir().expect("a folder");
    let first_dir = dir.path().join("first");
    let made = run(&["cluster", "init", "--data-dir", text(&first_dir), "--name", "herd"], &[]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let (worker, control) =
        (token(&made.stdout, "join token (worker)"), token(&made.stdout, "join token (control)"));
    let admin = token(&made.stdout, "admin token");
    assert!(made.stderr.contains("remuda agent --control --bootstrap"), "the next step: {made:?}");
    let twice = run(&["cluster", "init", "--data-dir", text(&first_dir)], &[]);
    assert_ne!(twice.code, Some(0), "{twice:?}");
    assert!(twice.stderr.contains("holds a cluster already"), "{twice:?}");

    // Without names: each node makes one up and keeps it.
    let local = ["--listen", "remuda://127.0.0.1:0", "--exit-with-parent"];
    let api = ["--api", "127.0.0.1:0"];
    let start = ["agent", "--control", "--bootstrap", "--data-dir", text(&first_dir)];
    let arguments = [start.as_slice(), &local, &api].concat();
    let mut first = Node::new("first", &first_dir, Place::default(), &arguments);
    first.start();
    let url = first.ready().await["links"][0].as_str().expect("it listens").to_owned();

    let mut others = BTreeMap::new();
    for (name, token, extra) in [
        ("second", &control, [&["--control"], &api[..], &local[..]].concat()),
        ("third", &control, [&["--control"], &api[..], &local[..]].concat()),
        // It can only dial out, and needs no more than this.
        ("worker", &worker, vec!["--exit-with-parent"]),
    ] {
        let dir = dir.path().join(name);
        let join = ["agent", "--join", &url, "--token", token, "--data-dir", text(&dir)];
        let mut node = Node::new(name, &dir, Place::default(), &[&join, &extra[..]].concat());
        node.start();
        node.ready().await;
        others.insert(name, node);
    }
    let client = first.client(&admin);
    let ready = async || {
        let nodes = client.nodes().await.unwrap_or_default();
        nodes.into_iter().filter(|node| node.status == NodeStatus::Ready).collect::<Vec<_>>()
    };
    let nodes = eventually("four ready nodes", ready, |seen| seen.len() == 4).await;
    assert_eq!(nodes.iter().filter(|node| node.roles.is_control()).count(), 3);
    let dialler = nodes.iter().find(|node| !node.roles.is_control()).expect("a worker");
    assert!(dialler.addresses.is_empty(), "{dialler:?}");
    let (stdout, _) = exec(&client, dialler.id.as_str(), &["echo", "hi"]).await.expect("runs");
    assert_eq!(stdout, "hi\n");
    let three = async || client.cluster().await.map(|cluster| cluster.voters.len());
    eventually("three voters", three, |seen| *seen == Ok(3)).await.expect("seen");
    assert_eq!(client.cluster().await.expect("a cluster").name, "herd");

    // Any one of them may be lost, also the first; a new worker comes in at another one.
    first.kill9();
    let second = others["second"].client(&admin);
    let url = others["second"].said()["links"][0].as_str().expect("it listens").to_owned();
    let late = dir.path().join("late");
    let join = ["agent", "--join", &url, "--token", &worker, "--data-dir", text(&late)];
    let arguments = [&join[..], &["--exit-with-parent"]].concat();
    let mut late = Node::new("late", &late, Place::default(), &arguments);
    late.start();
    late.ready().await;
    let made = async || second.create_token("still", remuda_api::dto::Scope::Read, None).await;
    eventually("a change without the first", made, Result::is_ok).await.expect("made");
    let owned = async || second.node(&dialler.id).await.map(|node| node.status);
    eventually("the worker has another owner", owned, |seen| *seen == Ok(NodeStatus::Ready))
        .await
        .expect("seen");

    // The second start needs neither address nor token.
    let worker = others.get_mut("worker").expect("started");
    worker.kill9();
    let data = dir.path().join("worker");
    let again = ["agent", "--data-dir", text(&data), "--exit-with-parent"];
    let mut again = Node::new("worker", &data, Place::default(), &again);
    again.start();
    again.ready().await;
    let ready = async || second.node(&dialler.id).await.map(|node| node.status);
    eventually("the worker is back", ready, |seen| *seen == Ok(NodeStatus::Ready))
        .await
        .expect("seen");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_tells_where_each_value_comes_from() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("remuda.toml");
    let content = "name = \"from-file\"\nlabels = \"rack=7\"\ndrain_limit = \"3s\"\n\
                   cluster_name = \"herd\"\n";
    fs::write(&file, content).expect("written");
    let mut command = Place::default()
        .with("REMUDA_DRAIN_LIMIT", "4s")
        .with("REMUDA_LABELS", "rack=8")
        .with("REMUDA_JOIN_TOKEN", "rmd1.secret")
        .command(remuda());
    command.args(["config", "show", "--json", "--config", text(&file), "--labels", "rack=9"]);
    let refused = finish(command).await;
    assert_ne!(refused.code, Some(0), "the token is none: {refused:?}");
    assert!(refused.stderr.contains("REMUDA_JOIN_TOKEN"), "{refused:?}");
    assert!(!refused.stderr.contains("rmd1.secret"), "a secret is shown: {refused:?}");

    let lab = Lab::start(1, 0).await;
    let token = lab.client("c1").join_token(remuda_model::Role::Worker).await.expect("a token");
    let mut command = Place::default()
        .with("REMUDA_DRAIN_LIMIT", "4s")
        .with("REMUDA_LABELS", "rack=8")
        .with("REMUDA_JOIN_TOKEN", &token)
        .command(remuda());
    command.args(["config", "show", "--json", "--config", text(&file), "--labels", "rack=9"]);
    let shown = finish(command).await;
    assert_eq!(shown.code, Some(0), "{shown:?}");
    assert!(!shown.stdout.contains(&token), "a secret is shown");
    let shown: Vec<BTreeMap<String, String>> = serde_json::from_str(&shown.stdout).expect("JSON");
    let value = |key: &str| {
        let row = shown.iter().find(|row| row["key"] == key);
        let row = row.unwrap_or_else(|| panic!("no {key} in {shown:?}"));
        (row["value"].as_str(), row["origin"].as_str())
    };
    let line = |number: u32| format!("{}:{number}", file.display());
    assert_eq!(value("name"), ("from-file", line(1).as_str()));
    assert_eq!(value("labels"), ("rack=9", "--labels"));
    assert_eq!(value("drain_limit"), ("4s", "REMUDA_DRAIN_LIMIT"));
    assert_eq!(value("cluster_name"), ("herd", line(4).as_str()));
    assert_eq!(value("token"), ("(hidden)", "REMUDA_JOIN_TOKEN"));
    assert_eq!(value("log_format"), ("text", "default"));

    // An agent does as it is shown.
    let data = dir.path().join("data");
    let arguments = ["agent", "--exit-with-parent", "--data-dir", text(&data)];
    let url = lab.url("c1");
    let place = Place::default()
        .with("REMUDA_CONFIG", text(&file))
        .with("REMUDA_JOIN", &url)
        .with("REMUDA_JOIN_TOKEN", &token);
    let mut node = Node::new("from-file", &data, place, &arguments);
    node.start();
    node.ready().await;
    lab.wait_ready(2).await;
    let view = lab.client("c1").node(&id("from-file")).await.expect("known");
    assert_eq!(view.labels.to_string(), "rack=7");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_has_one_agent_at_a_time() {
    let mut lab = Lab::start(1, 1).await;
    let dir = lab.node("w1").dir().to_owned();
    let before = fs::read(dir.join("ready.json")).expect("ready");
    for arguments in [
        ["agent", "--data-dir", text(&dir)],
        ["agent", "--data-dir", text(&dir.join("../w1"))],
        ["cluster", "init", "--data-dir"],
    ] {
        let mut arguments = arguments.to_vec();
        if arguments[0] == "cluster" {
            arguments.push(text(&dir));
        }
        let refused = run(&arguments, &[]);
        assert_ne!(refused.code, Some(0), "{refused:?}");
        assert!(refused.stderr.contains("in use by another agent"), "{refused:?}");
        assert!(refused.stderr.contains("hint:"), "{refused:?}");
    }
    assert_eq!(fs::read(dir.join("ready.json")).expect("kept"), before, "the first goes on");
    // However it ends, the directory is free.
    lab.node_mut("w1").kill9();
    lab.node_mut("w1").start();
    lab.node_mut("w1").ready().await;
    lab.wait_ready(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_a_log_for_machines_is_json() {
    let mut lab = Lab::start(1, 0).await;
    lab.join("w1", &["--log-format", "json", "--log-level", "debug"]).await;
    lab.wait_ready(2).await;
    exec(&lab.client("c1"), "w1", &["echo", "line\nbreak \"quoted\" \u{1b}[31m"])
        .await
        .expect("runs");
    let task = detach(&lab.client("c1"), "w1", &["sleep", "1000"]).await;
    lab.client("c1").stop_task(&task.id, Some(&id("w1")), None).await.expect("stopped");
    assert_eq!(lab.node_mut("w1").terminate().await, Some(0));
    let log = lab.node("w1").log();
    let mut messages = Vec::new();
    for line in log.lines() {
        let line: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for key in ["timestamp", "level", "target", "message"] {
            assert!(line[key].is_string(), "no {key}: {line}");
        }
        messages.push(line["message"].as_str().expect("text").to_owned());
    }
    for words in ["the node runs", "shutting down"] {
        assert!(messages.iter().any(|message| message.contains(words)), "{messages:#?}");
    }
}

async fn wait_status(lab: &Lab, node: &str, wanted: NodeStatus) {
    let client = lab.client("c1");
    let probe = async || client.node(&id(node)).await.map(|view| view.status);
    eventually(&format!("{node} is {wanted}"), probe, |seen| *seen == Ok(wanted))
        .await
        .expect("seen");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_told_to_end_drains_first() {
    let mut lab = Lab::start(1, 0).await;
    lab.join("w1", &["--drain-limit", "5s"]).await;
    lab.join("w2", &["--drain-limit", "5m"]).await;
    lab.wait_ready(3).await;
    let client = lab.client("c1");
    // One task outlives the patience of its agent, the other one does not.
    let marker = format!("{}.5", 400_000 + std::process::id());
    let long = detach(&client, "w1", &["sleep", &marker]).await;
    let flag = lab.dir().join("flag");
    let script = format!("until [ -e {} ]; do sleep 0.05; done", flag.display());
    let short = detach(&client, "w2", &["sh", "-c", &script]).await;

    lab.node("w1").signal(nix::sys::signal::Signal::SIGTERM);
    lab.node("w2").signal(nix::sys::signal::Signal::SIGTERM);
    for node in ["w1", "w2"] {
        wait_status(&lab, node, NodeStatus::Stopping).await;
    }
    let refused = client.exec_detached(&id("w2"), &remuda_e2e::command(&["true"])).await;
    assert_eq!(refused.expect_err("it takes no new tasks").code, "node_not_ready");
    fs::write(&flag, "").expect("a file");
    for node in ["w1", "w2"] {
        assert_eq!(lab.node_mut(node).ended().await, Some(0), "{node}");
        wait_status(&lab, node, NodeStatus::NotConnected).await;
    }
    let pids = processes(&["sleep", &marker]);
    assert_eq!(pids.len(), 1, "the task goes on without its agent");

    for node in ["w1", "w2"] {
        lab.node_mut(node).start();
        lab.node_mut(node).ready().await;
    }
    lab.wait_ready(3).await;
    let record = client.task(&long.id, Some(&id("w1"))).await.expect("found again");
    assert_eq!(record.state, TaskState::Running);
    assert_eq!(processes(&["sleep", &marker]), pids, "the same process");
    client.stop_task(&long.id, Some(&id("w1")), None).await.expect("stopped");
    let record = client.task(&short.id, Some(&id("w2"))).await.expect("found again");
    assert_eq!(record.state, TaskState::Ended, "{record:?}");
    let left = async || processes(&["sleep", &marker]).len();
    eventually("the task ends", left, |seen| *seen == 0).await;
}

/// A place whose clock is wrong.
fn wrong(by: &str) -> Place {
    wrong_clock(Place::default()).with("FAKETIME", by)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_clock_keeps_strangers_out_and_known_nodes_in() {
    let mut lab = Lab::start(1, 1).await;
    for by in ["+1h", "-1h"] {
        lab.node_mut("w1").kill9();
        let known = lab.node_mut("w1");
        known.set_place(wrong(by));
        known.start();
        known.ready().await;
        lab.wait_ready(2).await;
        let (stdout, end) = exec(&lab.client("c1"), "w1", &["echo", by]).await.expect("runs");
        assert_eq!((stdout.trim(), end.success()), (by, true));
        // Whichever of the two dialled or was dialled, both say so.
        for node in ["w1", "c1"] {
            let log = async || lab.node(node).log();
            let warned = |log: &String| log.contains("clocks of this node and its peer differ");
            eventually(&format!("{node} warns of {by}"), log, warned).await;
        }

        let name = format!("stranger{}", by.len() + usize::from(by.starts_with('+')));
        let stranger = lab.prepare_join(&wrong(by), &name, &[]);
        stranger.start();
        let code = within("the refusal", stranger.ended()).await;
        assert_ne!(code, Some(0));
        let log = stranger.log();
        assert!(log.contains("clocks differ by"), "{by}: {log}");
        assert!(log.contains("hint:") && log.contains("NTP"), "{by}: {log}");
        assert_eq!(lab.wait_ready(2).await.len(), 2, "nobody came in");
    }
}
