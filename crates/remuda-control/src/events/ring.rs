//! The last events of this node's workers, for readers that each have a place of their own.

use std::{collections::VecDeque, sync::Arc};

use remuda_model::Event;

/// How many events are kept for readers that are slow or come late.
pub(crate) const KEPT: usize = 10_000;
/// How many bytes they may have together.
pub(crate) const KEPT_BYTES: usize = 64 << 20;
/// What an event takes besides its own bytes.
const OVERHEAD: usize = 128;

/// An event to be kept, measured.
#[derive(Debug)]
pub struct Measured {
    event: Arc<Event>,
    bytes: usize,
}

impl From<Event> for Measured {
    fn from(event: Event) -> Self {
        let bytes = remuda_wire::encode(&event).len() + OVERHEAD;
        Self { event: Arc::new(event), bytes }
    }
}

/// A bounded record of events; positions count from 0 and never repeat.
#[derive(Debug)]
pub struct Ring {
    events: VecDeque<Measured>,
    bytes: usize,
    first: u64,
    kept: usize,
    kept_bytes: usize,
}

/// What a reader gets.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    /// The events, in order.
    pub events: Vec<Arc<Event>>,
    /// Where to read on.
    pub next: u64,
}

impl Ring {
    pub fn new(kept: usize, kept_bytes: usize) -> Self {
        Self { events: VecDeque::new(), bytes: 0, first: 0, kept, kept_bytes }
    }

    /// Adds one event, dropping the oldest when there are too many or they are too large.
    pub fn push(&mut self, event: Measured) {
        self.bytes += event.bytes;
        self.events.push_back(event);
        // One is always kept, so that a reader gets on.
        while self.events.len() > 1
            && (self.events.len() > self.kept || self.bytes > self.kept_bytes)
        {
            let oldest = self.events.pop_front().map_or(0, |oldest| oldest.bytes);
            self.bytes -= oldest;
            self.first += 1;
        }
    }

    /// The position of the next event to come.
    pub fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// At most `max` events from this position on, or from the oldest kept one.
    pub fn read(&self, from: u64, max: usize) -> Batch {
        let from = from.max(self.first);
        let skip = usize::try_from(from - self.first).unwrap_or(usize::MAX);
        let kept = self.events.iter().skip(skip).take(max);
        let events: Vec<_> = kept.map(|kept| Arc::clone(&kept.event)).collect();
        Batch { next: from + events.len() as u64, events }
    }
}

#[cfg(test)]
mod tests {
    use remuda_model::{EventBody, Generation, NodeStatus};

    use super::*;

    fn event(seq: u64) -> Measured {
        let body = EventBody::NodeStatus { status: NodeStatus::Ready };
        let node = "w1".parse().unwrap();
        Measured::from(Event { node, seq, generation: Generation(1), time_ms: 0, body })
    }

    fn large(seq: u64) -> Measured {
        let class = "a".parse().unwrap();
        let body = EventBody::Class { class, task: None, payload: "x".repeat(1000) };
        let node = "w1".parse().unwrap();
        Measured::from(Event { node, seq, generation: Generation(1), time_ms: 0, body })
    }

    fn seqs(batch: &Batch) -> Vec<u64> {
        batch.events.iter().map(|event| event.seq).collect()
    }

    #[test]
    fn readers_go_on_where_they_stopped() {
        let mut ring = Ring::new(10, KEPT_BYTES);
        (1..=5).for_each(|seq| ring.push(event(seq)));
        let batch = ring.read(0, 3);
        assert_eq!((seqs(&batch), batch.next), (vec![1, 2, 3], 3));
        let batch = ring.read(batch.next, 3);
        assert_eq!((seqs(&batch), batch.next), (vec![4, 5], 5));
        assert_eq!(ring.read(5, 3).events, []);
        assert_eq!(ring.end(), 5);
    }

    #[test]
    fn a_reader_that_fell_behind_goes_on_with_the_oldest() {
        let mut ring = Ring::new(3, KEPT_BYTES);
        (1..=10).for_each(|seq| ring.push(event(seq)));
        let batch = ring.read(2, 10);
        assert_eq!((seqs(&batch), batch.next), (vec![8, 9, 10], 10));
    }

    #[test]
    fn large_events_push_out_more_than_one() {
        let mut ring = Ring::new(10, 2500);
        (1..=5).for_each(|seq| ring.push(event(seq)));
        (6..=9).for_each(|seq| ring.push(large(seq)));
        let batch = ring.read(0, 10);
        assert_eq!((seqs(&batch), batch.next), (vec![8, 9], 9));
        let mut tiny = Ring::new(10, 1);
        (1..=3).for_each(|seq| tiny.push(large(seq)));
        assert_eq!(seqs(&tiny.read(0, 10)), [3]);
        assert_eq!(tiny.end(), 3);
    }
}
