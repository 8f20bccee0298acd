//! When the times of a schedule come. Pure: every moment is an argument.

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{
    Timestamp, Zoned,
    tz::{TimeZone, TimeZoneDatabase},
};
use remuda_model::Failure;
use remuda_state::When;

/// The shortest and the longest interval.
const LEAST_MS: u64 = 1000;
const MOST_MS: u64 = 366 * 24 * 60 * 60 * 1000;
/// The longest expression, and the longest name of a time zone.
const MAX_TEXT: usize = 256;
/// So many times are counted one by one: those of a week with one each minute.
const COUNTED: u64 = 10_080;

/// When the times of a schedule come. All are whole seconds.
#[derive(Clone, Debug)]
pub(super) enum Rhythm {
    /// By the clock on the wall of a time zone.
    Cron { cron: Box<Cron>, zone: TimeZone },
    /// After so much time, again and again.
    Every { from_ms: u64, every_ms: u64 },
}

impl Rhythm {
    /// Reads what somebody has said about a schedule that was made at a whole second.
    ///
    /// # Errors
    ///
    /// [`Invalid`](remuda_model::ErrorKind::Invalid) names the field.
    pub(super) fn read(when: &When, created_ms: u64) -> Result<Self, Failure> {
        match when {
            When::Every { every_ms } => {
                let is_whole = every_ms.is_multiple_of(1000);
                if !is_whole || !(LEAST_MS..=MOST_MS).contains(every_ms) {
                    let text = "every_ms: expected whole seconds, from 1 s to 366 days";
                    return Err(Failure::invalid(text).code("bad_schedule"));
                }
                Ok(Self::Every { from_ms: created_ms, every_ms: *every_ms })
            }
            When::Cron { expression, timezone } => {
                let zone = zone(timezone)?;
                let rhythm = Self::Cron { cron: Box::new(cron(expression)?), zone };
                if rhythm.next_after(created_ms).is_none() {
                    return Err(bad_cron(expression, "its time never comes"));
                }
                Ok(rhythm)
            }
        }
    }

    /// The first time after this moment.
    pub(super) fn next_after(&self, ms: u64) -> Option<u64> {
        match self {
            Self::Every { from_ms, every_ms } => {
                let steps = ms.checked_sub(*from_ms).map_or(0, |passed| passed / every_ms);
                from_ms.checked_add(steps.checked_add(1)?.checked_mul(*every_ms)?)
            }
            Self::Cron { cron, zone } => {
                millisecond(&cron.find_next_occurrence(&zoned(ms, zone)?, false).ok()?)
            }
        }
    }

    /// The last time up to a moment, and how many there are before it, from a first one on that is
    /// not later. Of a cron expression at most [`COUNTED`] are told.
    pub(super) fn last_until(&self, first_ms: u64, ms: u64) -> (u64, u64) {
        match self {
            Self::Every { every_ms, .. } => {
                let steps = ms.saturating_sub(first_ms) / every_ms;
                (first_ms + steps * every_ms, steps)
            }
            Self::Cron { cron, zone } => {
                let (mut count, mut last) = (0, first_ms);
                while let Some(next) = self.next_after(last).filter(|next| *next <= ms) {
                    if count == COUNTED {
                        let found = zoned(ms, zone)
                            .and_then(|end| cron.find_previous_occurrence(&end, true).ok());
                        return (
                            found.and_then(|found| millisecond(&found)).unwrap_or(next),
                            count,
                        );
                    }
                    (count, last) = (count + 1, next);
                }
                (last, count)
            }
        }
    }
}

fn cron(expression: &str) -> Result<Cron, Failure> {
    if expression.len() > MAX_TEXT {
        return Err(bad_cron("…", &format!("more than {MAX_TEXT} bytes")));
    }
    // Without seconds, so that a minute at least is between two times.
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(expression).map_err(|error| bad_cron(expression, &error.to_string()))
}

fn bad_cron(expression: &str, why: &str) -> Failure {
    let shown = expression.escape_debug();
    Failure::invalid(format!("cron: `{shown}`: {why}")).code("bad_schedule").hint(
        "five fields: minute, hour, day of the month, month, day of the week, such as `0 2 * * *`; \
         more often than once a minute is done by an interval",
    )
}

/// The rules of the machine where it has some, which may be newer; those of the program otherwise.
fn zone(name: &str) -> Result<TimeZone, Failure> {
    let found = || TimeZone::get(name).or_else(|_| TimeZoneDatabase::bundled().get(name)).ok();
    (name.len() <= MAX_TEXT).then(found).flatten().ok_or_else(|| {
        let shown: String = name.chars().take(80).collect();
        let text = format!("timezone: no time zone `{}`", shown.escape_debug());
        Failure::invalid(text).code("bad_schedule").hint("such as UTC or Europe/Berlin")
    })
}

/// The second of this moment, on the wall of a time zone.
fn zoned(ms: u64, zone: &TimeZone) -> Option<Zoned> {
    let second = i64::try_from(ms / 1000).ok()?;
    Some(Timestamp::from_second(second).ok()?.to_zoned(zone.clone()))
}

fn millisecond(moment: &Zoned) -> Option<u64> {
    u64::try_from(moment.timestamp().as_second()).ok()?.checked_mul(1000)
}

#[cfg(test)]
mod tests;
