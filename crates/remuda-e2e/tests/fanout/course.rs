//! Runs that are cancelled, paused, late, or side by side.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use remuda_e2e::{Lab, within};
use remuda_model::run::{Outcome, RunState, TroubleKind};

use crate::{
    crowd::{Act, Crowd, hosts},
    field::{
        LOOPBACK, cluster, count, detach, ended, fanout, finished, judged, listed, records, said,
        until,
    },
};

/// Something else is done from its beginning to its end: whatever was to come of the rest has come.
async fn meanwhile(lab: &Lab) {
    let other = Crowd::start(|_| Act::ok("other")).await;
    let targets = listed(lab, "other.txt", &hosts(200));
    let run = detach(lab, ("c1", &other), &targets, &[]).await;
    let kept = finished(&lab.client("c1"), &run).await;
    assert_eq!(count(&kept, Outcome::Ok), 200);
}

/// All that has no answer was given up because of this.
fn assert_given_up(records: &[remuda::client::dto::RunRecord], why: TroubleKind, done: u32) {
    assert_eq!(count(records, Outcome::Ok), done);
    let rest: Vec<_> = records.iter().filter(|record| record.outcome != Outcome::Ok).collect();
    for record in rest {
        let kind = record.trouble.as_ref().map(|trouble| trouble.kind);
        assert_eq!((record.outcome, kind), (Outcome::Cancelled, Some(why)), "{record:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_breaks_off_what_is_under_way_and_begins_nothing() {
    let lab = cluster(3, 2).await;
    let crowd = Crowd::held(|_| Act::ok("here")).await;
    let targets = listed(&lab, "hosts.txt", &hosts(2000));
    let options = ["--concurrency", "200", "--fixed"];
    let run = detach(&lab, ("c1", &crowd), &targets, &options).await;
    crowd.until("the first are asked", |busy| busy.now == 200).await;
    crowd.let_through(100);
    let client = lab.client("c2");
    until(&client, &run, "has begun", |view| view.done == 100).await;
    crowd.until("the next are asked", |busy| busy.now == 200).await;

    let cancelled = said(&lab, "c3", &["cancel", run.as_str()]).await;
    assert!(cancelled.starts_with(run.as_str()), "{cancelled}");
    crowd.until("all attempts are broken off", |busy| busy.now == 0).await;
    let view = ended(&client, &run).await;
    assert_eq!(view.state, RunState::Cancelled, "{view:#?}");
    assert_given_up(&judged(&client, &run).await, TroubleKind::Cancelled, 100);
    // Were anybody to be asked still, he would answer.
    crowd.open();
    meanwhile(&lab).await;
    assert_eq!(crowd.busy().total, 300, "somebody was asked afterwards");
    let again = fanout(&lab, "c2", &["cancel", run.as_str()]).await;
    assert_eq!(again.code, Some(4), "{again:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_cancels_the_run_that_is_shown() {
    let lab = cluster(1, 1).await;
    let crowd = Crowd::held(|_| Act::ok("here")).await;
    let targets = listed(&lab, "hosts.txt", &hosts(500));
    let url = crowd.url("/");
    let arguments = ["fanout", "http", "GET", &url, "--targets", &targets, "--id", "shown"];
    let mut command = tokio::process::Command::from(lab.command("c1", &arguments));
    command.kill_on_drop(true).stdin(std::process::Stdio::null());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = command.spawn().expect("it runs");
    crowd.until("some are asked", |busy| busy.now > 0).await;
    let client = lab.client("c1");
    let run = "shown".parse().expect("an id");
    until(&client, &run, "goes on", |view| view.in_flight > 0).await;
    let pid = Pid::from_raw(i32::try_from(child.id().expect("it runs")).expect("a pid"));
    kill(pid, Signal::SIGINT).expect("a process of ours");
    let left = within("the end", child.wait_with_output()).await.expect("a process of ours");
    assert_eq!(left.status.code(), Some(130), "{left:?}");
    assert!(String::from_utf8_lossy(&left.stderr).contains("cancelled"), "{left:?}");
    crowd.until("all attempts are broken off", |busy| busy.now == 0).await;
    assert_eq!(ended(&client, &run).await.state, RunState::Cancelled);
    assert_given_up(&judged(&client, &run).await, TroubleKind::Cancelled, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_run_finishes_what_is_under_way_and_goes_on_when_told() {
    let mut lab = cluster(1, 2).await;
    let crowd = Crowd::held(|_| Act::ok("here")).await;
    let targets = listed(&lab, "hosts.txt", &hosts(1500));
    let options = ["--concurrency", "50", "--fixed"];
    let run = detach(&lab, ("c1", &crowd), &targets, &options).await;
    let client = lab.client("c1");
    crowd.until("the first are asked", |busy| busy.now == 50).await;
    let paused = said(&lab, "c1", &["pause", run.as_str()]).await;
    assert!(paused.contains("paused"), "{paused}");
    crowd.open();
    let stands = until(&client, &run, "stands still", |view| {
        view.in_flight == 0 && view.done >= 50 && view.done == crowd.busy().total
    })
    .await;
    assert_eq!(stands.state, RunState::Paused, "{stands:#?}");
    assert!(stands.done < 1500, "{stands:#?}");
    let before = crowd.busy().total;
    meanwhile(&lab).await;
    assert_eq!(crowd.busy().total, before, "somebody was asked while it was paused");

    // Paused it stays, whoever dies.
    lab.node_mut("c1").kill9();
    lab.node_mut("c1").start();
    lab.node_mut("c1").ready().await;
    lab.wait_ready(3).await;
    let client = lab.client("c1");
    until(&client, &run, "is paused", |view| view.state == RunState::Paused).await;
    assert!(records(&client, &run).await.len() >= before as usize);
    meanwhile(&lab).await;
    assert_eq!(crowd.busy().total, before, "somebody was asked while it was paused");

    said(&lab, "c1", &["resume", run.as_str()]).await;
    let kept = finished(&client, &run).await;
    assert_eq!(count(&kept, Outcome::Ok), 1500);
    assert_eq!(crowd.busy().total, 1500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_late_is_given_up() {
    let lab = cluster(1, 1).await;
    let crowd = Crowd::held(|_| Act::ok("here")).await;
    let targets = listed(&lab, "hosts.txt", &hosts(400));
    crowd.let_through(30);
    let url = crowd.url("/");
    let arguments = ["http", "GET", &url, "--targets", &targets, "--id", "late"];
    let late = [&arguments[..], &["--deadline", "3s", "--concurrency", "60", "--fixed"]].concat();
    let late = fanout(&lab, "c1", &late).await;
    assert_eq!(late.code, Some(1), "{late:#?}");
    crowd.until("all attempts are broken off", |busy| busy.now == 0).await;
    let client = lab.client("c1");
    let run = "late".parse().expect("an id");
    assert_eq!(ended(&client, &run).await.state, RunState::Cancelled);
    assert_given_up(&judged(&client, &run).await, TroubleKind::Deadline, 30);
    assert_eq!(crowd.busy().total, 90);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_stuck_targets_only_holds_up_nobody() {
    let lab = Lab::start_with(1, 1, &[LOOPBACK, "--fanout-slots", "64"]).await;
    let stuck = Crowd::start(|_| Act::Silence).await;
    let targets = listed(&lab, "hosts.txt", &hosts(1000));
    let holder = detach(&lab, ("c1", &stuck), &targets, &["--fixed"]).await;
    stuck.until("it has all slots", |busy| busy.now == 128).await;
    let crowd = Crowd::start(|_| Act::ok("here")).await;
    let run = detach(&lab, ("c1", &crowd), &targets, &[]).await;
    let client = lab.client("c1");
    let kept = finished(&client, &run).await;
    assert_eq!(count(&kept, Outcome::Ok), 1000);
    let view = client.run(&holder).await.expect("known");
    assert_eq!((view.state, view.done), (RunState::Running, 0), "{view:#?}");
    said(&lab, "c1", &["cancel", holder.as_str()]).await;
    stuck.until("all attempts are broken off", |busy| busy.now == 0).await;
    ended(&client, &holder).await;
    assert_given_up(&judged(&client, &holder).await, TroubleKind::Cancelled, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_higher_priority_gets_more_slots() {
    let lab = Lab::start_with(1, 1, &[LOOPBACK, "--fanout-slots", "100"]).await;
    let (low, high) =
        (Crowd::held(|_| Act::ok("low")).await, Crowd::held(|_| Act::ok("high")).await);
    let targets = listed(&lab, "hosts.txt", &hosts(1500));
    let options = ["--fixed", "--on", "node==w1", "--priority"];
    let usual = detach(&lab, ("c1", &low), &targets, &[&options[..], &["normal"]].concat()).await;
    low.until("it has all slots", |busy| busy.now == 100).await;
    let first = detach(&lab, ("c1", &high), &targets, &[&options[..], &["high"]].concat()).await;
    high.until("it is not held up", |busy| busy.now > 0).await;
    // The slots come back, and most of them go to the one before all.
    low.let_through(100);
    high.until("its part", |busy| busy.now >= 75).await;
    low.until("nobody starves", |busy| (10..=25).contains(&busy.now)).await;
    low.open();
    high.open();
    let client = lab.client("c1");
    for run in [&usual, &first] {
        let kept = finished(&client, run).await;
        assert_eq!(count(&kept, Outcome::Ok), 1500);
    }
}
