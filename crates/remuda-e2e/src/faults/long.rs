//! Many operations of many clients under a mix of faults, whose order is checked.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use super::{
    Field, Round, World, crash,
    load::{Pace, Reads},
    network,
    verdict::judge,
};

/// Its name on the command line.
pub const NAME: &str = "linearizability";

const PACE: Pace = Pace { clients: 8, slots: 4, rest: Duration::ZERO, reads: Reads::Fresh };

/// Lets clients make so many operations while control nodes are killed, paused and cut off, then
/// checks that there is an order.
pub(super) async fn record(operations: u64, seed: u64, evidence: PathBuf) -> Round {
    let mut field = Field::build(World::Plain, seed, evidence.clone()).await;
    field.pace = PACE;
    let load = field.load(NAME);
    while load.operations() < operations {
        match field.rng.u32(..4) {
            0 => crash::leader_kill(&mut field).await,
            1 => crash::owner_kill(&mut field).await,
            2 => crash::pause(&mut field).await,
            _ => network::partition(&mut field).await,
        }
        field.lan.heal();
        field.last(500, 3000).await;
    }
    let healed = Instant::now();
    field.settle().await;
    let ready_ms = u64::try_from(healed.elapsed().as_millis()).unwrap_or(u64::MAX);
    let story = load.stop().await;
    let checked = judge(&story, &evidence.join(NAME))
        .unwrap_or_else(|wrong| panic!("{:?}: {wrong}", field.faults));
    Round {
        faults: field.faults.clone(),
        acked: story.acked,
        unknown: story.unknown,
        refused: story.refused,
        checked,
        outage_ms: u64::try_from(story.outage.as_millis()).unwrap_or(u64::MAX),
        ready_ms,
        ..Round::default()
    }
}
