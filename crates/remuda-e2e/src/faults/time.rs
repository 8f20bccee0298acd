//! Clocks that jump.

use std::fs;

use super::{Field, world::clock_file};

/// What is added to the right time, in the words of libfaketime.
const JUMPS: [&str; 8] = ["+1s", "-1s", "+1m", "-1m", "+1h", "-1h", "+10d", "-10d"];
/// Jumps over the end and before the beginning of every certificate.
const FAR: [&str; 2] = ["+10y", "-10y"];

pub(super) async fn clock_jumps(field: &mut Field) {
    let names = field.lab.names();
    let term = term(field).await;
    let is_far = field.rng.u32(..4) == 0;
    let jumps: &[&str] = if is_far { &FAR } else { &JUMPS };
    let by = jumps[field.rng.usize(..jumps.len())];
    let victims: Vec<String> =
        if field.rng.bool() { names } else { vec![names[field.rng.usize(..names.len())].clone()] };
    field.note(format!("{by} on {}", victims.join(", ")));
    set(field, &victims, by);
    field.last(2500, 5000).await;
    // Links that stand do not look at the clock, nor do elections.
    assert_eq!(self::term(field).await, term, "the jump cost the leader its lead");
    set(field, &victims, "+0");
    // The library looks once in a second.
    field.last(1200, 1500).await;
}

fn set(field: &Field, names: &[String], by: &str) {
    for name in names {
        let file = clock_file(field.lab.dir(), name);
        let new = file.with_extension("new");
        fs::write(&new, by).and_then(|()| fs::rename(&new, &file)).expect("a file");
    }
}

async fn term(field: &Field) -> u64 {
    let client = field.client("c1");
    let ask = async || client.cluster().await.map(|cluster| cluster.term);
    crate::eventually("a term", ask, Result::is_ok).await.expect("seen")
}
