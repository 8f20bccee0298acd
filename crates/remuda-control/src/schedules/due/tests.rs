//! What is due, what comes next, what is made up for.

use proptest::prelude::*;
use remuda_state::{ScheduleSecrets, ScheduleTargets, When};

use super::*;

const HOUR: u64 = 60 * 60 * 1000;

fn every(every_ms: u64) -> Rhythm {
    Rhythm::Every { from_ms: 0, every_ms }
}

#[test]
fn a_time_comes_when_it_comes() {
    let rhythm = every(10_000);
    assert_eq!(come(&rhythm, 0, 9999), Come::NotYet(Some(10_000)));
    let due = |due_ms, missed, is_late| Come::Due { due_ms, missed, is_late };
    assert_eq!(come(&rhythm, 0, 10_000), due(10_000, 0, false));
    assert_eq!(come(&rhythm, 10_000, 10_000), Come::NotYet(Some(20_000)));
    // After an absence there is one run, and the others were missed.
    assert_eq!(come(&rhythm, 10_000, 59_999), due(50_000, 3, false));
    // A clock that was set back waits.
    assert_eq!(come(&rhythm, 50_000, 20_000), Come::NotYet(Some(60_000)));
}

#[test]
fn what_is_an_hour_late_is_not_made_up_for() {
    let daily = every(24 * HOUR);
    for (late, is_late) in [(0, false), (HOUR - 1, false), (HOUR, true), (5 * HOUR, true)] {
        let due = Come::Due { due_ms: 24 * HOUR, missed: 0, is_late };
        assert_eq!(come(&daily, 0, 24 * HOUR + late), due);
    }
}

fn record(created: u64, when: When) -> ScheduleRecord {
    ScheduleRecord {
        id: "s".parse().expect("a name"),
        when,
        spec: String::new(),
        targets: ScheduleTargets::default(),
        secrets: ScheduleSecrets::default(),
        overlap: false,
        created_ms: 0,
        created: Revision(created),
    }
}

#[test]
fn a_clock_belongs_to_one_schedule_and_says_the_same_again() {
    let of = record(7, When::Every { every_ms: 10_000 });
    let mut clock = Clock::new(&of);
    assert!(clock.is_of(&of) && !clock.is_of(&ScheduleRecord { created: Revision(8), ..of }));
    for _ in 0..2 {
        assert_eq!(clock.come(0, 5), Come::NotYet(Some(10_000)));
        assert!(matches!(clock.come(0, 10_000), Come::Due { due_ms: 10_000, .. }));
    }
    assert_eq!(clock.come(10_000, 10_000), Come::NotYet(Some(20_000)));
    let mut broken = Clock::new(&record(7, When::Every { every_ms: 0 }));
    assert_eq!(broken.come(0, u64::MAX), Come::NotYet(None));
}

fn firing(run: &str, coordinator: &str) -> Firing {
    let (run, coordinator) = (run.parse().expect("an id"), coordinator.parse().expect("a name"));
    Firing { due_ms: 0, run, coordinator }
}

fn standing() -> Standing {
    Standing {
        paused: false,
        after_ms: 0,
        pending: None,
        last: None,
        is_running: false,
        begun: 0,
        skipped: 0,
        missed: 0,
        failed: 0,
        last_error: None,
        modified: Revision(1),
    }
}

/// What `a` does about a schedule every ten seconds.
fn does(
    standing: &Standing,
    leads: bool,
    ended: Option<bool>,
    now_ms: u64,
) -> Result<Job, Option<u64>> {
    let mut clock = Clock::new(&record(7, When::Every { every_ms: 10_000 }));
    let me = "a".parse().expect("a name");
    job(standing, (&me, leads), |_| ended, &mut clock, now_ms)
}

#[test]
fn only_the_leader_says_that_a_time_has_come() {
    assert_eq!(does(&standing(), true, None, 9999), Err(Some(10_000)));
    let reach = Job::Reach { due_ms: 10_000, missed: 0, is_late: false };
    assert_eq!(does(&standing(), true, None, 10_000), Ok(reach));
    assert_eq!(does(&standing(), false, None, 10_000), Err(None));
    let paused = Standing { paused: true, ..standing() };
    assert_eq!(does(&paused, true, None, 10_000), Err(None));
}

#[test]
fn whoever_is_named_begins_the_run_and_nobody_else() {
    let pending = |at| Standing { pending: Some(firing("r", at)), paused: true, ..standing() };
    for leads in [true, false] {
        // Also when it was paused meanwhile.
        assert_eq!(does(&pending("a"), leads, None, 0), Ok(Job::Begin(firing("r", "a"))));
        assert_eq!(does(&pending("b"), leads, None, 0), Err(None));
    }
}

#[test]
fn whoever_coordinates_a_run_says_that_it_has_ended() {
    let running = |at| Standing { last: Some(firing("r", at)), is_running: true, ..standing() };
    for ended in [Some(true), None] {
        assert_eq!(does(&running("a"), false, ended, 0), Ok(Job::End(firing("r", "a"))));
    }
    assert_eq!(does(&running("a"), false, Some(false), 0), Err(Some(WATCH_MS)));
    assert_eq!(does(&running("a"), true, Some(false), 9990), Err(Some(10_000)));
    assert_eq!(does(&running("b"), false, Some(true), 0), Err(None));
    let said = Standing { is_running: false, ..running("a") };
    assert_eq!(does(&said, false, Some(true), 0), Err(None));
}

fn rhythms() -> impl Strategy<Value = Rhythm> {
    let cron = prop::sample::select(vec![
        ("* * * * *", "UTC"),
        ("*/7 * * * *", "Asia/Kathmandu"),
        ("0 2 * * *", "Europe/Berlin"),
        ("15,45 1-4 * * *", "America/New_York"),
        ("30 2 * * SUN", "Australia/Lord_Howe"),
    ]);
    let cron = cron.prop_map(|(expression, timezone)| {
        let (expression, timezone) = (expression.to_owned(), timezone.to_owned());
        Rhythm::read(&When::Cron { expression, timezone }, 0).expect("valid")
    });
    let every = (0_u64..100, 1_u64..5000)
        .prop_map(|(from, every)| Rhythm::Every { from_ms: from * 1000, every_ms: every * 1000 });
    prop_oneof![every, cron]
}

proptest! {
    /// However long nobody looks, every time is dealt with once and in order, and the last that has
    /// come is the one that counts.
    #[test]
    fn every_time_is_dealt_with_once(
        rhythm in rhythms(),
        // Around the last change of clocks of 2026, and those before.
        start in 1_774_000_000_u64..1_777_000_000,
        pauses in proptest::collection::vec(0_u64..200_000, 1..20),
    ) {
        let (mut now, mut after, mut dealt) = (start * 1000, start * 1000, 0);
        for pause in pauses {
            now += pause * 1000 + 17;
            match come(&rhythm, after, now) {
                Come::NotYet(next) => prop_assert!(next.is_none_or(|next| next > now)),
                Come::Due { due_ms, missed, is_late } => {
                    prop_assert!(after < due_ms && due_ms <= now);
                    prop_assert!(due_ms.is_multiple_of(1000));
                    prop_assert_eq!(is_late, now - due_ms >= LATE_MS);
                    after = due_ms;
                    dealt += missed + 1;
                    let again = come(&rhythm, after, now);
                    prop_assert!(matches!(again, Come::NotYet(_)), "{:?}", again);
                }
            }
        }
        let (mut all, mut at) = (0, start * 1000);
        while let Some(next) = rhythm.next_after(at).filter(|next| *next <= now) {
            prop_assert!(next > at);
            at = next;
            all += 1;
        }
        prop_assert_eq!(dealt, all);
    }
}
