//! What one seed tries: how large, how slow, which faults. Each seed picks its own.

use std::time::Duration;

use remuda_store::Timing;

/// The configuration of one run.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) n_controls: u32,
    pub(crate) n_workers: u32,
    /// How long faults happen.
    pub(crate) trouble: Duration,
    /// How long the cluster may take to converge afterwards.
    pub(crate) bound: Duration,
    pub(crate) snapshot_after: u64,
    /// A sync of a disk takes at most so many milliseconds.
    pub(crate) disk_slowness: u64,
    pub(crate) fastest: u64,
    pub(crate) slowest: u64,
    pub(crate) stragglers: u32,
    pub(crate) lost: u32,
    pub(crate) doubled: u32,
    /// A link notices its death after so long.
    pub(crate) dead_after: Duration,
    /// Clocks run up to so many percent fast or slow.
    pub(crate) clock_skew: u32,
    /// The pause between two faults is at most so long.
    pub(crate) fault_every: Duration,
    pub(crate) crashes: bool,
    pub(crate) crash_all: bool,
    pub(crate) partitions: bool,
    pub(crate) one_way: bool,
    pub(crate) flapping: bool,
    pub(crate) joins_and_leaves: bool,
    pub(crate) n_clients: u32,
    pub(crate) client_pause: u64,
}

impl Scenario {
    /// Drawn from the random numbers of this thread, which the seed has set.
    pub(crate) fn draw() -> Self {
        let n_controls = if fastrand::bool() { 3 } else { 5 };
        let some = |one_in: u32| fastrand::u32(..one_in) == 0;
        let slowest = *pick(&[2, 5, 20, 60]);
        Self {
            n_controls,
            n_workers: *pick(&[0, 1, 2, 3, 5, 8, 20]),
            trouble: Duration::from_secs(fastrand::u64(20..=60)),
            bound: Duration::from_mins(2),
            snapshot_after: *pick(&[10, 30, 100, 1000]),
            disk_slowness: *pick(&[0, 3, 10, 50]),
            fastest: u64::from(fastrand::bool()),
            slowest,
            stragglers: *pick(&[0, 0, 5, 30]),
            lost: *pick(&[0, 0, 5, 50]),
            doubled: *pick(&[0, 10, 100]),
            dead_after: Duration::from_secs(*pick(&[3, 6, 15])),
            clock_skew: *pick(&[0, 1, 10]),
            fault_every: Duration::from_millis(*pick(&[1_000, 3_000, 8_000])),
            crashes: !some(4),
            crash_all: some(3),
            partitions: !some(4),
            one_way: some(2),
            flapping: some(3),
            joins_and_leaves: some(3),
            n_clients: fastrand::u32(2..=4),
            client_pause: *pick(&[20, 100, 400]),
        }
    }

    /// The periods of one host, whose clock runs at a rate of its own.
    pub(crate) fn timing(&self) -> Timing {
        let skew = f64::from(self.clock_skew) / 100.0;
        let rate = 1.0 + skew * (2.0 * fastrand::f64() - 1.0);
        let lan = Timing::LAN;
        Timing {
            heartbeat: lan.heartbeat.mul_f64(rate),
            election_min: lan.election_min.mul_f64(rate),
            election_max: lan.election_max.mul_f64(rate),
            snapshot_after: self.snapshot_after,
        }
    }
}

pub(crate) fn pick<T>(of: &[T]) -> &T {
    of.get(fastrand::usize(..of.len())).expect("something to pick from")
}
