//! The coordinator is lost, and the control node with the second copy goes on.

use std::fs;

use nix::sys::signal::Signal;
use remuda::client::Client;
use remuda_e2e::{Lab, eventually};
use remuda_model::{
    RunId,
    run::{Outcome, RunView},
};

use crate::{
    crowd::{Act, Crowd, hosts},
    field::{assert_kept, cluster, count, detach, finished, judged, listed, until},
    losses::{half, whole},
    losses_at_most_once as once,
};

/// Who has the second copy, once somebody has.
pub(crate) async fn standby(client: &Client, run: &RunId) -> String {
    let view = until(client, run, "has a second copy", |view| view.standby.is_some()).await;
    view.standby.expect("seen").to_string()
}

/// Somebody else than this one carries the run out.
pub(crate) fn not_by(node: &str) -> impl Fn(&RunView) -> bool {
    let node = node.to_owned();
    move |view| view.coordinator.as_str() != node
}

/// The run is there once, whichever control node is asked, and not at all on the disk of `node`.
async fn is_nowhere_at(lab: &Lab, node: &str, run: &RunId) {
    let dir = lab.dir().join(node).join("control/runs").join(run.as_str());
    let there = async || dir.exists();
    eventually("it gives the run up", there, |there| !there).await;
    for control in ["c1", "c2", "c3"] {
        let client = lab.client(control);
        let listed = async || client.runs().await;
        let all = |found: &Result<remuda::client::dto::RunList, _>| {
            found.as_ref().is_ok_and(|found| found.unreachable.is_empty())
        };
        let found = eventually("all control nodes answer", listed, all).await.expect("seen");
        let times = found.runs.iter().filter(|view| view.id == *run).count();
        assert_eq!(times, 1, "{found:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_coordinator_dies_and_another_goes_on() {
    let mut lab = cluster(3, 2).await;
    let half = half(&lab, "c2", &["--on", "node in (w1,w2)"]).await;
    let next = standby(&lab.client("c2"), &half.run).await;
    lab.node_mut("c2").kill9();
    let run = half.run.clone();
    let view = until(&lab.client("c1"), &run, "is taken over", not_by("c2")).await;
    assert_eq!(view.coordinator.as_str(), next);
    whole(&lab, "c3", half).await;
    // Whoever comes back has nothing to say any more.
    lab.node_mut("c2").start();
    lab.node_mut("c2").ready().await;
    is_nowhere_at(&lab, "c2", &run).await;
    judged(&lab.client("c2"), &run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_coordinator_dies_and_nobody_is_asked_twice() {
    let mut lab = cluster(3, 2).await;
    let half = once::half(&lab, "c3", &["--on", "node in (w1,w2)"]).await;
    standby(&lab.client("c3"), &half.run).await;
    lab.node_mut("c3").kill9();
    until(&lab.client("c1"), &half.run, "is taken over", not_by("c3")).await;
    let kept = once::honest(&lab, "c2", half).await;
    assert!(count(&kept, Outcome::Unknown) > 0, "those under way are unknown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_was_frozen_finds_itself_replaced() {
    let mut lab = cluster(3, 2).await;
    let half = half(&lab, "c2", &["--on", "node in (w1,w2)"]).await;
    standby(&lab.client("c2"), &half.run).await;
    let run = half.run.clone();
    lab.node("c2").signal(Signal::SIGSTOP);
    until(&lab.client("c1"), &run, "is taken over", not_by("c2")).await;
    lab.node("c2").signal(Signal::SIGCONT);
    whole(&lab, "c1", half).await;
    is_nowhere_at(&lab, "c2", &run).await;
    lab.node_mut("c2").kill9();
    lab.node_mut("c2").start();
    lab.node_mut("c2").ready().await;
    is_nowhere_at(&lab, "c2", &run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standby_dies_and_another_takes_its_place() {
    let mut lab = cluster(3, 2).await;
    let half = half(&lab, "c1", &["--on", "node in (w1,w2)"]).await;
    let client = lab.client("c1");
    let first = standby(&client, &half.run).await;
    lab.node_mut(&first).kill9();
    let other =
        |view: &RunView| view.standby.as_ref().is_some_and(|standby| standby.as_str() != first);
    until(&client, &half.run, "has another second copy", other).await;
    lab.node_mut(&first).start();
    lab.node_mut(&first).ready().await;
    lab.wait_ready(5).await;
    let stale = lab.dir().join(&first).join("control/copies").join(half.run.as_str());
    let there = async || stale.exists();
    eventually("it forgets its copy", there, |there| !there).await;
    let run = half.run.clone();
    lab.node_mut("c1").kill9();
    until(&lab.client(&first), &run, "is taken over", not_by("c1")).await;
    whole(&lab, &first, half).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_has_ended_outlives_its_coordinator() {
    let mut lab = cluster(3, 1).await;
    let crowd = Crowd::start(|host| Act::ok(&host.to_string())).await;
    let targets = listed(&lab, "hosts.txt", &hosts(300));
    let run = detach(&lab, ("c1", &crowd), &targets, &[]).await;
    let client = lab.client("c1");
    let before = finished(&client, &run).await;
    let next = standby(&client, &run).await;
    lab.node_mut("c1").kill9();
    fs::remove_dir_all(lab.dir().join("c1/control/runs")).expect("its disk is lost");
    let view = until(&lab.client(&next), &run, "is taken over", not_by("c1")).await;
    assert!(view.state.has_ended(), "{view:#?}");
    assert_kept(before, judged(&lab.client(&next), &run).await);
    assert_eq!(crowd.busy().total, 300, "nobody is asked again");
    // Who removes it removes it everywhere.
    lab.client(&next).remove_run(&run).await.expect("it is removed");
    let left = async || {
        let dirs = ["c2", "c3"].map(|node| lab.dir().join(node).join("control"));
        dirs.iter()
            .any(|dir| ["runs", "copies"].iter().any(|of| dir.join(of).join(run.as_str()).exists()))
    };
    eventually("no copy is left", left, |left| !left).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_given_to_one_of_two_that_want_it_at_once() {
    let lab = cluster(3, 1).await;
    let crowd = Crowd::start(|host| Act::ok(&host.to_string())).await;
    let targets = listed(&lab, "hosts.txt", &hosts(20));
    let url = crowd.url("/");
    let arguments =
        ["fanout", "http", "GET", &url, "--targets", &targets, "--id", "mine", "--detach"];
    let (one, two) = tokio::join!(lab.cli("c2", &arguments), lab.cli("c3", &arguments));
    let mut codes = [one.code, two.code];
    codes.sort_unstable();
    assert_eq!(codes[0], Some(0), "{one:#?} {two:#?}");
    assert_ne!(codes[1], Some(0), "{one:#?} {two:#?}");
    let lost = if one.code == Some(0) { &two } else { &one };
    assert!(lost.stderr.contains("there is a run `mine`"), "{lost:#?}");
    let kept = finished(&lab.client("c1"), &"mine".parse().expect("an id")).await;
    assert_eq!(count(&kept, Outcome::Ok), 20);
}
