//! Runs beside each other.

use remuda_model::run::Outcome;
use remuda_wire::message::run::ToWorker;

use super::world::{Driver, World, hosts, open, share, until};

const FIXED: &str = r#","limits":{"adaptive":false}"#;

async fn fill(world: &World, spec: &str, sort: &str) -> Driver {
    let mut run = world.run(spec, share(1_000)).await;
    while run.wanted == 0 {
        run.hear().await;
    }
    let count = usize::try_from(run.wanted).unwrap();
    run.give(0, &hosts(sort, count)).await;
    run
}

#[tokio::test(start_paused = true)]
async fn two_runs_share_the_slots() {
    let world = World::new(100);
    let _first = fill(&world, FIXED, "stuck").await;
    until(|| world.targets.in_flight("stuck") == 100).await;
    // All slots are taken, so the second begins on spare ones.
    let second = world.run(FIXED, share(1_000)).await;
    let records = second.all(&hosts("slow", 40)).await;
    assert!(records.iter().all(|record| record.outcome == Outcome::Ok));
    assert_eq!(world.targets.in_flight("stuck"), 100);
    assert_eq!(world.targets.most("slow"), 6, "its half of a spare eighth");
}

#[tokio::test(start_paused = true)]
async fn slots_go_to_the_run_that_has_too_few() {
    let world = World::new(100);
    let mut first = world.run(FIXED, share(1_000)).await;
    let second = fill(&world, FIXED, "stuck").await;
    first.give(0, &hosts("slow", 64)).await;
    // The first drains, and has but its half afterwards.
    assert_eq!(first.finish().await.len(), 64);
    assert!(world.targets.in_flight("stuck") >= 64 - 6);
    drop(second);
    until(|| world.targets.in_flight("stuck") == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_high_priority_gets_more() {
    let world = World::new(170);
    let mut runs = Vec::new();
    for (priority, sort) in [("low", "slow"), ("high", "calm")] {
        let spec = format!(r#"{FIXED},"priority":"{priority}""#);
        let mut open = open(&spec, share(1_000));
        open.hold = true;
        let mut run = world.open(&open).await;
        run.give(0, &hosts(sort, 500)).await;
        runs.push(run);
    }
    for run in &mut runs {
        run.say(&ToWorker::Hold(false)).await;
    }
    let in_flight = |sort| world.targets.in_flight(sort);
    until(|| in_flight("slow") == 10 && in_flight("calm") == 160).await;
    for run in runs {
        assert_eq!(run.finish().await.len(), 500);
    }
}
