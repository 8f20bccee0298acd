//! How long things take.

use std::{sync::atomic::Ordering, time::Duration};

use super::Counter;

/// The upper bounds of the buckets, in microseconds: from what a call on one machine takes to what
/// no caller waits for. What takes longer is in a last bucket.
const BOUNDS_US: [u64; 16] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 5_000_000, 30_000_000,
];

/// How long things took, in buckets from 50 µs to 30 s. Two atomic operations for each.
#[derive(Debug)]
pub struct Latency {
    buckets: [Counter; BOUNDS_US.len() + 1],
    sum_us: Counter,
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

impl Latency {
    /// Nothing was measured yet.
    pub const fn new() -> Self {
        Self { buckets: [const { Counter::new() }; BOUNDS_US.len() + 1], sum_us: Counter::new() }
    }

    /// Something took so long.
    pub fn took(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let at = BOUNDS_US.partition_point(|bound| *bound < us);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.one();
        }
        self.sum_us.add(us);
    }

    /// Whether nothing was measured yet.
    pub fn is_empty(&self) -> bool {
        self.buckets.iter().all(|bucket| bucket.get() == 0)
    }

    /// For each bucket its upper bound in seconds, `None` for the last, and how many things took at
    /// most that long.
    pub(super) fn cumulated(&self) -> impl Iterator<Item = (Option<f64>, u64)> {
        let bounds = BOUNDS_US.iter().map(|us| Some(seconds(*us))).chain([None]);
        let mut sum = 0;
        bounds.zip(&self.buckets).map(move |(bound, bucket)| {
            sum += bucket.0.load(Ordering::Relaxed);
            (bound, sum)
        })
    }

    /// All times together, in seconds.
    pub(super) fn sum(&self) -> f64 {
        seconds(self.sum_us.get())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a metric needs no more than 53 bits")]
fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket_and_nothing_is_too_long() {
        let latency = Latency::new();
        assert!(latency.is_empty());
        for us in [0, 50, 51, 30_000_000, 30_000_001] {
            latency.took(Duration::from_micros(us));
        }
        let seen: Vec<_> = latency.cumulated().collect();
        assert_eq!(seen[0], (Some(0.000_05), 2));
        assert_eq!(seen[1], (Some(0.000_1), 3));
        assert_eq!(seen[15], (Some(30.0), 4));
        assert_eq!(seen[16], (None, 5));
        assert!((latency.sum() - 60.000_102).abs() < 1e-9);
    }
}
