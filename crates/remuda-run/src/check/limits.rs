//! Time and width.

use remuda_model::{
    Failure,
    run::{Limits, MAX_CONCURRENCY, MAX_RETRIES, MAX_TOTAL_MS},
};

use super::field::within;

/// The slowest and fastest rate, in targets a second.
const RATE: (f64, f64) = (0.001, 1_000_000.0);
/// The longest run, in milliseconds: thirty days.
const MAX_DEADLINE_MS: u64 = 30 * 24 * 60 * 60 * 1000;

pub(super) fn check(limits: &Limits) -> Result<(), Failure> {
    if let Some(concurrency) = limits.concurrency {
        within("limits.concurrency", concurrency, 1..=MAX_CONCURRENCY)?;
    }
    if let Some(per_worker) = limits.per_worker {
        within("limits.per_worker", per_worker, 1..=MAX_CONCURRENCY)?;
    }
    if let Some(rate) = limits.rate {
        // What is no number is within nothing.
        within("limits.rate", rate, RATE.0..=RATE.1)?;
    }
    within("limits.connect_ms", limits.connect_ms, 1..=MAX_TOTAL_MS)?;
    within("limits.first_byte_ms", limits.first_byte_ms, 1..=MAX_TOTAL_MS)?;
    within("limits.total_ms", limits.total_ms, 1..=MAX_TOTAL_MS)?;
    within("limits.retries", limits.retries, 0..=MAX_RETRIES)?;
    if let Some(deadline) = limits.deadline_ms {
        within("limits.deadline_ms", deadline, 1..=MAX_DEADLINE_MS)?;
    }
    Ok(())
}
