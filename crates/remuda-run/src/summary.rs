//! What came of a run, in numbers.

use std::collections::BTreeMap;

use remuda_model::{
    NodeId,
    run::{Counts, Outcome, Record, TroubleKind},
};
use serde::{Deserialize, Serialize};

use crate::histogram::Histogram;

/// How many of the slowest targets are named.
pub const SLOWEST: usize = 10;
/// How many statuses are counted apart.
pub const MAX_STATUSES: usize = 1000;
/// Which percentiles are told.
pub const PERCENTILES: [u8; 4] = [50, 90, 99, 100];

/// What came of a run, made of its records one at a time, in memory that does not grow with them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// How many targets ended how; only outcomes that there are.
    pub counts: Counts,
    /// How many had which trouble.
    pub troubles: BTreeMap<TroubleKind, u32>,
    /// How many answered with which status or exit code, up to [`MAX_STATUSES`].
    pub statuses: BTreeMap<i32, u32>,
    /// How many answered with yet another one.
    pub other_statuses: u32,
    /// How many records each worker brought.
    pub workers: BTreeMap<NodeId, u32>,
    /// How many attempts there were altogether.
    pub attempts: u64,
    /// How many bytes of answers are kept.
    pub bytes: u64,
    /// How long targets took that answered.
    pub latency: Histogram,
    /// The slowest of them, at most [`SLOWEST`], the slowest first.
    pub slowest: Vec<Slow>,
}

/// A target that took long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slow {
    /// Its place in the run.
    pub index: u32,
    /// How long it took, in microseconds.
    pub duration_us: u64,
}

impl Summary {
    /// Counts a record. Each target has one: it is up to the caller to give none twice.
    pub fn add(&mut self, record: &Record) {
        *self.counts.entry(record.outcome).or_default() += 1;
        if let Some(trouble) = &record.trouble {
            *self.troubles.entry(trouble.kind).or_default() += 1;
        }
        if let Some(status) = record.status {
            if self.statuses.len() < MAX_STATUSES || self.statuses.contains_key(&status) {
                *self.statuses.entry(status).or_default() += 1;
            } else {
                self.other_statuses += 1;
            }
        }
        if let Some(worker) = &record.worker {
            match self.workers.get_mut(worker) {
                Some(count) => *count += 1,
                None => drop(self.workers.insert(worker.clone(), 1)),
            }
        }
        self.attempts += u64::from(record.attempts);
        self.bytes += (record.body.len() + record.stderr.len()) as u64;
        // What has no answer took as long as the limits allow, which says nothing of the target.
        if matches!(record.outcome, Outcome::Ok | Outcome::Unexpected) {
            self.latency.add(record.duration_us);
            self.add_slow(Slow { index: record.index, duration_us: record.duration_us });
        }
    }

    /// How many records there were.
    pub fn done(&self) -> u32 {
        self.counts.values().sum()
    }

    /// The [`PERCENTILES`] of how long targets took that answered, in microseconds.
    pub fn latency_us(&self) -> Option<[u64; 4]> {
        let mut values = [0; 4];
        for (value, percent) in values.iter_mut().zip(PERCENTILES) {
            *value = self.latency.percentile(percent)?;
        }
        Some(values)
    }

    fn add_slow(&mut self, new: Slow) {
        let at = self.slowest.partition_point(|slow| slow.duration_us >= new.duration_us);
        if at < SLOWEST {
            self.slowest.truncate(SLOWEST - 1);
            self.slowest.insert(at, new);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use remuda_model::run::Trouble;

    use super::*;

    fn answered(index: u32, status: i32, duration_us: u64) -> Record {
        let outcome = if status == 200 { Outcome::Ok } else { Outcome::Unexpected };
        let trouble = Trouble::new(TroubleKind::Status, "");
        Record {
            status: Some(status),
            duration_us,
            attempts: 1,
            trouble: (status != 200).then_some(trouble),
            worker: Some("w1".parse().expect("a name")),
            body: b"body".to_vec(),
            ..Record::without_answer(index, outcome, Trouble::new(TroubleKind::Status, ""))
        }
    }

    #[test]
    fn records_are_counted() {
        let mut summary = Summary::default();
        summary.add(&answered(0, 200, 1000));
        summary.add(&answered(1, 503, 3000));
        let lost = Trouble::new(TroubleKind::Refused, "");
        let mut lost = Record::without_answer(2, Outcome::Failed, lost);
        lost.duration_us = 99_000_000;
        summary.add(&lost);
        let counts = [(Outcome::Ok, 1), (Outcome::Unexpected, 1), (Outcome::Failed, 1)];
        assert_eq!(summary.counts, counts.into());
        assert_eq!(summary.done(), 3);
        assert_eq!(summary.troubles, [(TroubleKind::Refused, 1), (TroubleKind::Status, 1)].into());
        assert_eq!(summary.statuses, [(200, 1), (503, 1)].into());
        assert_eq!(summary.workers, [("w1".parse().expect("a name"), 2)].into());
        assert_eq!((summary.attempts, summary.bytes), (2, 8));
        let [half, _, _, all] = summary.latency_us().expect("answers");
        assert!(half.abs_diff(1000) <= 10 && all == 3000);
        let slowest: Vec<u32> = summary.slowest.iter().map(|slow| slow.index).collect();
        assert_eq!(slowest, [1, 0]);
    }

    #[test]
    fn hostile_statuses_do_not_fill_the_memory() {
        let mut summary = Summary::default();
        for status in 0..3000 {
            summary.add(&answered(0, status, 1));
        }
        summary.add(&answered(0, 5, 1));
        assert_eq!(summary.statuses.len(), MAX_STATUSES);
        assert_eq!((summary.other_statuses, summary.statuses[&5]), (2000, 2));
    }

    proptest! {
        #[test]
        fn the_slowest_are_the_slowest(durations in vec(0..50_u64, 0..60)) {
            let mut summary = Summary::default();
            for (index, &duration) in (0..).zip(&durations) {
                summary.add(&answered(index, 200, duration));
            }
            let mut exact: Vec<(u64, u32)> =
                durations.iter().copied().zip(0..).collect();
            exact.sort_by_key(|&(duration, index)| (std::cmp::Reverse(duration), index));
            exact.truncate(SLOWEST);
            let found: Vec<(u64, u32)> =
                summary.slowest.iter().map(|slow| (slow.duration_us, slow.index)).collect();
            prop_assert_eq!(found, exact);
            let text = serde_json::to_string(&summary).expect("JSON");
            prop_assert_eq!(serde_json::from_str::<Summary>(&text).expect("valid"), summary);
        }
    }
}
