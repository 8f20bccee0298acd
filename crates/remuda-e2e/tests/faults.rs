//! Nodes die; the cluster goes on, and nothing acknowledged is lost.

use std::time::Duration;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use remuda_api::dto::Scope;
use remuda_e2e::{Lab, count_files, detach, eventually, exec, id, info, processes, whole_output};
use remuda_model::{ErrorKind, ExitStatus, NodeStatus, TaskEnd, TaskState};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_dies_and_nothing_acknowledged_is_lost() {
    let mut lab = Lab::start(3, 1).await;
    let leader = leader(&lab, "c1").await;
    let task = detach(&lab.client(&leader), "w1", &["sleep", "1000"]).await;
    let other = if leader == "c1" { "c2" } else { "c1" };
    let mut acknowledged = Vec::new();
    for number in 0..10 {
        acknowledged.push(token(&lab, other, &format!("before-{number}")).await);
    }
    lab.node_mut(&leader).kill9();

    for number in 0..10 {
        acknowledged.push(token(&lab, other, &format!("after-{number}")).await);
    }
    lab.node_mut(&leader).start();
    lab.node_mut(&leader).ready().await;
    for at in ["c1", "c2", "c3"] {
        let client = lab.client(at);
        let tokens = eventually("tokens", async || client.tokens().await, Result::is_ok).await;
        let names: Vec<_> = tokens.expect("read").into_iter().map(|token| token.name).collect();
        for name in &acknowledged {
            assert!(names.contains(name), "{at} lost {name}: {names:?}");
        }
    }
    lab.wait_ready_at(other, 4).await;
    let record = lab.client(other).task(&task.id, Some(&id("w1"))).await.expect("still known");
    assert_eq!(record.state, TaskState::Running);
}

/// Makes a token, however long the cluster needs to have a leader; an unknown outcome is tried
/// again under the same name.
async fn token(lab: &Lab, at: &str, name: &str) -> String {
    let client = lab.client(at);
    let make = async || client.create_token(name, Scope::Read, None).await;
    eventually("a token", make, Result::is_ok).await.expect("made");
    name.to_owned()
}

async fn leader(lab: &Lab, at: &str) -> String {
    let client = lab.client(at);
    let probe = async || client.cluster().await.ok().and_then(|cluster| cluster.leader);
    eventually("a leader", probe, Option::is_some).await.expect("seen").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_dies_with_running_requests() {
    let mut lab = Lab::start(3, 2).await;
    let nodes = lab.wait_ready(5).await;
    let worker = nodes.iter().find(|node| node.id == id("w1")).expect("listed");
    let owner = worker.owner.clone().expect("owned").to_string();
    let other = ["c1", "c2", "c3"].into_iter().find(|name| *name != owner).expect("three");
    let task = detach(&lab.client(other), "w1", &["sh", "-c", "sleep 5; echo done"]).await;

    // A request that runs when its owner dies has an unknown outcome, and says so.
    let client = lab.client(other);
    let class = "exec".parse().expect("a class");
    let marker = format!("{}", 200_000 + std::process::id());
    let slow = json!({"argv": ["sleep", marker]});
    let (w1, patience) = (id("w1"), Some(Duration::from_secs(50)));
    let pending = tokio::spawn(async move { client.request(&w1, &class, slow, patience).await });
    let busy = async || processes(&["sleep", &marker]).len();
    eventually("the request runs", busy, |seen| *seen == 1).await;
    lab.node_mut(&owner).kill9();
    let failure = pending.await.expect("no panic").expect_err("its owner died");
    assert!(matches!(failure.kind, ErrorKind::OutcomeUnknown | ErrorKind::TimedOut), "{failure:?}");

    // The worker finds another owner; its task never noticed.
    let client = lab.client(other);
    let again = async || info(&client, "w1").await;
    eventually("w1 answers again", again, Result::is_ok).await.expect("seen");
    let (stdout, end) = whole_output(&client, "w1", &task.id).await;
    assert_eq!((stdout.as_str(), end.success()), ("done\n", true));

    // One control node less, and every other node is ready; the dead one comes back.
    lab.wait_ready_at(other, 4).await;
    lab.node_mut(&owner).start();
    lab.wait_ready_at(other, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_dies_and_returns() {
    let mut lab = Lab::start(1, 1).await;
    let client = lab.client("c1");
    lab.node_mut("w1").kill9();
    let probe = async || client.node(&id("w1")).await.expect("known").status;
    eventually("w1 is missed", probe, |status| *status == NodeStatus::NotConnected).await;
    let failure = info(&client, "w1").await.expect_err("nobody there");
    assert_eq!(failure.kind, ErrorKind::NotConnected);
    lab.node_mut("w1").start();
    lab.wait_ready(2).await;
    info(&client, "w1").await.expect("it answers again");
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_survive_their_agent() {
    let mut lab = Lab::start(1, 1).await;
    let client = lab.client("c1");
    let counting = "i=0; while [ $i -lt 60 ]; do echo $i; i=$((i+1)); sleep 0.1; done; exit 7";
    let running = detach(&client, "w1", &["sh", "-c", counting]).await;
    let meanwhile = detach(&client, "w1", &["sh", "-c", "sleep 1; echo gone; exit 5"]).await;
    let long = detach(&client, "w1", &["sleep", "1000"]).await;

    lab.node_mut("w1").kill9();
    // The second one ends while nobody looks.
    let dir = lab.node("w1").dir().to_owned();
    let exits = async || count_files(&dir, "exit");
    eventually("a task ended without its agent", exits, |seen| *seen >= 1).await;
    lab.node_mut("w1").start();
    lab.wait_ready(2).await;

    let (stdout, end) = whole_output(&client, "w1", &running.id).await;
    let expected = (0..60).map(|number: u32| number.to_string() + "\n").collect::<String>();
    assert_eq!(stdout, expected, "complete output");
    assert!(matches!(end, TaskEnd::Exited { status: ExitStatus::Code(7), .. }), "{end:?}");
    let (stdout, end) = whole_output(&client, "w1", &meanwhile.id).await;
    assert_eq!(stdout, "gone\n");
    assert!(matches!(end, TaskEnd::Exited { status: ExitStatus::Code(5), .. }), "{end:?}");
    let record = client.task(&long.id, Some(&id("w1"))).await.expect("known");
    assert_eq!(record.state, TaskState::Running);
    client.stop_task(&long.id, Some(&id("w1")), None).await.expect("stopped");
    let (_, end) = whole_output(&client, "w1", &long.id).await;
    assert!(matches!(end, TaskEnd::Exited { stopped: true, .. }), "{end:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_end_with_their_holder_and_are_reported_lost() {
    let lab = Lab::start(1, 1).await;
    let client = lab.client("c1");
    let marker = format!("{}", 100_000 + std::process::id());
    let task = detach(&client, "w1", &["sleep", &marker]).await;
    let holder = lab.node("w1").holder().expect("a holder");
    kill(Pid::from_raw(holder), Signal::SIGKILL).expect("a process of ours");
    let (_, end) = whole_output(&client, "w1", &task.id).await;
    assert!(matches!(end, TaskEnd::Lost { .. }), "{end:?}");
    let left = async || processes(&["sleep", &marker]).len();
    eventually("its process is gone", left, |seen| *seen == 0).await;
    let (stdout, _) = exec(&client, "w1", &["echo", "again"]).await.expect("a new holder");
    assert_eq!(stdout, "again\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_die_at_once_and_restart_from_disk() {
    let mut lab = Lab::start(3, 2).await;
    let name = token(&lab, "c1", "kept").await;
    let task = detach(&lab.client("c1"), "w1", &["sh", "-c", "sleep 3; echo through"]).await;
    for node in lab.names() {
        lab.node_mut(&node).kill9();
    }
    for node in lab.names() {
        lab.node_mut(&node).start();
    }
    for node in lab.names() {
        lab.node_mut(&node).ready().await;
    }
    // Each control node finds the owners of the workers anew.
    for at in ["c1", "c2", "c3"] {
        lab.wait_ready_at(at, 5).await;
    }
    let tokens = lab.client("c2").tokens().await.expect("read");
    assert!(tokens.iter().any(|token| token.name == name), "{tokens:?}");
    let (stdout, end) = whole_output(&lab.client("c3"), "w1", &task.id).await;
    assert_eq!((stdout.as_str(), end.success()), ("through\n", true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_reading_is_missed_and_found_again() {
    let lab = Lab::start(1, 1).await;
    let client = lab.client("c1");
    lab.node("w1").signal(Signal::SIGSTOP);
    let probe = async || client.node(&id("w1")).await.expect("known").status;
    eventually("w1 is missed", probe, |status| *status == NodeStatus::NotConnected).await;
    exec(&client, "c1", &["true"]).await.expect("others are not held up");
    lab.node("w1").signal(Signal::SIGCONT);
    lab.wait_ready(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_end_leaves_cleanly() {
    let mut lab = Lab::start(3, 1).await;
    assert_eq!(lab.node_mut("w1").terminate().await, Some(0));
    let leader = leader(&lab, "c1").await;
    let other = if leader == "c1" { "c2" } else { "c1" };
    assert_eq!(lab.node_mut(&leader).terminate().await, Some(0));
    token(&lab, other, "written-after").await;
}
