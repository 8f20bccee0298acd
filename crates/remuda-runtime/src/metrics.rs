//! Numbers about a running process: counted by one atomic operation, shown on a [`Page`] for
//! Prometheus.
//!
//! A counter belongs to the part that counts. Counters that have no such owner, because what they
//! count comes and goes, are statics; then all nodes of one process count together.

mod latency;
mod page;

pub use latency::Latency;
pub use page::{Family, Page};

use std::sync::atomic::{AtomicU64, Ordering};

/// Something that is counted and never goes back.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// At zero.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Counts one.
    pub fn one(&self) {
        self.add(1);
    }

    /// Counts some.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
