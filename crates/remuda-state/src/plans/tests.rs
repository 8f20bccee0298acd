//! What each change does and refuses.

use remuda_model::{Revision, Roles};

use super::*;
use crate::{
    Change, ClusterRecord, Command, Limit, Outcome, Refusal,
    testing::{id, list, node, run, schedule, schedule_record},
};

/// A state of level 2, and a short way to change it.
struct Driver {
    state: ClusterState,
}

impl Driver {
    fn new() -> Self {
        let mut driver = Self { state: ClusterState::new() };
        let id = "0123456789abcdefghjkmnpqrs".parse().expect("a cluster id");
        let cluster = ClusterRecord { id, name: "c".to_owned(), created_ms: 1 };
        driver.done(Change::Init(cluster));
        driver.done(Change::PutNode(node("a", Roles::CONTROL)));
        driver.done(Change::RaiseLevel { level: 2 });
        driver
    }

    fn change(&mut self, change: Change) -> Result<Outcome, Refusal> {
        let index = self.state.applied() + 1;
        self.state.apply(index, &Command::once(change)).outcome
    }

    fn done(&mut self, change: Change) {
        let index = Revision(self.state.applied() + 1);
        assert_eq!(self.change(change), Ok(Outcome::Changed(index)));
    }

    fn put(&mut self, name: &str, lines: &str) -> Result<Outcome, Refusal> {
        let lines = lines.to_owned();
        self.change(Change::PutTargets { list: list(name), lines, targets: 1, now_ms: 5 })
    }

    fn create(&mut self, record: ScheduleRecord) -> Result<Outcome, Refusal> {
        self.change(Change::CreateSchedule { record: Box::new(record), paused: false })
    }

    fn standing(&self) -> Standing {
        self.state.schedule(&schedule("s")).expect("it is there").1.clone()
    }

    fn reach(&mut self, due_ms: u64, step: Step) -> Result<Outcome, Refusal> {
        let if_revision = self.standing().modified;
        let schedule = schedule("s");
        let reached = Reached { schedule, if_revision, due_ms, missed: 0, step };
        self.change(Change::ReachSchedule(Box::new(reached)))
    }

    fn settle(&mut self, of: &str, settled: Settled) -> Result<Outcome, Refusal> {
        let (schedule, run) = (schedule("s"), run(of));
        self.change(Change::SettleSchedule { schedule, run, settled, now_ms: 7 })
    }
}

fn begin(of: &str) -> Step {
    Step::Begin { run: run(of), coordinator: id("a") }
}

#[test]
fn a_list_is_kept_replaced_and_removed() {
    let mut driver = Driver::new();
    driver.put("web", "a\n").expect("kept");
    assert_eq!(driver.put("web", "a\n"), Ok(Outcome::Unchanged));
    driver.put("web", "b\n").expect("replaced");
    let kept = driver.state.target_list(&list("web")).expect("there");
    assert_eq!((kept.lines.as_str(), kept.modified), ("b\n", Revision(6)));
    driver.done(Change::RemoveTargets(list("web")));
    assert_eq!(driver.state.target_lists().count(), 0);
    let again = driver.change(Change::RemoveTargets(list("web")));
    assert_eq!(again, Err(Refusal::UnknownTargets(list("web"))));
}

#[test]
fn lists_are_bounded_alone_and_together() {
    let mut driver = Driver::new();
    let most = "x".repeat(256 * 1024);
    let too_long = driver.put("long", &format!("{most}x"));
    assert_eq!(too_long, Err(Refusal::TooMuch(Limit::TargetLines)));
    for number in 0..64 {
        driver.put(&format!("l{number}"), &most).expect("there is room");
    }
    let full = Err(Refusal::TooMuch(Limit::TargetListsTogether));
    assert_eq!(driver.put("more", "x"), full);
    // One takes the room that it had.
    driver.put("l0", &most.replace('x', "y")).expect("replaced");
    driver.put("l0", "").expect("replaced");
    driver.put("more", "x").expect("there is room again");
}

#[test]
fn there_are_so_many_lists_and_schedules_and_no_more() {
    let mut driver = Driver::new();
    for number in 0..1000 {
        driver.put(&format!("l{number}"), "").expect("there is room");
        driver.create(schedule_record(&format!("s{number}"), 0)).expect("there is room");
    }
    assert_eq!(driver.put("more", ""), Err(Refusal::TooMuch(Limit::TargetLists)));
    driver.put("l7", "x").expect("replaced");
    let more = driver.create(schedule_record("more", 0));
    assert_eq!(more, Err(Refusal::TooMuch(Limit::Schedules)));
}

#[test]
fn a_schedule_has_bounds() {
    let mut driver = Driver::new();
    let record = || schedule_record("s", 0);
    let targets = |lines: usize, saved: usize, nodes: usize| ScheduleTargets {
        lines: "x".repeat(lines),
        saved: vec![list("l"); saved],
        nodes: Some("x".repeat(nodes)),
    };
    let cron = |expression: usize| When::Cron {
        expression: "*".repeat(expression),
        timezone: "UTC".to_owned(),
    };
    let spec = "x".repeat(128 * 1024 + 1);
    let secrets = ScheduleSecrets::new(vec![0; 64 * 1024 + 1]);
    for (wrong, limit) in [
        (ScheduleRecord { spec, ..record() }, Limit::ScheduleSpec),
        (ScheduleRecord { secrets, ..record() }, Limit::ScheduleSecrets),
        (ScheduleRecord { when: cron(257), ..record() }, Limit::Name),
        (ScheduleRecord { targets: targets(256 * 1024 + 1, 0, 0), ..record() }, Limit::TargetLines),
        (ScheduleRecord { targets: targets(0, 17, 0), ..record() }, Limit::ScheduleLists),
        (ScheduleRecord { targets: targets(0, 0, 1025), ..record() }, Limit::Text),
    ] {
        assert_eq!(driver.create(wrong), Err(Refusal::TooMuch(limit)));
    }
    driver.create(record()).expect("made");
    assert_eq!(driver.create(record()), Err(Refusal::ScheduleExists(schedule("s"))));
    let failed = Settled::Failed("x".repeat(1025));
    assert_eq!(driver.settle("r", failed), Err(Refusal::TooMuch(Limit::Text)));
}

#[test]
fn schedules_are_bounded_together() {
    let mut driver = Driver::new();
    let large = |name: &str| ScheduleRecord {
        targets: ScheduleTargets { lines: "x".repeat(256 * 1024), ..ScheduleTargets::default() },
        ..schedule_record(name, 0)
    };
    for number in 0..63 {
        driver.create(large(&format!("s{number}"))).expect("there is room");
    }
    let more = driver.create(large("more"));
    assert_eq!(more, Err(Refusal::TooMuch(Limit::SchedulesTogether)));
    driver.done(Change::RemoveSchedule(schedule("s0")));
    driver.create(large("more")).expect("there is room again");
}

#[test]
fn what_a_run_needs_is_not_shown() {
    let record = schedule_record("s", 0);
    assert!(!record.secrets.expose().is_empty());
    let change = Change::CreateSchedule { record: Box::new(record), paused: false };
    assert!(format!("{change:?}").contains("secrets: ***"), "{change:?}");
}

#[test]
fn a_time_is_reached_once() {
    let mut driver = Driver::new();
    driver.create(schedule_record("s", 1000)).expect("made");
    let before = driver.standing().modified;
    driver.reach(2000, begin("r")).expect("reached");
    let standing = driver.standing();
    assert_eq!(standing.after_ms, 2000);
    assert_eq!(standing.pending.as_ref().map(|firing| firing.run.as_str()), Some("r"));
    // Somebody else decided for what was there before.
    let late = Reached {
        schedule: schedule("s"),
        if_revision: before,
        due_ms: 3000,
        missed: 0,
        step: begin("x"),
    };
    let refused = driver.change(Change::ReachSchedule(Box::new(late)));
    let found = standing.modified;
    let moved = Refusal::ScheduleMoved { schedule: schedule("s"), expected: before, found };
    assert_eq!(refused, Err(moved));
    // The same moment, and one before it.
    for due_ms in [2000, 1500] {
        assert!(matches!(driver.reach(due_ms, begin("x")), Err(Refusal::ScheduleMoved { .. })));
    }
    assert_eq!(driver.standing(), standing);
}

#[test]
fn a_run_begins_and_ends() {
    let mut driver = Driver::new();
    driver.create(schedule_record("s", 1000)).expect("made");
    driver.reach(2000, begin("r")).expect("reached");
    assert_eq!(driver.settle("x", Settled::Begun), Ok(Outcome::Unchanged));
    assert_eq!(driver.settle("r", Settled::Ended), Ok(Outcome::Unchanged));
    driver.settle("r", Settled::Begun).expect("begun");
    let standing = driver.standing();
    assert!(standing.is_running && standing.pending.is_none());
    assert_eq!((standing.begun, standing.last.map(|last| last.due_ms)), (1, Some(2000)));
    assert_eq!(driver.settle("r", Settled::Begun), Ok(Outcome::Unchanged));
    driver.settle("r", Settled::Ended).expect("ended");
    assert_eq!(driver.settle("r", Settled::Ended), Ok(Outcome::Unchanged));
    assert!(!driver.standing().is_running);
}

#[test]
fn what_goes_wrong_is_counted_and_forgotten_once_a_run_begins() {
    let mut driver = Driver::new();
    driver.create(schedule_record("s", 1000)).expect("made");
    driver.reach(2000, begin("r")).expect("reached");
    driver.settle("r", Settled::Failed("full".to_owned())).expect("failed");
    assert_eq!(driver.standing().last_error, Some((7, "full".to_owned())));
    driver.reach(3000, Step::Skip).expect("reached");
    driver.reach(4000, Step::Miss).expect("reached");
    driver.reach(5000, begin("s")).expect("reached");
    // Nobody began it until the next one is due.
    driver.reach(6000, begin("t")).expect("reached");
    let counts =
        |standing: &Standing| (standing.begun, standing.failed, standing.skipped, standing.missed);
    assert_eq!(counts(&driver.standing()), (0, 1, 1, 2));
    driver.settle("t", Settled::Begun).expect("begun");
    let standing = driver.standing();
    assert_eq!((counts(&standing), &standing.last_error), ((1, 1, 1, 2), &None));
    assert_eq!(driver.settle("s", Settled::Begun), Ok(Outcome::Unchanged));
}

#[test]
fn nothing_is_made_up_for_after_a_pause() {
    let mut driver = Driver::new();
    driver.create(schedule_record("s", 1000)).expect("made");
    let pause = |paused, now_ms| Change::PauseSchedule { schedule: schedule("s"), paused, now_ms };
    driver.done(pause(true, 1500));
    assert_eq!(driver.change(pause(true, 1600)), Ok(Outcome::Unchanged));
    driver.done(pause(false, 9000));
    assert_eq!((driver.standing().paused, driver.standing().after_ms), (false, 9000));
    // A clock that was set back takes nothing back.
    driver.done(pause(true, 10));
    assert_eq!(driver.standing().after_ms, 9000);
}

#[test]
fn a_schedule_that_was_removed_wants_nothing() {
    let mut driver = Driver::new();
    driver.create(schedule_record("s", 1000)).expect("made");
    driver.reach(2000, begin("r")).expect("reached");
    driver.done(Change::RemoveSchedule(schedule("s")));
    assert_eq!(driver.settle("r", Settled::Begun), Ok(Outcome::Unchanged));
    let unknown = || Err(Refusal::UnknownSchedule(schedule("s")));
    assert_eq!(driver.change(Change::RemoveSchedule(schedule("s"))), unknown());
    let pause = Change::PauseSchedule { schedule: schedule("s"), paused: true, now_ms: 1 };
    assert_eq!(driver.change(pause), unknown());
}
