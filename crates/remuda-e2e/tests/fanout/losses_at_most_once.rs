//! With `--at-most-once` no target is contacted twice, whoever dies; what may have been contacted and
//! has no answer is `unknown`.

use std::{collections::BTreeMap, net::Ipv4Addr};

use remuda::client::dto::RunRecord;
use remuda_e2e::{Lab, eventually};
use remuda_model::{
    RunId,
    run::{Outcome, RunView, TroubleKind},
};

use crate::{
    crowd::{Act, Crowd, hosts},
    field::{assert_kept, cluster, count, detach, fanout, finished, listed, records, until},
};

const TARGETS: u32 = 800;
const WIDTH: u32 = 100;
const BEFORE: u32 = 120;

/// A run that is half done.
pub(crate) struct Half {
    pub(crate) crowd: Crowd,
    pub(crate) run: RunId,
    before: Vec<RunRecord>,
}

pub(crate) async fn half(lab: &Lab, at: &str, options: &[&str]) -> Half {
    let crowd = Crowd::held(|host| Act::ok(&host.to_string())).await;
    let targets = listed(lab, "hosts.txt", &hosts(TARGETS));
    let width = WIDTH.to_string();
    let options = [&["--at-most-once", "--fixed", "--concurrency", &width], options].concat();
    let run = detach(lab, (at, &crowd), &targets, &options).await;
    crowd.until("the first are asked", |busy| busy.now == WIDTH).await;
    crowd.let_through(BEFORE as usize);
    let client = lab.client(at);
    let visible = async || records(&client, &run).await.len();
    eventually("its records", visible, |seen| *seen >= BEFORE as usize).await;
    crowd.until("the next are asked", |busy| busy.now == WIDTH).await;
    let before = records(&client, &run).await;
    Half { crowd, run, before }
}

/// The run comes to its end, and is honest.
pub(crate) async fn honest(lab: &Lab, at: &str, half: Half) -> Vec<RunRecord> {
    half.crowd.open();
    let kept = finished(&lab.client(at), &half.run).await;
    let asked: BTreeMap<Ipv4Addr, u32> = half.crowd.asked();
    assert!(asked.values().all(|times| *times == 1), "somebody was asked twice");
    let unknown = count(&kept, Outcome::Unknown);
    assert_eq!(count(&kept, Outcome::Ok) + unknown, TARGETS);
    for record in &kept {
        let host: Ipv4Addr = record.host.parse().expect("an address");
        if record.outcome == Outcome::Ok {
            assert_eq!(asked.get(&host), Some(&1), "{record:?}");
            assert_eq!(record.body, record.host, "{record:?}");
        } else {
            let kind = record.trouble.as_ref().map(|trouble| trouble.kind);
            assert_eq!(kind, Some(TroubleKind::WorkerLost), "{record:?}");
        }
    }
    assert_kept(half.before, kept.clone());
    let listed = fanout(lab, at, &["results", half.run.as_str(), "--outcome", "unknown"]).await;
    assert_eq!(listed.code, Some(0), "{listed:#?}");
    assert_eq!(listed.stdout.lines().count(), unknown as usize);
    kept
}

fn misses(worker: &'static str) -> impl Fn(&RunView) -> bool {
    move |view| view.workers.iter().any(|(node, share)| node.as_str() == worker && !share.connected)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_worker_had_is_unknown() {
    let mut lab = cluster(1, 2).await;
    let half = half(&lab, "c1", &["--on", "node!=c1"]).await;
    lab.node_mut("w1").kill9();
    let client = lab.client("c1");
    until(&client, &half.run, "misses w1", misses("w1")).await;
    lab.node_mut("w1").start();
    lab.node_mut("w1").ready().await;
    let kept = honest(&lab, "c1", half).await;
    // It had half of the width, and some more in waiting.
    let unknown = count(&kept, Outcome::Unknown);
    assert!((WIDTH / 2..TARGETS / 2).contains(&unknown), "{unknown} are unknown");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_when_the_coordinator_died_is_unknown() {
    for controls in [1, 3] {
        let mut lab = cluster(controls, 2).await;
        let half = half(&lab, "c1", &[]).await;
        lab.node_mut("c1").kill9();
        half.crowd.until("all attempts are broken off", |busy| busy.now == 0).await;
        lab.node_mut("c1").start();
        lab.node_mut("c1").ready().await;
        let kept = honest(&lab, "c1", half).await;
        let unknown = count(&kept, Outcome::Unknown);
        assert!(unknown >= WIDTH, "{unknown} are unknown");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_dies_and_nobody_is_asked_twice() {
    let mut lab = cluster(3, 2).await;
    let half = half(&lab, "c2", &[]).await;
    lab.node_mut("c1").kill9();
    honest(&lab, "c2", half).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_fault_nothing_is_unknown() {
    let lab = cluster(1, 2).await;
    let half = half(&lab, "c1", &[]).await;
    let kept = honest(&lab, "c1", half).await;
    assert_eq!(count(&kept, Outcome::Unknown), 0);
}
