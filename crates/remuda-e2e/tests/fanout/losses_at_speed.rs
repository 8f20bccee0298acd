//! Nodes die one after the other while answers come as fast as they can: at whatever moment it hits
//! them.

use remuda::client::dto::RunRecord;
use remuda_e2e::eventually;
use remuda_model::run::Outcome;

use crate::{
    crowd::{Act, Crowd, hosts},
    field::{assert_kept, cluster, count, detach, finished, listed, records, until},
};

const TARGETS: u32 = 4000;
/// Each is killed when so many more have their record. Between two deaths of those that can lose a
/// target the coordinator starts anew: what is lost three times is given up.
const VICTIMS: [&str; 4] = ["w1", "c1", "c2", "w2"];
const BETWEEN: u32 = 600;

/// The targets of a run by way of `c2`, and how it ended; `c1` leads.
async fn killed_all_over(options: &[&str]) -> (Crowd, Vec<RunRecord>) {
    let mut lab = cluster(3, 2).await;
    let crowd = Crowd::start(|host| Act::ok(&host.to_string())).await;
    let targets = listed(&lab, "hosts.txt", &hosts(TARGETS));
    // Slow enough that it has not ended before the last death.
    let options = [&["--rate", "400"], options].concat();
    let run = detach(&lab, ("c2", &crowd), &targets, &options).await;
    let mut visible = Vec::new();
    for (victim, step) in VICTIMS.into_iter().zip(1..) {
        let client = lab.client("c2");
        until(&client, &run, "goes on", |view| view.done >= step * BETWEEN).await;
        visible.push(records(&client, &run).await);
        lab.node_mut(victim).kill9();
        lab.node_mut(victim).start();
        lab.node_mut(victim).ready().await;
    }
    let client = lab.client("c3");
    // It knows the others again.
    let known = async || client.run(&run).await.is_ok();
    eventually("c3 knows the run", known, |known| *known).await;
    let kept = finished(&client, &run).await;
    for before in visible {
        assert_kept(before, kept.clone());
    }
    for record in kept.iter().filter(|record| record.outcome == Outcome::Ok) {
        assert_eq!(record.body, record.host, "{record:?}");
    }
    (crowd, kept)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_target_has_its_answer_whoever_dies() {
    let (crowd, kept) = killed_all_over(&[]).await;
    assert_eq!(count(&kept, Outcome::Ok), TARGETS);
    assert_eq!(crowd.asked().len(), TARGETS as usize);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_target_is_asked_twice_whoever_dies() {
    let (crowd, kept) = killed_all_over(&["--at-most-once"]).await;
    assert!(crowd.asked().values().all(|times| *times == 1), "somebody was asked twice");
    assert_eq!(count(&kept, Outcome::Ok) + count(&kept, Outcome::Unknown), TARGETS);
}
