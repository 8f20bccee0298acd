//! Numbers, gaps and acknowledgements.

use std::collections::BTreeMap;

use proptest::prelude::*;
use remuda_model::NodeStatus;

use super::*;

const BOUNDS: Bounds = Bounds { events: 4, bytes: 1 << 20 };

fn empty() -> Core {
    Core::new("w1".parse().unwrap(), Generation(1), BOUNDS, 0, Vec::new())
}

fn body() -> EventBody {
    EventBody::NodeStatus { status: NodeStatus::Ready }
}

fn class(payload: &str) -> EventBody {
    EventBody::Class { class: "c".parse().unwrap(), task: None, payload: payload.to_owned() }
}

fn push(core: &mut Core, n: usize) {
    for _ in 0..n {
        let _ = core.push(body(), 0);
    }
    core.written(core.last());
}

fn seqs(core: &Core) -> Vec<u64> {
    core.after(0, 1000, 1 << 20).iter().map(|event| event.seq).collect()
}

#[test]
fn an_event_is_handed_out_only_after_it_is_on_disk() {
    let mut core = empty();
    let _ = core.push(body(), 0);
    assert_eq!(seqs(&core), [0; 0]);
    core.written(1);
    assert_eq!(seqs(&core), [1]);
}

#[test]
fn overflow_puts_one_gap_in_place_of_the_oldest() {
    let mut core = empty();
    push(&mut core, 7);
    let events = core.after(0, 1000, 1 << 20);
    assert_eq!(events[0].body, EventBody::Gap { from: 1, to: 4 });
    assert_eq!(seqs(&core), [4, 5, 6, 7]);
}

#[test]
fn bytes_overflow_as_well() {
    let bounds = Bounds { events: 100, bytes: 2_000 };
    let mut core = Core::new("w1".parse().unwrap(), Generation(1), bounds, 0, Vec::new());
    for _ in 0..5 {
        let _ = core.push(class(&"x".repeat(600)), 0);
    }
    core.written(5);
    assert!(core.bytes <= 2_000);
    assert_eq!(core.after(0, 9, 9_999)[0].body, EventBody::Gap { from: 1, to: 3 });
}

#[test]
fn an_event_that_is_too_long_becomes_a_gap() {
    let mut core = empty();
    let _ = core.push(class(&"x".repeat(MAX_EVENT)), 0);
    push(&mut core, 1);
    assert_eq!(core.after(0, 9, 9_999)[0].body, EventBody::Gap { from: 1, to: 1 });
    assert_eq!(seqs(&core), [1, 2]);
}

#[test]
fn an_acknowledgement_is_cumulative_and_cannot_reach_the_future() {
    let mut core = empty();
    push(&mut core, 3);
    assert_eq!(core.acknowledge(2), [Effect::Delete(1), Effect::Delete(2)]);
    assert_eq!(core.acknowledge(1), []);
    assert_eq!(core.first(), 3);
    assert_eq!(core.acknowledge(u64::MAX), []);
    assert_eq!(core.acknowledge(3), [Effect::Delete(3)]);
    assert_eq!(core.acknowledged(), 3);
    push(&mut core, 1);
    assert_eq!(seqs(&core), [4]);
}

#[test]
fn a_batch_ends_before_it_is_too_large_but_is_never_empty() {
    let mut core = empty();
    for _ in 0..3 {
        let _ = core.push(class(&"x".repeat(1000)), 0);
    }
    core.written(3);
    assert_eq!(core.after(0, 10, 1).len(), 1);
    assert_eq!(core.after(0, 10, 2600).len(), 2);
    assert_eq!(core.after(0, 2, 1 << 20).len(), 2);
}

#[derive(Clone, Debug)]
enum Step {
    Push,
    Written,
    Acknowledge(u64),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Push),
        3 => Just(Step::Written),
        2 => (0..40_u64).prop_map(Step::Acknowledge),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..80)
}

/// The disk of the spool, and the effects that are not synced yet.
#[derive(Default)]
struct Disk {
    events: BTreeMap<u64, Event>,
    acknowledged: u64,
    pending: Vec<Effect>,
}

impl Disk {
    fn sync(&mut self, core: &mut Core) {
        for effect in std::mem::take(&mut self.pending) {
            match effect {
                Effect::Put(event) => drop(self.events.insert(event.seq, event)),
                Effect::Delete(seq) => drop(self.events.remove(&seq)),
            }
        }
        self.acknowledged = core.acknowledged();
        core.written(core.last());
    }
}

proptest! {
    /// Whatever happens, what may be handed out covers every number after the acknowledged one,
    /// without holes, and a number once durable is never given again.
    #[test]
    fn numbers_have_no_holes_over_restarts(steps in steps()) {
        let mut core = empty();
        let mut disk = Disk::default();
        let mut highest_durable = 0;
        for step in steps {
            match step {
                Step::Push => {
                    let effects = core.push(body(), 0);
                    prop_assert!(core.last() > highest_durable);
                    disk.pending.extend(effects);
                }
                Step::Written => disk.sync(&mut core),
                Step::Acknowledge(upto) => disk.pending.extend(core.acknowledge(upto)),
                Step::Restart => {
                    disk.pending.clear();
                    let events = disk.events.values().map(|event| (event.clone(), size(event)));
                    core = Core::new(
                        "w1".parse().unwrap(), Generation(2), BOUNDS, disk.acknowledged, events.collect(),
                    );
                    prop_assert!(core.last() >= highest_durable);
                }
            }
            highest_durable = highest_durable.max(core.durable());
            prop_assert!(core.kept.len() <= BOUNDS.events);
            let mut expected = core.acknowledged() + 1;
            for event in core.after(core.acknowledged(), 1000, usize::MAX) {
                if let EventBody::Gap { from, to } = event.body {
                    prop_assert!(from <= expected && to == event.seq && to >= expected);
                } else {
                    prop_assert_eq!(event.seq, expected);
                }
                expected = event.seq + 1;
            }
            // A gap that is not on disk yet hides the durable events that it stands for.
            let hidden = core.first() > core.durable();
            prop_assert!(hidden || expected == core.durable() + 1);
        }
    }
}
