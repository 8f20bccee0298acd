//! Disks are full; nothing acknowledged is lost, and everybody says what is wrong.

use remuda_api::dto::{Cluster, Scope};
use remuda_e2e::{Lab, Place, command, detach, eventually, exec, id, info, whole_output};
use remuda_model::{ErrorKind, Failure, NodeStatus, TaskState};

/// Enough for the files of a node, and soon full.
const MEGABYTES: u32 = 24;

/// Says what is wrong in a way that helps.
fn assert_clear(failure: &Failure) {
    let words = format!("{} {}", failure.message, failure.hint.as_deref().unwrap_or_default());
    assert!(
        ["No space left", "disk", "space", "storage"].iter().any(|word| words.contains(word)),
        "{failure:?}"
    );
    assert_ne!(failure.kind, ErrorKind::Internal, "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_a_full_disk_refuses_tasks_and_keeps_what_it_has() {
    let mut lab = Lab::start(1, 0).await;
    lab.mount("w1", MEGABYTES);
    lab.join("w1", &[]).await;
    lab.wait_ready(2).await;
    let client = lab.client("c1");
    let done = detach(&client, "w1", &["echo", "kept"]).await;
    assert_eq!(whole_output(&client, "w1", &done.id).await.0, "kept\n");
    let flag = lab.dir().join("flag");
    let script = format!("until [ -e {} ]; do sleep 0.05; done; echo late", flag.display());
    let running = detach(&client, "w1", &["sh", "-c", &script]).await;

    lab.disk("w1").fill();
    // What was still in flight may find a last corner; then tasks are refused, and with words.
    let refuse = async || client.exec_detached(&id("w1"), &command(&["true"])).await.err();
    let failure = eventually("tasks are refused", refuse, Option::is_some).await.expect("seen");
    assert_clear(&failure);
    info(&client, "w1").await.expect("it answers all the same");
    let view = client.node(&id("w1")).await.expect("known");
    assert_eq!(view.status, NodeStatus::Ready, "connected");
    assert_eq!(view.generation.0, 1, "the agent never crashed");
    std::fs::write(&flag, "").expect("a file");

    lab.node_mut("w1").kill9();
    lab.node_mut("w1").start();
    if lab.node_mut("w1").settled().await {
        lab.node_mut("w1").kill9();
    }
    lab.disk("w1").free();
    lab.node_mut("w1").start();
    lab.node_mut("w1").ready().await;
    lab.wait_ready(2).await;
    assert_eq!(whole_output(&client, "w1", &done.id).await.0, "kept\n");
    let record = client.task(&running.id, Some(&id("w1"))).await.expect("known");
    assert_eq!(record.id, running.id);
    let (_, end) = whole_output(&client, "w1", &running.id).await;
    // The holder could perhaps not write down how it ended; it says what it knows.
    assert!(!end.to_string().is_empty());
    let (stdout, _) = exec(&client, "w1", &["echo", "again"]).await.expect("runs");
    assert_eq!(stdout, "again\n");
}

/// Makes tokens until one is refused; returns the names of those that were acknowledged and why the
/// next one was not.
async fn tokens_until_full(lab: &Lab, at: &str) -> (Vec<String>, Failure) {
    let client = lab.client(at);
    let mut made = Vec::new();
    let make = async || {
        let name = format!("token-{}", made.len());
        match client.create_token(&name, Scope::Read, None).await {
            Ok(_) => {
                made.push(name);
                None
            }
            Err(failure) => Some(failure),
        }
    };
    let failure = eventually("a change is refused", make, Option::is_some).await.expect("seen");
    (made, failure)
}

/// Waits until a control node shows all of these tokens.
async fn wait_tokens(lab: &Lab, at: &str, names: &[String]) {
    let client = lab.client(at);
    let tokens = async || {
        let tokens = client.tokens().await.unwrap_or_default();
        let missing = |name: &&String| !tokens.iter().any(|token| token.name == **name);
        names.iter().filter(missing).cloned().collect::<Vec<_>>()
    };
    eventually(&format!("missing tokens at {at}"), tokens, Vec::is_empty).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_node_with_a_full_disk_loses_nothing() {
    let mut lab = Lab::empty();
    lab.mount("c1", MEGABYTES);
    lab.bootstrap(&Place::default(), &[]).await;
    lab.join("w1", &[]).await;
    lab.wait_ready(2).await;
    let task = detach(&lab.client("c1"), "w1", &["sleep", "1000"]).await;

    lab.disk("c1").fill();
    let (mut made, failure) = tokens_until_full(&lab, "c1").await;
    if failure.kind == ErrorKind::OutcomeUnknown {
        // The change that met the end of the disk may be in the log, or not. Later ones are not.
        let again = lab.client("c1").create_token("too-late", Scope::Read, None).await;
        let failure = again.expect_err("the disk is full");
        assert_clear(&failure);
        assert_ne!(failure.kind, ErrorKind::OutcomeUnknown, "{failure:?}");
    } else {
        assert_clear(&failure);
    }
    // It still shows what it knows, and says that it is not well.
    let stale = lab.client("c1").stale();
    assert_eq!(stale.nodes().await.expect("read").len(), 2);
    let cluster = stale.cluster().await.expect("read");
    assert!(!cluster.healthy, "{cluster:?}");

    // A start without space works or ends; it does not hang, nor destroy anything.
    lab.node_mut("c1").kill9();
    lab.node_mut("c1").start();
    if lab.node_mut("c1").settled().await {
        lab.node_mut("c1").kill9();
    }
    lab.disk("c1").free();
    lab.node_mut("c1").start();
    lab.node_mut("c1").ready().await;
    lab.wait_ready(2).await;
    wait_tokens(&lab, "c1", &made).await;
    lab.client("c1").create_token("after", Scope::Read, None).await.expect("made");
    made.push("after".to_owned());
    let record = lab.client("c1").task(&task.id, Some(&id("w1"))).await.expect("known");
    assert_eq!(record.state, TaskState::Running, "the worker never noticed");
    lab.node_mut("c1").kill9();
    lab.node_mut("c1").start();
    lab.node_mut("c1").ready().await;
    wait_tokens(&lab, "c1", &made).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_with_a_full_disk_gives_way() {
    let mut lab = Lab::empty();
    lab.mount("c1", MEGABYTES);
    lab.bootstrap(&Place::default(), &[]).await;
    for control in ["c2", "c3"] {
        lab.join(control, &["--control"]).await;
    }
    lab.join("w1", &[]).await;
    lab.wait_ready(4).await;
    let cluster = async || lab.client("c2").cluster().await;
    let good = |seen: &Result<Cluster, Failure>| {
        seen.as_ref().is_ok_and(|cluster| cluster.voters.len() == 3)
    };
    let cluster = eventually("three voters", cluster, good).await.expect("seen");
    assert_eq!(cluster.leader, Some(id("c1")), "it founded the cluster");

    lab.disk("c1").fill();
    let (mut made, _) = tokens_until_full(&lab, "c1").await;
    for number in 0..10 {
        let name = format!("later-{number}");
        let make = async || lab.client("c2").create_token(&name, Scope::Read, None).await;
        eventually("a change without c1", make, Result::is_ok).await.expect("made");
        made.push(name);
    }
    wait_tokens(&lab, "c3", &made).await;
    info(&lab.client("c3"), "w1").await.expect("it answers");

    lab.node_mut("c1").kill9();
    lab.disk("c1").free();
    lab.node_mut("c1").start();
    lab.node_mut("c1").ready().await;
    wait_tokens(&lab, "c1", &made).await;
    lab.wait_ready_at("c1", 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_named_and_the_way_back_too() {
    let mut lab = Lab::start(1, 0).await;
    lab.node_mut("c1").kill9();
    let dir = lab.node("c1").dir().to_owned();
    for (file, way_back) in [
        ("control/replica/meta", "hint: restore the file from a backup"),
        ("worker/worker.redb", "hint: move worker.redb away"),
    ] {
        let path = dir.join(file);
        let good = std::fs::read(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        std::fs::write(&path, [&[!good[0]], &good[1..]].concat()).expect("damaged");
        let before = lab.node("c1").log().len();
        lab.node_mut("c1").start();
        assert!(!lab.node_mut("c1").settled().await, "it runs with a damaged {file}");
        let log = lab.node("c1").log().split_off(before);
        assert!(log.contains(file) && log.contains("damaged"), "{log}");
        assert!(log.contains(way_back), "{log}");
        std::fs::write(&path, good).expect("mended");
    }
    lab.node_mut("c1").start();
    lab.node_mut("c1").ready().await;
}
