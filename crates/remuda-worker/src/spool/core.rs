//! Numbers events, keeps them until they are acknowledged, and says what got lost.
//!
//! Pure. Numbers have no holes: what must be dropped is replaced by one gap event that carries the
//! number of the last event it stands for.

use std::collections::VecDeque;

use remuda_model::{Event, EventBody, Generation, NodeId};

/// How much is kept for an owner that does not acknowledge.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Events.
    pub events: usize,
    /// Bytes, as written to disk.
    pub bytes: usize,
}

/// A longer event, in bytes, is replaced by a gap.
pub(super) const MAX_EVENT: usize = 256 << 10;

/// What the disk must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Write this event under its number.
    Put(Event),
    /// Remove the event of this number.
    Delete(u64),
}

#[derive(Debug)]
struct Kept {
    event: Event,
    bytes: usize,
}

/// The events that are not acknowledged yet.
#[derive(Debug)]
pub struct Core {
    node: NodeId,
    generation: Generation,
    bounds: Bounds,
    /// The number of the next event.
    next: u64,
    /// Every event up to this number is forgotten.
    acknowledged: u64,
    /// Every event up to this number is on disk. `acknowledged ≤ durable < next`.
    durable: u64,
    /// In order of their numbers; the last one is `next - 1`, unless empty.
    kept: VecDeque<Kept>,
    bytes: usize,
}

impl Core {
    /// Goes on where the last boot stopped: `acknowledged` and `events` are what is on disk.
    pub fn new(
        node: NodeId,
        generation: Generation,
        bounds: Bounds,
        acknowledged: u64,
        events: Vec<(Event, usize)>,
    ) -> Self {
        let events = events.into_iter().filter(|(event, _)| event.seq > acknowledged);
        let kept: VecDeque<_> = events.map(|(event, bytes)| Kept { event, bytes }).collect();
        let last = kept.back().map_or(acknowledged, |kept| kept.event.seq);
        let bytes = kept.iter().map(|kept| kept.bytes).sum();
        Self { node, generation, bounds, next: last + 1, acknowledged, durable: last, kept, bytes }
    }

    /// Numbers an event. The effects belong into one transaction of the disk; once it is done,
    /// [`written`](Self::written) must be called.
    #[must_use]
    pub fn push(&mut self, body: EventBody, time_ms: u64) -> Vec<Effect> {
        let seq = self.next;
        self.next += 1;
        let (node, generation) = (self.node.clone(), self.generation);
        let mut event = Event { node, seq, generation, time_ms, body };
        if size(&event) > MAX_EVENT {
            event.body = EventBody::Gap { from: seq, to: seq };
        }
        let bytes = size(&event);
        self.bytes += bytes;
        self.kept.push_back(Kept { event: event.clone(), bytes });
        let mut effects = vec![Effect::Put(event)];
        self.shrink(time_ms, &mut effects);
        effects
    }

    /// Drops the oldest events until the bounds are kept, all but the one that was just added.
    fn shrink(&mut self, time_ms: u64, effects: &mut Vec<Effect>) {
        let over = |core: &Self| {
            core.kept.len() > core.bounds.events.max(2) || core.bytes > core.bounds.bytes
        };
        while over(self) && self.kept.len() > 2 {
            let first = self.forget_first();
            let second = self.forget_first();
            let (Some(first), Some(second)) = (first, second) else { return };
            // A gap that stands in front already is extended.
            let from = match first.body {
                EventBody::Gap { from, .. } => from,
                _ => first.seq,
            };
            let body = EventBody::Gap { from, to: second.seq };
            let gap = Event { body, time_ms, generation: self.generation, ..second };
            effects.push(Effect::Delete(first.seq));
            effects.push(Effect::Put(gap.clone()));
            let bytes = size(&gap);
            self.bytes += bytes;
            self.kept.push_front(Kept { event: gap, bytes });
        }
    }

    fn forget_first(&mut self) -> Option<Event> {
        let first = self.kept.pop_front()?;
        self.bytes -= first.bytes;
        Some(first.event)
    }

    /// The number of the event that was numbered last.
    pub fn last(&self) -> u64 {
        self.next - 1
    }

    /// Everything up to this number is on disk now.
    pub fn written(&mut self, upto: u64) {
        self.durable = self.durable.max(upto.min(self.last()));
    }

    /// Everything up to this number may be forgotten. A number that cannot have been sent is about
    /// another life of this node, and nothing is forgotten.
    #[must_use]
    pub fn acknowledge(&mut self, upto: u64) -> Vec<Effect> {
        if upto > self.durable {
            return Vec::new();
        }
        let mut effects = Vec::new();
        while self.kept.front().is_some_and(|kept| kept.event.seq <= upto) {
            effects.extend(self.forget_first().map(|event| Effect::Delete(event.seq)));
        }
        self.acknowledged = self.acknowledged.max(upto);
        effects
    }

    /// Every event up to this number is forgotten.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Every event up to this number is on disk.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// The number of the first event that is kept, or of the next one.
    pub fn first(&self) -> u64 {
        self.kept.front().map_or(self.next, |kept| kept.event.seq)
    }

    /// Durable events with a higher number, at most so many and so many bytes, but at least one.
    pub fn after(&self, seq: u64, max: usize, max_bytes: usize) -> Vec<Event> {
        let start = self.kept.partition_point(|kept| kept.event.seq <= seq);
        let mut bytes = 0;
        let fits = |kept: &&Kept| {
            let fits = bytes == 0 || bytes + kept.bytes <= max_bytes;
            bytes += kept.bytes;
            fits && kept.event.seq <= self.durable
        };
        let events = self.kept.range(start..).take(max).take_while(fits);
        events.map(|kept| kept.event.clone()).collect()
    }
}

/// The bytes that an event takes on disk and, nearly, in memory.
pub fn size(event: &Event) -> usize {
    let text = match &event.body {
        EventBody::Class { payload, .. } => payload.len(),
        EventBody::TaskEnded { end, .. } => match end {
            remuda_model::TaskEnd::Finished { result } => result.len(),
            remuda_model::TaskEnd::Failed { message } | remuda_model::TaskEnd::Lost { message } => {
                message.len()
            }
            remuda_model::TaskEnd::Exited { .. } | remuda_model::TaskEnd::Stopped => 0,
        },
        EventBody::NodeStatus { .. } | EventBody::TaskStarted { .. } | EventBody::Gap { .. } => 0,
    };
    // Names and numbers of an event, generously.
    text + 256
}

#[cfg(test)]
mod tests;
