//! The share of a run, step by step.

use proptest::prelude::*;
use remuda_model::run::{Outcome, Record, Trouble};

use super::*;
use crate::Again;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn core(limits: &str, concurrency: u32) -> Core {
    let spec = format!(r#"{{"command":{{"ping":{{}}}},"limits":{{{limits}}}}}"#);
    let spec = serde_json::from_str(&spec).expect("a spec");
    let share = Share { concurrency, rate_milli: None };
    Core::new("w1".parse().expect("a name"), &spec, share, false, 1)
}

fn given(index: u32, host: &str) -> Given {
    Given { index, host: host.to_owned(), vars: Vec::new() }
}

fn wanted(core: &mut Core, now: Duration) -> u32 {
    match core.say(now) {
        Some(FromWorker::Want(want)) => want,
        other => panic!("{other:?}"),
    }
}

fn failed(again: Again) -> Attempt {
    let trouble = Trouble::new(TroubleKind::Refused, "nothing listens there");
    Attempt { record: Record::without_answer(0, Outcome::Failed, trouble), again }
}

#[test]
fn it_asks_for_as_many_as_its_window_beside_those_that_go_on() {
    let mut core = core(r#""adaptive":false"#, 500);
    assert_eq!(wanted(&mut core, ms(0)), 500);
    assert!(matches!(core.say(ms(0)), Some(FromWorker::Pace { window: 500, .. })));
    assert!(core.say(ms(0)).is_none(), "it has asked");
    let targets = (0..500).map(|index| given(index, "a")).collect();
    core.hear(ms(1), ToWorker::Targets(targets)).expect("asked for");
    assert!(core.say(ms(1)).is_none(), "they wait");
    for _ in 0..124 {
        assert!(core.begin(ms(2)).is_some());
    }
    assert!(core.say(ms(2)).is_none(), "not one by one");
    assert!(core.begin(ms(2)).is_some());
    assert_eq!(wanted(&mut core, ms(2)), 125);
}

#[test]
fn it_asks_for_no_more_than_it_can_hold() {
    let mut wide = core(r#""adaptive":false"#, 1_000_000);
    assert_eq!(wanted(&mut wide, ms(0)), 4 * 1024 * 1024 / 512);
    // Long names: the next ones are taken to be as long.
    let host = "a".repeat(100_000);
    let targets = (0..30).map(|index| given(index, &host)).collect();
    wide.hear(ms(0), ToWorker::Targets(targets)).expect("asked for");
    let mut narrow = core(r#""adaptive":false"#, 20);
    wanted(&mut narrow, ms(0));
    let targets = (0..64).map(|index| given(index, &host)).collect();
    narrow.hear(ms(0), ToWorker::Targets(targets)).expect("asked for");
    for _ in 0..20 {
        assert!(narrow.begin(ms(0)).is_some());
    }
    // 44 wait, and 41 would fill the room for them.
    assert!(!matches!(narrow.say(ms(0)), Some(FromWorker::Want(_))));
}

#[test]
fn fast_targets_are_kept_ready_for_a_while() {
    let mut core = core(r#""adaptive":false"#, 100);
    let (mut index, mut now) = (0, ms(0));
    let mut most = 0;
    // 100 end in each millisecond.
    for _ in 0..3_000 {
        core.tick(now);
        while let Some(said) = core.say(now) {
            if let FromWorker::Want(want) = said {
                most = want.max(most);
                let targets = (index..index + want).map(|index| given(index, "a")).collect();
                index += want;
                core.hear(now, ToWorker::Targets(targets)).expect("asked for");
            }
        }
        let begun: Vec<_> = std::iter::from_fn(|| core.begin(now)).collect();
        now += ms(1);
        for target in begun {
            core.ended(now, target, failed(Again::No));
        }
    }
    // 25,000 in the time for which targets are kept ready, which is too many.
    let ready = core.waiting.len() + usize::try_from(core.asked).expect("small");
    assert!((5_000..=10_000).contains(&ready), "{ready}, at most {most} at once");
}

#[test]
fn a_repetition_waits_its_time_and_goes_first() {
    let mut core = core(r#""adaptive":false,"retries":1"#, 1);
    wanted(&mut core, ms(0));
    let targets = vec![given(7, "a"), given(8, "b")];
    core.hear(ms(0), ToWorker::Targets(targets)).expect("asked for");
    let first = core.begin(ms(0)).expect("it may");
    core.ended(ms(10), first, failed(Again::NothingSent));
    while core.say(ms(10)).is_some() {}
    let deadline = core.next_deadline(ms(10)).expect("it comes");
    assert!(deadline > ms(10) && deadline <= ms(210), "{deadline:?}");
    core.tick(ms(210));
    let again = core.begin(ms(210)).expect("it may");
    assert_eq!((again.given.index, again.attempts), (7, 2));
    core.ended(ms(220), again, failed(Again::NothingSent));
    let Some(records) = core.last_records(ms(220)) else { panic!("it is done") };
    let FromWorker::Records(records) = records else { panic!("{records:?}") };
    assert_eq!((records[0].index, records[0].attempts), (7, 2));
}

#[test]
fn a_link_that_takes_nothing_stops_everything() {
    let mut core = core(r#""adaptive":false"#, 1_000);
    let want = wanted(&mut core, ms(0));
    let targets = (0..want).map(|index| given(index, "a")).collect();
    core.hear(ms(0), ToWorker::Targets(targets)).expect("asked for");
    core.set_stuck(true);
    let begun: Vec<_> = (0..300).map_while(|_| core.begin(ms(0))).collect();
    assert_eq!(begun.len(), 300, "a few records may wait");
    for target in begun {
        core.ended(ms(5), target, failed(Again::No));
    }
    assert!(core.begin(ms(5)).is_none());
    assert_eq!(core.needs(), 0, "others may have its slots");
    assert_eq!(core.next_deadline(ms(5)), None, "room is waited for, not time");
    core.set_stuck(false);
    assert!(matches!(core.say(ms(5)), Some(FromWorker::Records(records)) if records.len() == 256));
    assert!(core.begin(ms(5)).is_some());
}

#[test]
fn what_was_not_asked_for_is_refused() {
    let mut core = core("", 10);
    let failure = core.hear(ms(0), ToWorker::Targets(vec![given(0, "a")])).expect_err("unasked");
    assert!(failure.message.contains("1 targets came, 0 were asked for"), "{failure}");
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Give(u32),
    Begin(u32),
    End(bool),
    Share(u32, Option<u64>),
    Part(u32),
    Hold(bool),
    Stuck(bool),
    Say,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let rate = prop_oneof![Just(None), (0_u64..10_000_000).prop_map(Some)];
    prop_oneof![
        4 => (0..100_u32).prop_map(Step::Give),
        4 => (0..50_u32).prop_map(Step::Begin),
        6 => any::<bool>().prop_map(Step::End),
        1 => (0..100_u32, rate).prop_map(|(width, rate)| Step::Share(width, rate)),
        1 => (0..100_u32).prop_map(Step::Part),
        1 => any::<bool>().prop_map(Step::Hold),
        1 => any::<bool>().prop_map(Step::Stuck),
        6 => Just(Step::Say),
        3 => (0..2_000_u64).prop_map(Step::Wait),
    ]
}

/// A core, and what the test knows about it.
struct World {
    core: Core,
    now: Duration,
    wanted: u32,
    given: u32,
    going: VecDeque<Target>,
    done: Vec<u32>,
    has_finished: bool,
}

impl World {
    fn say(&mut self) {
        while let Some(said) = self.core.say(self.now) {
            match said {
                FromWorker::Want(want) => self.wanted += want,
                FromWorker::Records(records) => {
                    self.done.extend(records.iter().map(|record| record.index));
                }
                FromWorker::Finished => self.has_finished = true,
                FromWorker::Pace { .. } => (),
                other => panic!("{other:?}"),
            }
        }
    }

    fn take(&mut self, step: Step) {
        let (core, now) = (&mut self.core, self.now);
        match step {
            Step::Give(count) => {
                let count = count.min(self.wanted);
                let targets = (self.given..self.given + count).map(|index| given(index, "a"));
                core.hear(now, ToWorker::Targets(targets.collect())).expect("asked for");
                self.given += count;
                self.wanted -= count;
            }
            Step::Begin(count) => {
                for _ in 0..count {
                    self.going.extend(core.begin(now));
                }
            }
            Step::End(is_safe) => {
                if let Some(target) = self.going.pop_front() {
                    let again = if is_safe { Again::Repeatable } else { Again::No };
                    core.ended(now, target, failed(again));
                }
            }
            Step::Share(concurrency, rate_milli) => {
                let share = Share { concurrency, rate_milli };
                core.hear(now, ToWorker::Share(share)).expect("it may");
            }
            Step::Part(part) => core.set_part(part),
            Step::Hold(hold) => core.hear(now, ToWorker::Hold(hold)).expect("it may"),
            Step::Stuck(is_stuck) => core.set_stuck(is_stuck),
            Step::Say => self.say(),
            Step::Wait(time) => {
                self.now += ms(time);
                core.tick(self.now);
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_each_target_has_one_record(
        steps in prop::collection::vec(step(), 0..200),
        adaptive in any::<bool>(),
        retries in 0_u8..4,
    ) {
        let limits = format!(r#""adaptive":{adaptive},"retries":{retries}"#);
        let mut world = World {
            core: core(&limits, 50),
            now: ms(0),
            wanted: 0,
            given: 0,
            going: VecDeque::new(),
            done: Vec::new(),
            has_finished: false,
        };
        for step in steps {
            world.take(step);
            let core = &world.core;
            prop_assert_eq!(core.in_flight as usize, world.going.len());
            let here = core.waiting.len() + core.delayed.len();
            prop_assert!(here <= MAX_WAITING as usize);
            let waiting: usize = core.waiting.iter().map(|target| bytes(&target.given)).sum();
            let delayed: usize = core.delayed.values().map(|target| bytes(&target.given)).sum();
            prop_assert_eq!(core.waiting_bytes, waiting + delayed);
        }
        world.core.hear(world.now, ToWorker::Finish).expect("it may");
        let share = Share { concurrency: 10, rate_milli: None };
        for step in [Step::Hold(false), Step::Stuck(false), Step::Part(u32::MAX)] {
            world.take(step);
        }
        world.core.hear(world.now, ToWorker::Share(share)).expect("it may");
        for _ in 0..10_000 {
            if world.has_finished {
                break;
            }
            world.take(Step::Begin(10));
            for _ in 0..10 {
                world.take(Step::End(true));
            }
            world.take(Step::Say);
            // Nobody would wake it otherwise.
            let next = world.core.next_deadline(world.now);
            let goes_on = !world.going.is_empty() || world.core.is_ready(world.now);
            prop_assert!(next.is_some() || world.has_finished || goes_on);
            world.now = next.unwrap_or(world.now).max(world.now);
            world.core.tick(world.now);
        }
        prop_assert!(world.has_finished);
        world.done.sort_unstable();
        prop_assert_eq!(world.done, (0..world.given).collect::<Vec<_>>());
    }
}
