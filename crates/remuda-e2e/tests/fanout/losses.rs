//! Whoever dies in mid-run: every target ends with one record, and no answer that was there is lost.

use remuda_e2e::{Lab, eventually, within};
use remuda_model::run::{Outcome, RunState};

use crate::{
    crowd::{Act, Crowd, hosts},
    field::{
        assert_kept, cluster, count, detach, ended, finished, json, judged, listed, records, until,
    },
};

const TARGETS: u32 = 800;
/// So many have their answer when somebody dies.
const BEFORE: u32 = 150;

/// A run that is half done: some targets have their record, others wait for their answer.
pub(crate) struct Half {
    pub(crate) crowd: Crowd,
    pub(crate) run: remuda_model::RunId,
    pub(crate) before: Vec<remuda::client::dto::RunRecord>,
}

pub(crate) async fn half(lab: &Lab, at: &str, options: &[&str]) -> Half {
    let crowd = Crowd::held(|host| Act::ok(&host.to_string())).await;
    let targets = listed(lab, "hosts.txt", &hosts(TARGETS));
    let options = [&["--fixed", "--concurrency", "200"], options].concat();
    let run = detach(lab, (at, &crowd), &targets, &options).await;
    crowd.until("the first are asked", |busy| busy.now == 200).await;
    crowd.let_through(BEFORE as usize);
    let client = lab.client(at);
    until(&client, &run, "is half done", |view| view.done >= BEFORE).await;
    // What is visible is on disk.
    let visible = async || records(&client, &run).await.len();
    eventually("its records", visible, |seen| *seen >= BEFORE as usize).await;
    crowd.until("the next are asked", |busy| busy.now == 200).await;
    let before = records(&client, &run).await;
    Half { crowd, run, before }
}

/// The run comes to its end, and is whole.
pub(crate) async fn whole(lab: &Lab, at: &str, half: Half) {
    half.crowd.open();
    let kept = finished(&lab.client(at), &half.run).await;
    assert_eq!(
        count(&kept, Outcome::Ok),
        TARGETS,
        "{:?}",
        kept.iter().find(|one| one.outcome != Outcome::Ok)
    );
    for record in &kept {
        assert_eq!(record.body, record.host, "{record:?}");
    }
    assert_eq!(half.crowd.asked().len(), TARGETS as usize);
    assert_kept(half.before, kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_dies_and_others_do_its_part() {
    let mut lab = cluster(1, 3).await;
    let half = half(&lab, "c1", &["--on", "node!=c1"]).await;
    lab.node_mut("w2").kill9();
    let client = lab.client("c1");
    let gone = |view: &remuda_model::run::RunView| {
        view.workers.iter().any(|(node, share)| node.as_str() == "w2" && !share.connected)
    };
    until(&client, &half.run, "misses w2", gone).await;
    // It comes back and takes part again, while nobody answers.
    lab.node_mut("w2").start();
    lab.node_mut("w2").ready().await;
    let back = |view: &remuda_model::run::RunView| {
        view.workers.iter().any(|(node, share)| node.as_str() == "w2" && share.connected)
    };
    until(&client, &half.run, "has w2 again", back).await;
    whole(&lab, "c1", half).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_workers_die_and_the_run_waits_for_them() {
    let mut lab = cluster(1, 2).await;
    let half = half(&lab, "c1", &["--on", "node!=c1"]).await;
    for worker in ["w1", "w2"] {
        lab.node_mut(worker).kill9();
    }
    let client = lab.client("c1");
    let waits = |view: &remuda_model::run::RunView| view.reason.is_some() && view.in_flight == 0;
    until(&client, &half.run, "waits", waits).await;
    for worker in ["w1", "w2"] {
        lab.node_mut(worker).start();
        lab.node_mut(worker).ready().await;
    }
    whole(&lab, "c1", half).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_hangs_is_given_up() {
    let lab = cluster(1, 2).await;
    let half = half(&lab, "c1", &["--on", "node!=c1"]).await;
    lab.node("w1").signal(nix::sys::signal::Signal::SIGSTOP);
    let client = lab.client("c1");
    let gone = |view: &remuda_model::run::RunView| {
        view.workers.iter().any(|(node, share)| node.as_str() == "w1" && !share.connected)
    };
    until(&client, &half.run, "misses w1", gone).await;
    whole(&lab, "c1", half).await;
    lab.node("w1").signal(nix::sys::signal::Signal::SIGCONT);
    lab.wait_ready(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_control_node_dies_and_its_next_start_goes_on() {
    let mut lab = cluster(1, 2).await;
    let half = half(&lab, "c1", &[]).await;
    lab.node_mut("c1").kill9();
    lab.node_mut("c1").start();
    lab.node_mut("c1").ready().await;
    // What was there is there at once, and is never there twice.
    let client = lab.client("c1");
    let there = async || records(&client, &half.run).await;
    let all = half.before.len();
    let after = eventually("its records", there, |seen| seen.len() >= all).await;
    assert_kept(half.before.clone(), after);
    whole(&lab, "c1", half).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_cancelled_stays_cancelled() {
    let mut lab = cluster(1, 2).await;
    let half = half(&lab, "c1", &[]).await;
    lab.client("c1").cancel_run(&half.run).await.expect("it is cancelled");
    lab.node_mut("c1").kill9();
    lab.node_mut("c1").start();
    lab.node_mut("c1").ready().await;
    let view = ended(&lab.client("c1"), &half.run).await;
    assert_eq!(view.state, RunState::Cancelled, "{view:#?}");
    assert_kept(half.before, judged(&lab.client("c1"), &half.run).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_has_ended_is_as_it_was_after_a_restart() {
    let mut lab = cluster(1, 1).await;
    let crowd = Crowd::start(|host| match host.octets()[3] {
        1 => Act::Answer(503, b"away".to_vec()),
        _ => Act::ok("here"),
    })
    .await;
    let targets = listed(&lab, "hosts.txt", &hosts(700));
    let run = detach(&lab, ("c1", &crowd), &targets, &[]).await;
    let before = finished(&lab.client("c1"), &run).await;
    let shown = json(&lab, "c1", &["show", run.as_str()]).await;
    for _ in 0..2 {
        lab.node_mut("c1").kill9();
        lab.node_mut("c1").start();
        lab.node_mut("c1").ready().await;
        let after = judged(&lab.client("c1"), &run).await;
        assert_kept(before.clone(), after);
        let mut again = json(&lab, "c1", &["show", run.as_str()]).await;
        // How fast each worker was at the end is not kept.
        again["workers"] = shown["workers"].clone();
        assert_eq!(again, shown);
    }
    assert_eq!(crowd.busy().total, 700, "nobody is asked again");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_dies_and_the_run_of_another_goes_on() {
    let mut lab = cluster(3, 2).await;
    let client = lab.client("c2");
    let leader = async || client.cluster().await.ok().and_then(|cluster| cluster.leader);
    let leader = eventually("a leader", leader, Option::is_some).await.expect("seen").to_string();
    let at = ["c1", "c2", "c3"].into_iter().find(|name| *name != leader).expect("another");
    let half = half(&lab, at, &[]).await;
    lab.node_mut(&leader).kill9();
    whole(&lab, at, half).await;
    lab.node_mut(&leader).start();
    within("the leader of before", lab.node_mut(&leader).ready()).await;
    lab.wait_ready_at(at, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_die_at_once_and_the_run_goes_on() {
    let mut lab = cluster(3, 2).await;
    let half = half(&lab, "c3", &[]).await;
    for node in lab.names() {
        lab.node_mut(&node).kill9();
    }
    for node in lab.names() {
        lab.node_mut(&node).start();
    }
    for node in lab.names() {
        lab.node_mut(&node).ready().await;
    }
    whole(&lab, "c1", half).await;
}
