//! Whatever happens in whatever order: one record for each target.

use fastrand::Rng;
use futures_util::future::join_all;
use remuda_model::run::Record;
use remuda_wire::message::run::{FromWorker, Given, Share, ToWorker};
use tokio::time::{Duration, sleep, timeout};

use super::world::{Driver, World, share};

const SORTS: &[&str] = &["ok", "ok", "ok", "ok", "slow", "panic", "refuse", "half", "big"];

/// Gives a run its targets in pieces, changes its share, holds it and looks away, all by chance.
async fn drive(mut run: Driver, seed: u64) {
    let mut random = Rng::with_seed(seed);
    let count = random.u32(0..250);
    let mut next = 0;
    let mut records: Vec<Record> = Vec::new();
    while next < count {
        match random.u8(0..10) {
            0 => run.say(&ToWorker::Hold(random.bool())).await,
            1 => {
                let rate_milli = random.bool().then(|| random.u64(0..5_000_000));
                let concurrency = random.u32(0..60);
                run.say(&ToWorker::Share(Share { concurrency, rate_milli })).await;
            }
            2 => sleep(Duration::from_millis(random.u64(0..3_000))).await,
            3..6 if run.wanted > 0 => {
                let given = random.u32(1..=run.wanted.min(count - next));
                let given: Vec<_> = (next..next + given)
                    .map(|index| {
                        let sort = random.choice(SORTS).copied().unwrap_or_default();
                        Given { index, host: format!("{sort}-{index}"), vars: Vec::new() }
                    })
                    .collect();
                let given_now = u32::try_from(given.len()).unwrap();
                (next, run.wanted) = (next + given_now, run.wanted - given_now);
                run.say(&ToWorker::Targets(given)).await;
            }
            _ => {
                let wait = Duration::from_millis(random.u64(0..500));
                if let Ok(FromWorker::Records(some)) = timeout(wait, run.hear()).await {
                    records.extend(some);
                }
            }
        }
    }
    run.say(&ToWorker::Hold(false)).await;
    run.say(&ToWorker::Share(share(random.u32(1..60)))).await;
    records.extend(run.finish().await);
    let mut indices: Vec<_> = records.iter().map(|record| record.index).collect();
    indices.sort_unstable();
    assert_eq!(indices, (0..count).collect::<Vec<_>>(), "seed {seed}");
}

#[tokio::test(start_paused = true)]
async fn each_target_has_one_record() {
    for seed in 0..8 {
        let mut random = Rng::with_seed(seed);
        let world = World::new(random.u32(1..80));
        let mut drives = Vec::new();
        for n in 0..random.u64(1..5) {
            let spec = format!(
                r#","limits":{{"adaptive":{},"retries":{}}},"at_most_once":{},"priority":"{}""#,
                random.bool(),
                random.u8(0..4),
                random.bool(),
                random.choice(["low", "normal", "high"]).unwrap_or_default(),
            );
            let run = world.run(&spec, share(random.u32(0..100))).await;
            drives.push(drive(run, seed * 100 + n));
        }
        join_all(drives).await;
        assert!(world.supervisor.shutdown(Duration::from_mins(1)).await);
    }
}
