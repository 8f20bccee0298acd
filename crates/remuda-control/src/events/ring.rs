//! The last events of this node's workers, for readers that each have a place of their own.

use std::{collections::VecDeque, sync::Arc};

use remuda_model::Event;

/// How many events are kept for readers that are slow or come late.
pub(crate) const KEPT: usize = 10_000;

/// A bounded record of events; positions count from 0 and never repeat.
#[derive(Debug)]
pub(crate) struct Ring {
    events: VecDeque<Arc<Event>>,
    first: u64,
    kept: usize,
}

/// What a reader gets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// The events, in order.
    pub events: Vec<Arc<Event>>,
    /// Where to read on.
    pub next: u64,
}

impl Ring {
    pub(crate) fn new(kept: usize) -> Self {
        Self { events: VecDeque::new(), first: 0, kept }
    }

    /// Adds one event, dropping the oldest when there are too many.
    pub(crate) fn push(&mut self, event: Arc<Event>) {
        if self.events.len() == self.kept {
            self.events.pop_front();
            self.first += 1;
        }
        self.events.push_back(event);
    }

    /// The position of the next event to come.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// At most `max` events from this position on, or from the oldest kept one.
    pub(crate) fn read(&self, from: u64, max: usize) -> Batch {
        let from = from.max(self.first);
        let skip = usize::try_from(from - self.first).unwrap_or(usize::MAX);
        let events: Vec<_> = self.events.iter().skip(skip).take(max).cloned().collect();
        Batch { next: from + events.len() as u64, events }
    }
}

#[cfg(test)]
mod tests {
    use remuda_model::{EventBody, Generation, NodeStatus};

    use super::*;

    fn event(seq: u64) -> Arc<Event> {
        let body = EventBody::NodeStatus { status: NodeStatus::Ready };
        let node = "w1".parse().unwrap();
        Arc::new(Event { node, seq, generation: Generation(1), time_ms: 0, body })
    }

    fn seqs(batch: &Batch) -> Vec<u64> {
        batch.events.iter().map(|event| event.seq).collect()
    }

    #[test]
    fn readers_go_on_where_they_stopped() {
        let mut ring = Ring::new(10);
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
        let mut ring = Ring::new(3);
        (1..=10).for_each(|seq| ring.push(event(seq)));
        let batch = ring.read(2, 10);
        assert_eq!((seqs(&batch), batch.next), (vec![8, 9, 10], 10));
    }
}
