//! One subscriber's view of many event streams: filtered, each event once, holes named.

use std::collections::BTreeMap;

use remuda_model::{Event, EventBody, Generation, NodeId};
use remuda_wire::message::control::Subscribe;

/// Puts the events of all nodes, which may come twice or with holes, in the form that a subscriber
/// was promised.
///
/// It must see the events of a node before any filter by class or task, because a hole is a jump
/// of the node's own numbers.
#[derive(Debug)]
pub struct Sequence {
    filter: Subscribe,
    last: BTreeMap<NodeId, Last>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    seq: u64,
    time_ms: u64,
    generation: Generation,
    /// Whether the number was given by the subscriber, and no event was seen yet.
    given: bool,
}

impl Last {
    /// Whether a node has lost the events that it had made, and counts from the start: in a later
    /// boot, or in another life with a boot counter that was lost as well.
    fn is_before_afresh(&self, event: &Event, number: u64) -> bool {
        let later = event.time_ms > self.time_ms;
        let other_life = event.generation < self.generation || event.seq <= 1;
        number <= self.seq && (event.generation > self.generation || (other_life && later))
    }
}

impl Sequence {
    pub fn new(filter: Subscribe) -> Self {
        let mut last = BTreeMap::new();
        if let (Some(node), Some(seq)) = (&filter.node, filter.after) {
            // Clock and boot are unknown; the highest ones make a fresh numbering wait for `after`.
            let generation = Generation(u64::MAX);
            last.insert(node.clone(), Last { seq, time_ms: u64::MAX, generation, given: true });
        }
        Self { filter, last }
    }

    /// The last number of the one node that the subscriber wants, once there is one.
    pub fn position(&self) -> Option<u64> {
        self.last.get(self.filter.node.as_ref()?).map(|last| last.seq)
    }

    /// What the subscriber sees of one more event, in order: nothing, the event, or a gap and the
    /// event.
    pub fn accept(&mut self, event: &Event) -> Vec<Event> {
        if self.filter.node.as_ref().is_some_and(|node| *node != event.node) {
            return Vec::new();
        }
        let mut seen = Vec::new();
        let Some(last) = self.last.get(&event.node).copied() else {
            self.remember(event, event.seq);
            // Who has seen nothing of a node misses nothing of what came before.
            if !matches!(event.body, EventBody::Gap { from: NOT_HERE, .. }) {
                self.show(event, &mut seen);
            }
            return seen;
        };
        if is_status(event) && (event.seq == last.seq || (event.seq < last.seq && !last.given)) {
            // Said by the owner about the node, under the last number that this owner knows of.
            self.show(event, &mut seen);
            return seen;
        }
        let is_straggler =
            event.generation < last.generation && event.time_ms <= last.time_ms && !last.given;
        if is_straggler {
            return seen;
        }
        if let EventBody::Gap { from, to } = event.body {
            if from != NOT_HERE && last.is_before_afresh(event, to.max(event.seq)) {
                seen.push(event.clone());
                self.remember(event, to.max(event.seq));
            } else if to > last.seq {
                let body = EventBody::Gap { from: from.max(last.seq + 1), to };
                seen.push(Event { body, ..event.clone() });
                self.remember(event, to.max(event.seq));
            }
            return seen;
        }
        if event.seq <= last.seq && !last.is_before_afresh(event, event.seq) {
            return seen;
        }
        if event.seq > last.seq.saturating_add(1) {
            let (from, to) = (last.seq + 1, event.seq - 1);
            let body = EventBody::Gap { from, to };
            seen.push(Event { seq: to, body, ..event.clone() });
        }
        self.remember(event, event.seq);
        self.show(event, &mut seen);
        seen
    }

    fn remember(&mut self, event: &Event, seq: u64) {
        let (time_ms, generation) = (event.time_ms, event.generation);
        self.last.insert(event.node.clone(), Last { seq, time_ms, generation, given: false });
    }

    fn show(&self, event: &Event, seen: &mut Vec<Event>) {
        let body = &event.body;
        let class = self.filter.class.as_ref();
        let task = self.filter.task.as_ref();
        let is_gap = matches!(body, EventBody::Gap { .. });
        let wanted = class.is_none_or(|class| body.class() == Some(class))
            && task.is_none_or(|task| body.task() == Some(task));
        if wanted || is_gap {
            seen.push(event.clone());
        }
    }
}

fn is_status(event: &Event) -> bool {
    matches!(event.body, EventBody::NodeStatus { .. })
}

/// Where a gap begins by which an owner says that another one had all events up to its end: before
/// the first event, whose number is 1.
pub const NOT_HERE: u64 = 0;

/// The event by which an owner says that a node came or went, or what it has not had of it; numbered
/// like the node's last event.
pub fn said_by_owner(
    node: &NodeId,
    seq: u64,
    generation: Generation,
    time_ms: u64,
    body: EventBody,
) -> Event {
    Event { node: node.clone(), seq, generation, time_ms, body }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use remuda_model::{ClassName, NodeStatus};

    use super::*;

    fn event(node: &str, seq: u64, class: &str) -> Event {
        let class: ClassName = class.parse().unwrap();
        let body = EventBody::Class { class, task: None, payload: "1".into() };
        Event {
            node: node.parse().unwrap(),
            seq,
            generation: Generation(1),
            time_ms: seq * 10,
            body,
        }
    }

    /// The numbers that a subscriber sees; a gap as (from, to).
    fn shown(sequence: &mut Sequence, events: &[Event]) -> Vec<(u64, u64)> {
        let seen = events.iter().flat_map(|event| sequence.accept(event));
        seen.map(|event| match event.body {
            EventBody::Gap { from, to } => (from, to),
            _ => (event.seq, event.seq),
        })
        .collect()
    }

    #[test]
    fn an_event_that_comes_twice_is_shown_once() {
        let mut sequence = Sequence::new(Subscribe::default());
        let events = [4, 5, 4, 5, 6].map(|seq| event("w1", seq, "a"));
        assert_eq!(shown(&mut sequence, &events), [(4, 4), (5, 5), (6, 6)]);
    }

    #[test]
    fn nodes_are_counted_apart() {
        let mut sequence = Sequence::new(Subscribe::default());
        let events = [event("w1", 4, "a"), event("w2", 1, "a"), event("w1", 5, "a")];
        assert_eq!(shown(&mut sequence, &events), [(4, 4), (1, 1), (5, 5)]);
    }

    #[test]
    fn a_hole_is_named() {
        let mut sequence = Sequence::new(Subscribe::default());
        let events = [event("w1", 4, "a"), event("w1", 9, "a")];
        assert_eq!(shown(&mut sequence, &events), [(4, 4), (5, 8), (9, 9)]);
        let gap = EventBody::Gap { from: 8, to: 12 };
        let gap = Event { body: gap, seq: 12, ..event("w1", 0, "a") };
        assert_eq!(shown(&mut sequence, &[gap.clone(), gap]), [(10, 12)]);
        assert_eq!(shown(&mut sequence, &[event("w1", 13, "a")]), [(13, 13)]);
    }

    #[test]
    fn a_node_that_lies_about_its_numbers_harms_its_own_stream_only() {
        let mut sequence = Sequence::new(Subscribe::default());
        let last = Event { seq: u64::MAX, time_ms: 8, ..event("w1", 1, "a") };
        let generation = Generation(2);
        let afresh = |seq| Event { seq, generation, time_ms: 9, ..event("w1", 1, "a") };
        let events = [last, afresh(7), event("w2", 1, "a"), afresh(u64::MAX), afresh(8)];
        let seen = shown(&mut sequence, &events);
        assert!(seen.contains(&(1, 1)), "{seen:?}");
    }

    #[test]
    fn what_another_owner_had_is_named_to_those_who_have_not_seen_it() {
        let node: NodeId = "w1".parse().unwrap();
        let takes_over = |upto| {
            let body = EventBody::Gap { from: NOT_HERE, to: upto };
            let said = |body| said_by_owner(&node, upto, Generation(1), 50, body);
            [said(body), said(EventBody::NodeStatus { status: NodeStatus::Ready })]
        };
        let mut sequence = Sequence::new(Subscribe::default());
        assert_eq!(shown(&mut sequence, &takes_over(4)), [(4, 4)], "nothing is missed");
        assert_eq!(shown(&mut sequence, &[event("w1", 5, "a")]), [(5, 5)]);
        assert_eq!(shown(&mut sequence, &takes_over(5)), [(5, 5)], "nothing is missed");
        assert_eq!(shown(&mut sequence, &takes_over(7)), [(6, 7), (7, 7)]);
        assert_eq!(shown(&mut sequence, &[event("w1", 8, "a")]), [(8, 8)]);

        let after = Subscribe { node: Some(node.clone()), after: Some(3), ..Subscribe::default() };
        let mut resumed = Sequence::new(after);
        assert_eq!(shown(&mut resumed, &takes_over(4)), [(4, 4), (4, 4)]);
    }

    #[test]
    fn a_node_that_has_started_again_misses_nothing_when_its_owner_changes() {
        let mut sequence = Sequence::new(Subscribe::default());
        assert_eq!(shown(&mut sequence, &[event("w1", 5, "a")]), [(5, 5)]);
        let node: NodeId = "w1".parse().unwrap();
        let body = EventBody::Gap { from: NOT_HERE, to: 5 };
        let gap = said_by_owner(&node, 5, Generation(2), 99, body);
        assert_eq!(shown(&mut sequence, &[gap]), []);
    }

    #[test]
    fn filters_hide_events_without_making_holes() {
        let filter = Subscribe { class: Some("a".parse().unwrap()), ..Subscribe::default() };
        let mut sequence = Sequence::new(filter);
        let events = [event("w1", 1, "a"), event("w1", 2, "b"), event("w1", 3, "a")];
        assert_eq!(shown(&mut sequence, &events), [(1, 1), (3, 3)]);
    }

    #[test]
    fn going_on_after_a_number_shows_what_was_lost() {
        let node = Some("w1".parse().unwrap());
        let filter = Subscribe { node, after: Some(3), ..Subscribe::default() };
        let mut sequence = Sequence::new(filter);
        let events = [event("w1", 2, "a"), event("w2", 9, "a"), event("w1", 6, "a")];
        assert_eq!(shown(&mut sequence, &events), [(4, 5), (6, 6)]);
    }

    #[test]
    fn a_node_that_lost_its_data_is_followed_again() {
        let mut sequence = Sequence::new(Subscribe::default());
        let afresh = Event { time_ms: 1_000, ..event("w1", 1, "a") };
        assert_eq!(shown(&mut sequence, &[event("w1", 9, "a"), afresh]), [(9, 9), (1, 1)]);
    }

    #[test]
    fn a_node_that_lost_its_events_is_followed_from_whatever_number_it_comes_with() {
        let mut sequence = Sequence::new(Subscribe::default());
        let later = |seq| {
            let (generation, time_ms) = (Generation(2), 1000 + seq);
            Event { generation, time_ms, ..event("w1", seq, "a") }
        };
        let late = event("w1", 8, "a");
        let events = [event("w1", 9, "a"), later(3), later(4), late, later(4), later(5)];
        assert_eq!(shown(&mut sequence, &events), [(9, 9), (3, 3), (4, 4), (5, 5)]);
        let gap = Event { body: EventBody::Gap { from: 1, to: 4 }, ..later(4) };
        let mut sequence = Sequence::new(Subscribe::default());
        let events = [event("w1", 9, "a"), gap, later(5)];
        assert_eq!(shown(&mut sequence, &events), [(9, 9), (1, 4), (5, 5)]);
    }

    #[test]
    fn what_a_new_owner_says_is_shown_and_does_not_count() {
        for number in [0, 1, 7] {
            let mut sequence = Sequence::new(Subscribe::default());
            let node = "w1".parse().unwrap();
            let body = EventBody::NodeStatus { status: NodeStatus::NotConnected };
            let lost = said_by_owner(&node, number, Generation(1), 999, body);
            let events = [event("w1", 9, "a"), lost, event("w1", 9, "a"), event("w1", 10, "a")];
            assert_eq!(shown(&mut sequence, &events), [(9, 9), (number, number), (10, 10)]);
        }
    }

    #[test]
    fn what_the_owner_says_needs_no_number_of_its_own() {
        let mut sequence = Sequence::new(Subscribe::default());
        let node = "w1".parse().unwrap();
        let body = EventBody::NodeStatus { status: NodeStatus::NotConnected };
        let lost = said_by_owner(&node, 4, Generation(1), 50, body);
        let events = [event("w1", 4, "a"), lost, event("w1", 5, "a")];
        assert_eq!(shown(&mut sequence, &events), [(4, 4), (4, 4), (5, 5)]);
    }

    proptest! {
        /// Whatever comes twice, late or not at all: each number is shown once, as an event or
        /// within a gap, in order and without holes.
        #[test]
        fn numbers_are_shown_without_holes_and_once(seqs in vec(1_u64..40, 1..80)) {
            let mut sequence = Sequence::new(Subscribe::default());
            let events: Vec<_> = seqs
                .iter()
                // Later times never belong to a smaller number: no node starts afresh.
                .map(|seq| Event { time_ms: 7, ..event("w1", *seq, "a") })
                .collect();
            let shown = shown(&mut sequence, &events);
            prop_assert_eq!(shown[0].0, seqs[0]);
            for pair in shown.windows(2) {
                prop_assert_eq!(pair[0].1 + 1, pair[1].0);
            }
            prop_assert_eq!(shown.last().map(|last| last.1), seqs.iter().max().copied());
        }
    }
}
