//! A cluster survives the loss of all its control nodes by a backup (F-33), and the loss of most of
//! them by the one that is left (F-34).

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _, path::Path};

use remuda::{agent::Backup, client::Client};
use remuda_e2e::{Finished, Lab, detach, eventually, exec, id, run, whole_output};
use remuda_model::{NodeId, NodeStatus, TaskId, TaskState};
use serde_json::Value;

/// Tasks that run, with the process that each of them is.
struct Tasks(Vec<(String, TaskId, String)>);

impl Tasks {
    /// One task on each node, which writes its pid and then waits.
    async fn start(lab: &Lab, at: &str, nodes: &[&str]) -> Self {
        let client = lab.client(at);
        let mut tasks = Vec::new();
        for node in nodes {
            let task = detach(&client, node, &["sh", "-c", "echo $$; exec sleep 600"]).await;
            let probe = async || first_line(&client, node, &task.id).await;
            let pid = eventually("the task says its pid", probe, |line| !line.is_empty()).await;
            tasks.push(((*node).to_owned(), task.id, pid));
        }
        Self(tasks)
    }

    /// The same processes still run, and the cluster knows them.
    async fn assert_untouched(&self, client: &Client) {
        for (node, task, pid) in &self.0 {
            assert!(Path::new("/proc").join(pid).exists(), "{task} on {node} has ended");
            let record = client.task(task, Some(&id(node))).await.expect("known");
            assert_eq!(record.state, TaskState::Running, "{record:?}");
            assert_eq!(first_line(client, node, task).await, *pid);
        }
    }

    async fn stop(self, client: &Client) {
        for (node, task, _) in self.0 {
            client.stop_task(&task, Some(&id(&node)), None).await.expect("stops");
            whole_output(client, &node, &task).await;
        }
    }
}

async fn first_line(client: &Client, node: &str, task: &TaskId) -> String {
    use remuda::client::dto::OutputLine;
    let Ok(mut stream) = client.output(task, Some(&id(node)), 0, false).await else {
        return String::new();
    };
    while let Ok(Some(line)) = stream.next().await {
        if let OutputLine::Stdout { data, .. } = line {
            return String::from_utf8_lossy(&data).trim().to_owned();
        }
    }
    String::new()
}

fn succeeded(finished: &Finished) -> Value {
    assert_eq!(finished.code, Some(0), "{finished:?}");
    serde_json::from_str(&finished.stdout).expect("JSON")
}

/// A control node that joins at another one with a token that the cluster gives now.
async fn join(lab: &mut Lab, at: &str, name: &str) {
    let asked = lab.cli(at, &["cluster", "join-token", "control", "--json"]).await;
    let token = succeeded(&asked)["token"].as_str().expect("a token").to_owned();
    let url = lab.url(at);
    lab.add(name, &["--control", "--join", &url, "--token", &token]).await;
}

async fn all_ready(lab: &Lab, at: &str, names: &[&str]) {
    let client = lab.client(at);
    let names: Vec<NodeId> = names.iter().map(|name| id(name)).collect();
    let probe = async || client.nodes().await.unwrap_or_default();
    eventually(&format!("{names:?} are ready at {at}"), probe, |nodes| {
        let ready = nodes.iter().filter(|node| node.status == NodeStatus::Ready);
        ready.map(|node| &node.id).eq(names.iter())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_control_nodes_are_lost_and_a_backup_brings_the_cluster_back() {
    let mut lab = Lab::start(3, 2).await;
    let client = lab.client("c1");
    client.set_labels(&id("w1"), &"gpu;rack=7".parse().expect("labels"), &[]).await.expect("set");
    let scope = remuda::client::dto::Scope::Operate;
    let token = client.create_token("ci", scope, None).await.expect("made").token;
    // The owner shows labels at once and has them committed soon after.
    let recorded = async || {
        let backup = Backup::from_bytes(&client.backup().await.ok()?, None).ok()?;
        backup.state.node(&id("w1")).map(|node| node.labels.to_string())
    };
    eventually("the labels are recorded", recorded, |labels| {
        labels.as_ref().is_some_and(|labels| labels.contains("rack"))
    })
    .await;
    let tasks = Tasks::start(&lab, "c2", &["w1", "w2"]).await;
    // The authority that counts is not the one that the cluster began with.
    let rotated = lab.cli("c1", &["cluster", "rotate-ca", "--wait"]).await;
    assert_eq!(rotated.code, Some(0), "{rotated:?}");

    // At a follower as well: it contains what the leader has acknowledged before.
    let file = lab.dir().join("herd.backup");
    let passphrase = lab.dir().join("passphrase");
    fs::write(&passphrase, "correct horse battery\n").expect("written");
    let (file, passphrase) = (file.to_str().expect("UTF-8"), passphrase.to_str().expect("UTF-8"));
    let words = ["cluster", "backup", file, "--passphrase-file", passphrase, "--json"];
    let made = succeeded(&lab.cli("c2", &words).await);
    assert_eq!(made["sealed"], true, "{made}");
    let mode = fs::metadata(file).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let bytes = fs::read(file).expect("readable");
    let again = lab.cli("c1", &words).await;
    assert_eq!(again.code, Some(4), "nothing is replaced: {again:?}");
    assert_eq!(fs::read(file).expect("readable"), bytes);
    let backup = Backup::from_bytes(&bytes, Some(b"correct horse battery")).expect("whole");
    let hash = backup.state.hash().map(|byte| format!("{byte:02x}")).concat();
    assert_eq!(made["state_hash"], hash.as_str());

    for lost in ["c1", "c2", "c3"] {
        lab.forget(lost);
    }
    let dir = lab.dir().join("n1");
    let dir = dir.to_str().expect("UTF-8").to_owned();
    let words = ["cluster", "restore", file, "--data-dir", &dir, "--name", "n1", "--json"].to_vec();
    let sealed = run(&words, &[]);
    assert_eq!(sealed.code, Some(6), "{sealed:?}");
    assert!(!Path::new(&dir).exists(), "nothing was begun");
    let words = [words.as_slice(), &["--passphrase-file", passphrase]].concat();
    let restored = succeeded(&run(&words, &[]));
    assert_eq!(restored["removed"], serde_json::json!(["c1", "c2", "c3"]), "{restored}");
    let twice = run(&words, &[]);
    assert_eq!(twice.code, Some(4), "not into a directory that holds something: {twice:?}");

    lab.add("n1", &["--control"]).await;
    all_ready(&lab, "n1", &["n1", "w1", "w2"]).await;
    let client = lab.client("n1");
    tasks.assert_untouched(&client).await;
    let tokens = client.tokens().await.expect("the old token is accepted");
    assert!(tokens.iter().any(|known| known.id == token.id), "{tokens:?}");
    let labels = client.node(&id("w1")).await.expect("known").labels.to_string();
    assert_eq!(labels, "gpu;rack=7");
    for worker in ["w1", "w2"] {
        let (stdout, _) = exec(&client, worker, &["echo", "back"]).await.expect("runs");
        assert_eq!(stdout, "back\n");
    }

    // Two more make it as safe as it was, one of them under a name that was lost.
    join(&mut lab, "n1", "n2").await;
    join(&mut lab, "n1", "c3").await;
    let voters = async || client.cluster().await.map(|cluster| cluster.voters.len());
    let _three =
        eventually("three voters", voters, |voters| voters.as_ref().is_ok_and(|n| *n == 3)).await;
    all_ready(&lab, "n2", &["c3", "n1", "n2", "w1", "w2"]).await;
    tasks.assert_untouched(&lab.client("c3")).await;

    // What nobody changed since is byte for byte what it was.
    let words = ["cluster", "backup", &format!("{file}.2"), "--json"];
    succeeded(&lab.cli("n2", &words).await);
    let later = fs::read(format!("{file}.2")).expect("readable");
    let later = Backup::from_bytes(&later, None).expect("whole");
    assert_eq!(later.state.cluster(), backup.state.cluster());
    assert!(later.state.tokens().eq(backup.state.tokens()));
    assert_eq!(later.authority.to_wire(), backup.authority.to_wire());
    let workers = |backup: &Backup| -> BTreeMap<NodeId, _> {
        let workers = backup.state.nodes().filter(|node| !node.roles.is_control());
        workers.map(|node| (node.id.clone(), node.clone())).collect()
    };
    assert_eq!(workers(&later), workers(&backup));
    tasks.stop(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_majority_is_lost_and_the_one_that_is_left_brings_the_cluster_back() {
    let mut lab = Lab::start(3, 1).await;
    let client = lab.client("c1");
    let token = client.create_token("late", remuda::client::dto::Scope::Read, None).await;
    let token = token.expect("made").token;
    let tasks = Tasks::start(&lab, "c1", &["w1"]).await;
    // It has been told of the token before it stays behind alone.
    let known = async || lab.client("c3").stale().tokens().await.unwrap_or_default();
    eventually("c3 knows the token", known, |all| all.iter().any(|one| one.id == token.id)).await;
    lab.forget("c1");
    lab.forget("c2");
    let old = lab.node("c3").dir().to_str().expect("UTF-8").to_owned();
    let dir = lab.dir().join("n1");
    let dir = dir.to_str().expect("UTF-8");
    let words = ["cluster", "recover", "--from", &old, "--data-dir", dir, "--name", "n1", "--json"];
    let busy = run(&words, &[]);
    assert_eq!(busy.code, Some(4), "c3 still runs: {busy:?}");
    assert!(!Path::new(dir).exists(), "nothing was begun");
    lab.node_mut("c3").kill9();
    let recovered = succeeded(&run(&words, &[]));
    assert_eq!(recovered["removed"], serde_json::json!(["c1", "c2", "c3"]), "{recovered}");

    lab.add("n1", &["--control"]).await;
    all_ready(&lab, "n1", &["n1", "w1"]).await;
    let client = lab.client("n1");
    let tokens = client.tokens().await.expect("the old token is accepted");
    assert!(tokens.iter().any(|known| known.id == token.id), "{tokens:?}");
    tasks.assert_untouched(&client).await;

    // The one that was left does not come back by itself, with the log that it has.
    lab.node_mut("c3").start();
    lab.node_mut("c3").ready().await;
    for (at, other) in [("n1", "c3"), ("c3", "n1")] {
        let url = lab.url(other);
        let refused = lab.cli(at, &["cluster", "add", &url]).await;
        assert_ne!(refused.code, Some(0), "{at} and {other} have no link: {refused:?}");
        assert!(refused.stderr.contains("revoked"), "{at} to {other}: {refused:?}");
    }
    all_ready(&lab, "n1", &["n1", "w1"]).await;
    let cluster = client.cluster().await.expect("answers");
    assert_eq!(cluster.voters, [id("n1")], "{cluster:?}");
    tasks.assert_untouched(&client).await;
    tasks.stop(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_whole_backup_is_refused_and_leaves_nothing() {
    let lab = Lab::start(1, 0).await;
    let file = lab.dir().join("whole");
    let made = lab.cli("c1", &["cluster", "backup", file.to_str().expect("UTF-8")]).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    assert!(made.stderr.contains("authority"), "an open backup is worth a warning: {made:?}");
    let whole = fs::read(&file).expect("readable");
    let newer = [&whole[..8], &[9], &whole[9..]].concat();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    for (name, bytes, words) in [
        ("cut", &whole[..whole.len() - 1], "incomplete"),
        ("damaged", &damaged, "checksum"),
        ("newer", &newer, "newer version"),
        ("foreign", b"#!/bin/sh\n".as_slice(), "no backup"),
        ("empty", b"".as_slice(), "no backup"),
    ] {
        let path = lab.dir().join(name);
        fs::write(&path, bytes).expect("written");
        let dir = lab.dir().join(format!("{name}-dir"));
        let (path, to) = (path.to_str().expect("UTF-8"), dir.to_str().expect("UTF-8"));
        let refused = run(&["cluster", "restore", path, "--data-dir", to], &[]);
        assert_eq!(refused.code, Some(2), "{name}: {refused:?}");
        assert!(refused.stderr.contains(words), "{name}: {refused:?}");
        assert!(refused.stderr.contains("hint: "), "{name}: {refused:?}");
        assert!(!dir.exists(), "{name}: nothing is begun");
    }
    // A name that is known would be mistaken for the lost node.
    let dir = lab.dir().join("again");
    let (path, to) = (file.to_str().expect("UTF-8"), dir.to_str().expect("UTF-8"));
    let taken = run(&["cluster", "restore", path, "--data-dir", to, "--name", "c1"], &[]);
    assert_eq!(taken.code, Some(4), "{taken:?}");
    assert!(!dir.exists(), "nothing is begun");
    let reader =
        lab.client("c1").create_token("r", remuda::client::dto::Scope::Operate, None).await;
    let reader = lab.node("c1").client(&reader.expect("made").secret);
    let refused = reader.backup().await.expect_err("only for administrators");
    assert_eq!(refused.code, "forbidden", "{refused:?}");
}
