//! How many targets are contacted at a time, how many a second, and from where.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use remuda_e2e::{Lab, Place};
use remuda_model::run::Outcome;

use crate::{
    crowd::{Act, Crowd, hosts},
    field::{LOOPBACK, cluster, count, detach, fanout, finished, listed, until},
};

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_allowed_are_contacted_at_a_time() {
    let lab = cluster(1, 3).await;
    let crowd = Crowd::held(|_| Act::ok("here")).await;
    let targets = listed(&lab, "hosts.txt", &hosts(1500));
    let options = ["--concurrency", "17", "--fixed"];
    let run = detach(&lab, ("c1", &crowd), &targets, &options).await;
    crowd.until("all that is allowed", |busy| busy.now == 17).await;
    // Some by some, and then as fast as it goes.
    for step in 1..=5 {
        crowd.let_through(10);
        crowd.until("the next ones", |busy| busy.total == 17 + step * 10 && busy.now == 17).await;
    }
    crowd.open();
    let kept = finished(&lab.client("c1"), &run).await;
    assert_eq!(count(&kept, Outcome::Ok), 1500);
    let busy = crowd.busy();
    assert_eq!((busy.most, busy.total), (17, 1500));
    let workers: BTreeSet<_> = kept.iter().filter_map(|record| record.worker.clone()).collect();
    assert_eq!(workers.len(), 4, "each took part: {workers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_worker_has_its_slots_and_each_run_its_part() {
    let lab = Lab::start_with(1, 1, &[LOOPBACK, "--fanout-slots", "48"]).await;
    let crowd = Crowd::held(|_| Act::ok("here")).await;
    let targets = listed(&lab, "hosts.txt", &hosts(600));
    let run = detach(&lab, ("c1", &crowd), &targets, &["--fixed"]).await;
    crowd.until("all slots", |busy| busy.now == 96).await;
    // Of the spare eighth of the slots, each of two runs may use half.
    let other = Crowd::held(|_| Act::ok("there")).await;
    let options = ["--per-worker", "3", "--on", "node==w1", "--fixed"];
    let narrow = detach(&lab, ("c1", &other), &targets, &options).await;
    other.until("its part", |busy| busy.now == 3).await;
    other.open();
    let kept = finished(&lab.client("c1"), &narrow).await;
    assert_eq!(other.busy().most, 3);
    assert!(kept.iter().all(|record| record.worker.as_ref().is_some_and(|by| by.as_str() == "w1")));
    crowd.open();
    let kept = finished(&lab.client("c1"), &run).await;
    assert_eq!(count(&kept, Outcome::Ok), 600);
    assert_eq!(crowd.busy().most, 96);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_allowed_are_begun_a_second() {
    let lab = cluster(1, 1).await;
    let crowd = Crowd::start(|_| Act::ok("here")).await;
    let targets = listed(&lab, "hosts.txt", &hosts(150));
    let begun = Instant::now();
    let run = detach(&lab, ("c1", &crowd), &targets, &["--rate", "50"]).await;
    finished(&lab.client("c1"), &run).await;
    // Each of both workers may begin with a tenth of a second's worth at once.
    assert!(begun.elapsed() >= Duration::from_secs(2), "too fast: {:?}", begun.elapsed());
    assert_eq!(crowd.busy().total, 150);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_target_is_contacted_once_from_each_region() {
    let mut lab = Lab::found(&Place::default(), &[LOOPBACK]).await;
    for (worker, labels) in
        [("w1", "region=eu"), ("w2", "region=eu"), ("w3", "region=us"), ("w4", "region=asia")]
    {
        lab.join(worker, &[LOOPBACK, "--labels", labels]).await;
    }
    lab.wait_ready(5).await;
    let crowd = Crowd::start(|_| Act::ok("here")).await;
    let all = hosts(700);
    let targets = listed(&lab, "hosts.txt", &all);
    let each = ["--from-each", "region", "--header", "x-from: {{vars.site}}"];
    let run = detach(&lab, ("c1", &crowd), &targets, &each).await;
    let client = lab.client("c1");
    let kept = finished(&client, &run).await;
    assert_eq!(kept.len(), 2100);
    assert_eq!(count(&kept, Outcome::Ok), 2100);
    assert!(crowd.asked().values().all(|times| *times == 3), "not once from each");
    let mut from: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for record in &kept {
        let region = match record.worker.as_ref().expect("contacted").as_str() {
            "w1" | "w2" => "eu",
            "w3" => "us",
            "w4" => "asia",
            other => panic!("{other} is nowhere"),
        };
        assert!(from.entry(record.host.clone()).or_default().insert(region), "twice: {record:?}");
    }
    assert_eq!(from.len(), all.len());
    let request = crowd.request_to(all[0].to_string().parse().expect("an address"));
    assert!(
        ["eu", "us", "asia"].iter().any(|site| request.contains(&format!("x-from: {site}\r\n"))),
        "{request}"
    );

    let url = crowd.url("/");
    let nowhere = ["http", "GET", &url, "-t", "127.1.0.1", "--from-each", "planet"];
    let refused = fanout(&lab, "c1", &nowhere).await;
    assert_eq!(refused.code, Some(3), "{refused:#?}");
    assert!(refused.stderr.contains("planet"), "{refused:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_workers_waits_for_one_and_says_so() {
    let mut lab = cluster(1, 0).await;
    let crowd = Crowd::start(|_| Act::ok("here")).await;
    let targets = listed(&lab, "hosts.txt", &hosts(100));
    let run = detach(&lab, ("c1", &crowd), &targets, &["--on", "node==w1"]).await;
    let client = lab.client("c1");
    let waits = |view: &remuda_model::run::RunView| {
        view.reason.as_ref().is_some_and(|reason| reason.contains("node==w1"))
    };
    until(&client, &run, "waits", waits).await;
    assert_eq!(crowd.busy().total, 0);
    lab.join("w1", &[LOOPBACK]).await;
    let kept = finished(&client, &run).await;
    assert_eq!(count(&kept, Outcome::Ok), 100);
}
