//! Times of expressions and intervals, and the days on which clocks are changed.

use remuda_model::ErrorKind;

use super::*;

fn cron(expression: &str, timezone: &str) -> When {
    When::Cron { expression: expression.to_owned(), timezone: timezone.to_owned() }
}

fn rhythm(expression: &str, timezone: &str) -> Rhythm {
    Rhythm::read(&cron(expression, timezone), 0).expect(expression)
}

fn ms(moment: &str) -> u64 {
    let moment: Timestamp = moment.parse().expect(moment);
    u64::try_from(moment.as_millisecond()).expect("after 1970")
}

fn text(ms: u64) -> String {
    Timestamp::from_second(i64::try_from(ms / 1000).expect("soon")).expect("soon").to_string()
}

/// The next times after a moment.
fn times(rhythm: &Rhythm, after: &str, count: usize) -> Vec<String> {
    let mut at = ms(after);
    let mut next = || {
        at = rhythm.next_after(at)?;
        Some(text(at))
    };
    (0..count).map_while(|_| next()).collect()
}

#[test]
fn an_expression_has_its_times_in_its_time_zone() {
    let nightly = rhythm("0 2 * * *", "UTC");
    let found = times(&nightly, "2026-11-22T02:00:00Z", 2);
    assert_eq!(found, ["2026-11-23T02:00:00Z", "2026-11-24T02:00:00Z"]);
    let found = times(&nightly, "2026-11-23T01:59:59.5Z", 1);
    assert_eq!(found, ["2026-11-23T02:00:00Z"]);
    let berlin = rhythm("0 2 * * *", "Europe/Berlin");
    assert_eq!(times(&berlin, "2026-11-22T02:00:00Z", 1), ["2026-11-23T01:00:00Z"]);
    let weekdays = rhythm("30 9 * * MON-FRI", "America/New_York");
    let found = times(&weekdays, "2026-11-20T15:00:00Z", 2);
    assert_eq!(found, ["2026-11-23T14:30:00Z", "2026-11-24T14:30:00Z"]);
    assert_eq!(
        times(&rhythm("@hourly", "UTC"), "2026-11-23T00:10:00Z", 1),
        ["2026-11-23T01:00:00Z"]
    );
}

#[test]
fn the_last_time_is_found_and_those_before_it_are_counted() {
    let nightly = rhythm("0 2 * * *", "UTC");
    let first = ms("2026-11-20T02:00:00Z");
    for (until, last, before) in [
        ("2026-11-20T02:00:00Z", "2026-11-20T02:00:00Z", 0),
        ("2026-11-23T02:00:00.9Z", "2026-11-23T02:00:00Z", 3),
        ("2026-11-23T01:59:59.9Z", "2026-11-22T02:00:00Z", 2),
    ] {
        assert_eq!(nightly.last_until(first, ms(until)), (ms(last), before));
    }
    let every = Rhythm::Every { from_ms: 10_000, every_ms: 4000 };
    for (until, last) in [(14_000, (14_000, 0)), (17_999, (14_000, 0)), (22_001, (22_000, 2))] {
        assert_eq!(every.last_until(14_000, until), last);
    }
}

#[test]
fn a_time_that_the_change_of_clocks_leaves_out_comes_all_the_same_and_a_doubled_one_once() {
    let berlin = rhythm("30 2 * * *", "Europe/Berlin");
    // From 2:00 to 3:00 there is nothing on that day.
    let spring = times(&berlin, "2026-03-28T12:00:00Z", 2);
    assert_eq!(spring.len(), 2);
    assert!(spring[0].starts_with("2026-03-29T01:"), "{spring:?}");
    assert_eq!(spring[1], "2026-03-30T00:30:00Z");
    // 2:30 is there twice.
    let autumn = times(&berlin, "2026-10-24T12:00:00Z", 2);
    assert_eq!(autumn, ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
}

#[test]
fn an_interval_counts_from_when_it_was_made() {
    let every = Rhythm::read(&When::Every { every_ms: 2000 }, 10_000).expect("valid");
    for (after, next) in
        [(0, 12_000), (10_000, 12_000), (11_999, 12_000), (12_000, 14_000), (13_500, 14_000)]
    {
        assert_eq!(every.next_after(after), Some(next));
    }
    assert_eq!(every.next_after(u64::MAX), None);
}

#[test]
fn times_of_a_long_absence_are_counted_up_to_a_bound() {
    let each_minute = rhythm("* * * * *", "UTC");
    let (first, hour) = (ms("2026-11-23T00:00:00Z"), 60 * 60 * 1000);
    assert_eq!(each_minute.last_until(first, first + hour), (first + hour, 60));
    let year = first + 365 * 24 * hour;
    assert_eq!(each_minute.last_until(first, year + 1), (year, COUNTED));
}

#[test]
fn what_is_wrong_is_named() {
    for (when, field) in [
        (cron("", "UTC"), "cron: "),
        (cron("0 2 * *", "UTC"), "cron: "),
        (cron("61 2 * * *", "UTC"), "cron: "),
        (cron("0 2 30 2 *", "UTC"), "cron: "),
        (cron("every night", "UTC"), "cron: "),
        // Seconds would allow more than one each minute.
        (cron("*/5 * * * * *", "UTC"), "cron: "),
        (cron("0 2 * * * 2030", "UTC"), "cron: "),
        (cron(&"*".repeat(300), "UTC"), "cron: "),
        (cron("0 2 * * *", "Europe/Atlantis"), "timezone: "),
        (cron("0 2 * * *", ""), "timezone: "),
        (cron("0 2 * * *", "../../etc/passwd"), "timezone: "),
        (When::Every { every_ms: 0 }, "every_ms: "),
        (When::Every { every_ms: 999 }, "every_ms: "),
        (When::Every { every_ms: 1500 }, "every_ms: "),
        (When::Every { every_ms: u64::MAX }, "every_ms: "),
    ] {
        let failure = Rhythm::read(&when, 0).expect_err("it is wrong");
        assert_eq!((failure.kind, failure.code.as_str()), (ErrorKind::Invalid, "bad_schedule"));
        assert!(failure.message.starts_with(field), "{when:?}: {failure}");
        assert!(failure.message.len() < 600, "{failure}");
    }
}
