//! Targets in, records out.

use remuda_model::run::{Outcome, TroubleKind};
use remuda_wire::message::run::{FromWorker, Share, ToWorker};
use tokio::time::{Duration, Instant, sleep};

use super::world::{World, hosts, open, share, until};

#[tokio::test(start_paused = true)]
async fn every_target_has_one_record() {
    let world = World::new(100);
    let mut all = hosts("ok", 3_000);
    all.extend(hosts("slow", 200));
    all.extend(hosts("panic", 3));
    let records = world.run("", share(1_000)).await.all(&all).await;
    for record in &records[..3_200] {
        assert_eq!((record.outcome, record.attempts), (Outcome::Ok, 1));
        assert_eq!(record.worker.as_ref().map(ToString::to_string).as_deref(), Some("w1"));
    }
    for record in &records[3_200..] {
        assert_eq!(record.outcome, Outcome::Failed);
        let trouble = record.trouble.as_ref().expect("it says why");
        assert_eq!(trouble.kind, TroubleKind::Internal);
        assert!(trouble.message.contains("on purpose"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_without_targets_finishes() {
    let world = World::new(100);
    assert!(world.run("", share(10)).await.all(&[]).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn large_answers_come_whole() {
    let world = World::new(100);
    let mut all = hosts("big", 40);
    all.extend(hosts("huge", 3));
    let records = world.run("", share(100)).await.all(&all).await;
    assert!(records[..40].iter().all(|record| record.body.len() == 300 << 10));
    assert!(records[40..].iter().all(|record| record.body.len() == 3 << 20));
}

#[tokio::test(start_paused = true)]
async fn nothing_begins_while_records_cannot_be_sent() {
    let world = World::new(10);
    let mut run = world.run("", share(10)).await;
    // Nobody reads what the worker says from here on.
    run.give(0, &hosts("big", 64)).await;
    sleep(Duration::from_mins(1)).await;
    let begun = world.targets.begun("big");
    assert!(begun < 60, "{begun} were begun");
    let mut came = 0;
    while came < 64 {
        came += run.records().await.len();
    }
}

#[tokio::test(start_paused = true)]
async fn the_share_and_the_spec_limit_how_many_go_on() {
    let world = World::new(1_000);
    let run = world.run("", share(7)).await;
    run.all(&hosts("slow", 50)).await;
    assert_eq!(world.targets.most("slow"), 7);
    let world = World::new(1_000);
    let run = world.run(r#","limits":{"per_worker":5,"adaptive":false}"#, share(700)).await;
    run.all(&hosts("slow", 50)).await;
    assert_eq!(world.targets.most("slow"), 5);
    let world = World::new(30);
    world.run("", share(700)).await.all(&hosts("slow", 100)).await;
    assert_eq!(world.targets.most("slow"), 30);
}

#[tokio::test(start_paused = true)]
async fn a_new_share_counts_at_once() {
    let world = World::new(1_000);
    let mut run = world.run(r#","limits":{"adaptive":false}"#, share(3)).await;
    run.give(0, &hosts("stuck", 40)).await;
    until(|| world.targets.in_flight("stuck") == 3).await;
    run.say(&ToWorker::Share(share(20))).await;
    until(|| world.targets.in_flight("stuck") == 20).await;
}

#[tokio::test(start_paused = true)]
async fn targets_are_begun_at_the_rate() {
    let world = World::new(1_000);
    let rate = |milli| Share { concurrency: 1_000, rate_milli: Some(milli) };
    let begun = Instant::now();
    let records = world.run("", rate(10_000)).await.all(&hosts("ok", 51)).await;
    assert_eq!(records.len(), 51);
    // The clock moves only when everybody waits for it.
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(5) && took < Duration::from_secs(6), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn no_more_targets_are_asked_for_than_a_rate_needs() {
    let world = World::new(1_000);
    let mut run = world.run("", Share { concurrency: 1_000, rate_milli: Some(1_500) }).await;
    assert_eq!(run.hear().await, FromWorker::Want(3));
}

#[tokio::test(start_paused = true)]
async fn a_held_run_begins_nothing() {
    let world = World::new(1_000);
    let mut open = open(r#","limits":{"adaptive":false}"#, share(10));
    open.hold = true;
    let mut run = world.open(&open).await;
    run.give(0, &hosts("slow", 30)).await;
    sleep(Duration::from_mins(1)).await;
    assert_eq!(world.targets.begun("slow"), 0);
    run.say(&ToWorker::Hold(false)).await;
    until(|| world.targets.in_flight("slow") == 10).await;
    run.say(&ToWorker::Hold(true)).await;
    sleep(Duration::from_mins(1)).await;
    assert_eq!(world.targets.begun("slow"), 10, "what was begun is finished, nothing else begins");
    assert_eq!(run.records().await.len(), 10);
    run.say(&ToWorker::Hold(false)).await;
    assert_eq!(run.finish().await.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn the_pace_is_told_while_it_changes() {
    let world = World::new(1_000);
    let mut run = world.run(r#","limits":{"adaptive":false}"#, share(10)).await;
    run.give(0, &hosts("stuck", 4)).await;
    while run.pace != (10, 4) {
        run.hear().await;
    }
    // From here on nothing changes.
    let more = tokio::time::timeout(Duration::from_mins(1), run.hear()).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_safe_is_tried_again() {
    let world = World::new(1_000);
    let mut all = hosts("refuse", 20);
    all.extend(hosts("half", 20));
    let begun = Instant::now();
    let records = world.run(r#","limits":{"retries":2}"#, share(5)).await.all(&all).await;
    assert!(records.iter().all(|record| record.attempts == 3));
    assert_eq!(world.targets.begun("refuse"), 60);
    // At least half of 200 ms and half of 400 ms.
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_another_try_uses_no_slot() {
    let world = World::new(1);
    let mut all = hosts("refuse", 1);
    all.extend(hosts("ok", 10));
    let mut run = world.run(r#","limits":{"retries":10}"#, share(1)).await;
    run.give(0, &all).await;
    let mut ok = 0;
    while ok < 10 {
        ok += run.records().await.iter().filter(|record| record.outcome == Outcome::Ok).count();
    }
    assert!(world.targets.begun("refuse") < 10, "it waits still");
    assert_eq!(run.finish().await[0].attempts, 11);
}

#[tokio::test(start_paused = true)]
async fn at_most_once_is_once() {
    let world = World::new(1_000);
    let spec = r#","limits":{"retries":5},"at_most_once":true"#;
    let records = world.run(spec, share(5)).await.all(&hosts("refuse", 20)).await;
    assert!(records.iter().all(|record| record.attempts == 1));
    assert_eq!(world.targets.begun("refuse"), 20);
}
