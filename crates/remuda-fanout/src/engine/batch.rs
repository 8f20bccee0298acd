//! Records that wait to be sent, and when there are enough for a message.

use std::{collections::VecDeque, time::Duration};

use remuda_model::run::Record;

/// The most records of a message.
pub(super) const MAX_RECORDS: usize = 256;
/// About the most bytes of a message, unless a single record is larger.
const MAX_BYTES: usize = 128 << 10;
/// The longest that a record waits for others.
const LINGER: Duration = Duration::from_millis(50);
/// What the fixed fields of a record take at most, and each text of it in addition.
const FIXED: usize = 64;
const EACH_TEXT: usize = 5;

/// Records in the order in which they came about.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Each with the time at which it is due, and its size.
    records: VecDeque<(Duration, usize, Record)>,
    bytes: usize,
    is_last: bool,
}

impl Batch {
    pub(super) fn push(&mut self, record: Record, now: Duration) {
        let size = size(&record);
        self.bytes += size;
        self.records.push_back((now + LINGER, size, record));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether there is at least a whole message.
    pub(super) fn is_full(&self) -> bool {
        self.records.len() >= MAX_RECORDS || self.bytes >= MAX_BYTES
    }

    /// No more records come, so none waits for others.
    pub(super) fn set_last(&mut self, is_last: bool) {
        self.is_last = is_last;
    }

    /// When a message is due; `None` without records.
    pub(super) fn due(&self, now: Duration) -> Option<Duration> {
        let &(due, ..) = self.records.front()?;
        Some(if self.is_last || self.is_full() { now } else { due })
    }

    /// The records of one message, if it is due.
    pub(super) fn take(&mut self, now: Duration) -> Option<Vec<Record>> {
        if self.due(now).is_none_or(|due| due > now) {
            return None;
        }
        let mut taken = Vec::with_capacity(self.records.len().min(MAX_RECORDS));
        let mut bytes = 0;
        while let Some((_, size, _)) = self.records.front() {
            let is_room = taken.len() < MAX_RECORDS && bytes + size <= MAX_BYTES;
            if !(is_room || taken.is_empty()) {
                break;
            }
            bytes += size;
            taken.extend(self.records.pop_front().map(|(.., record)| record));
        }
        self.bytes -= bytes;
        Some(taken)
    }
}

/// How many bytes a record takes in a message, at most.
fn size(record: &Record) -> usize {
    let text = |text: &str| text.len() + EACH_TEXT;
    let header = |(name, value): &(String, String)| text(name) + text(value);
    FIXED
        + record.trouble.as_ref().map_or(0, |trouble| text(&trouble.message))
        + record.worker.as_ref().map_or(0, |worker| text(worker.as_str()))
        + record.address.as_deref().map_or(0, text)
        + record.headers.iter().map(header).sum::<usize>()
        + record.body.len()
        + record.stderr.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use remuda_model::run::{Outcome, Trouble, TroubleKind};
    use remuda_wire::{encode, message::run::FromWorker};

    use super::*;

    fn record(index: u32, body: usize) -> Record {
        let trouble = Trouble::new(TroubleKind::Status, "the status is 500");
        let mut record = Record::without_answer(index, Outcome::Unexpected, trouble);
        record.body = vec![7; body];
        record
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_record_waits_a_moment_for_others() {
        let mut batch = Batch::default();
        assert_eq!(batch.due(ms(0)), None);
        batch.push(record(0, 0), ms(1));
        batch.push(record(1, 0), ms(30));
        assert_eq!(batch.take(ms(50)), None);
        assert_eq!(batch.due(ms(50)), Some(ms(51)));
        assert_eq!(batch.take(ms(51)).map(|records| records.len()), Some(2));
        assert!(batch.is_empty());
    }

    #[test]
    fn the_last_records_wait_for_nobody() {
        let mut batch = Batch::default();
        batch.push(record(0, 0), ms(1));
        batch.set_last(true);
        assert!(batch.take(ms(1)).is_some());
    }

    #[test]
    fn a_large_record_goes_alone() {
        let mut batch = Batch::default();
        for (index, body) in [(0, 100), (1, 4 << 20), (2, 100)] {
            batch.push(record(index, body), ms(0));
        }
        let mut sent = Vec::new();
        while let Some(records) = batch.take(ms(100)) {
            sent.push(records.iter().map(|record| record.index).collect::<Vec<_>>());
        }
        assert_eq!(sent, [[0], [1], [2]]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn messages_are_small_and_nothing_is_lost(
            bodies in prop::collection::vec(
                prop_oneof![9 => 0_usize..300, 1 => 0_usize..200_000],
                0..400,
            ),
        ) {
            let mut batch = Batch::default();
            for (index, &body) in (0..).zip(&bodies) {
                batch.push(record(index, body), ms(0));
            }
            batch.set_last(true);
            let mut next = 0;
            while let Some(records) = batch.take(ms(0)) {
                prop_assert!(!records.is_empty() && records.len() <= MAX_RECORDS);
                for record in &records {
                    prop_assert_eq!(record.index, next);
                    next += 1;
                }
                let alone = records.len() == 1;
                let bytes = encode(&FromWorker::Records(records)).len();
                prop_assert!(alone || bytes <= MAX_BYTES + 16);
            }
            prop_assert_eq!(next as usize, bodies.len());
            prop_assert_eq!(batch.bytes, 0);
        }
    }
}
