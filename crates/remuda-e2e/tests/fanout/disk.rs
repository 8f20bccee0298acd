//! The disk for results is full: the run waits, says why, and loses nothing.

use remuda_e2e::{Lab, Place, SmallDisk, eventually};
use remuda_model::{
    RunId,
    run::{Outcome, RunState, RunView},
};

use crate::{
    crowd::{Act, Crowd, hosts},
    field::{LOOPBACK, assert_kept, count, detach, fanout, finished, listed, records, said, until},
};

const TARGETS: u32 = 600;
const MEGABYTES: u32 = 8;

/// A cluster whose control node keeps results on a small disk of its own.
async fn field() -> (Lab, SmallDisk) {
    let mut lab = Lab::empty();
    let disk = SmallDisk::mount(&lab.dir().join("c1/control/runs"), MEGABYTES);
    lab.bootstrap(&Place::default(), &[LOOPBACK]).await;
    lab.join("w1", &[LOOPBACK]).await;
    lab.wait_ready(2).await;
    (lab, disk)
}

/// A text of 2 KiB that cannot be made shorter.
fn noise(seed: u64) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..2048).map(|_| random.alphanumeric()).collect()
}

fn is_full(view: &RunView) -> bool {
    let words = view.reason.as_deref().unwrap_or_default();
    view.state == RunState::Paused && words.contains("cannot write its results")
}

/// A run that goes on when the disk fills up.
async fn filled(lab: &Lab, disk: &SmallDisk, options: &[&str]) -> (Crowd, RunId) {
    let crowd = Crowd::held(|host| Act::ok(&noise(u64::from(u32::from(host))))).await;
    let targets = listed(lab, "hosts.txt", &hosts(TARGETS));
    let options = [&["--fixed", "--concurrency", "100"], options].concat();
    let run = detach(lab, ("c1", &crowd), &targets, &options).await;
    crowd.until("the first are asked", |busy| busy.now == 100).await;
    crowd.let_through(50);
    let client = lab.client("c1");
    let visible = async || records(&client, &run).await.len();
    eventually("the first records", visible, |seen| *seen == 50).await;
    crowd.until("the next are asked", |busy| busy.now == 100).await;
    disk.fill();
    crowd.open();
    until(&client, &run, "says that the disk is full", is_full).await;
    (crowd, run)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_waits_for_room_and_loses_nothing() {
    let (lab, disk) = field().await;
    let (crowd, run) = filled(&lab, &disk, &[]).await;
    let client = lab.client("c1");
    let before = records(&client, &run).await;
    let shown = said(&lab, "c1", &["show", run.as_str()]).await;
    assert!(shown.contains("cannot write its results"), "{shown}");
    // Another one is refused, and nothing of it is left.
    let url = crowd.url("/");
    let other = ["http", "GET", &url, "-t", "127.9.[0-9].[1-250]", "--id", "other", "--detach"];
    let refused = fanout(&lab, "c1", &other).await;
    assert_eq!(refused.code, Some(4), "{refused:#?}");
    assert!(refused.stderr.contains("disk") || refused.stderr.contains("space"), "{refused:#?}");
    assert_eq!(fanout(&lab, "c1", &["show", "other"]).await.code, Some(3));

    disk.free();
    let kept = finished(&client, &run).await;
    assert_eq!(count(&kept, Outcome::Ok), TARGETS);
    for record in &kept {
        let host: std::net::Ipv4Addr = record.host.parse().expect("an address");
        assert_eq!(record.body, noise(u64::from(u32::from(host))));
    }
    assert_kept(before, kept);
    assert!(crowd.asked().values().all(|times| *times == 1), "what was there was asked again");
    assert_eq!(fanout(&lab, "c1", &other).await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_twice_for_want_of_room() {
    let (lab, disk) = field().await;
    let (crowd, run) = filled(&lab, &disk, &["--at-most-once"]).await;
    disk.free();
    let kept = finished(&lab.client("c1"), &run).await;
    assert_eq!(count(&kept, Outcome::Ok), TARGETS);
    assert!(crowd.asked().values().all(|times| *times == 1), "somebody was asked twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_node_that_dies_with_a_full_disk_keeps_what_was_visible() {
    let (mut lab, disk) = field().await;
    let (_crowd, run) = filled(&lab, &disk, &[]).await;
    let before = records(&lab.client("c1"), &run).await;
    lab.node_mut("c1").kill9();
    lab.node_mut("c1").start();
    lab.node_mut("c1").ready().await;
    let client = lab.client("c1");
    until(&client, &run, "says that the disk is full again", is_full).await;
    disk.free();
    let kept = finished(&client, &run).await;
    assert_eq!(count(&kept, Outcome::Ok), TARGETS);
    assert_kept(before, kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_a_full_disk_can_be_cancelled() {
    let (lab, disk) = field().await;
    let (crowd, run) = filled(&lab, &disk, &[]).await;
    said(&lab, "c1", &["cancel", run.as_str()]).await;
    crowd.until("all attempts are broken off", |busy| busy.now == 0).await;
    disk.free();
    let client = lab.client("c1");
    let view = crate::field::ended(&client, &run).await;
    assert_eq!(view.state, RunState::Cancelled, "{view:#?}");
    crate::field::judged(&client, &run).await;
}
