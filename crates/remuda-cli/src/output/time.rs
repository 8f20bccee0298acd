//! Moments for people.

use jiff::{Timestamp, tz::TimeZone};

/// How long ago a moment was, in the largest whole unit; moments to come are `now`.
pub(crate) fn ago(then_ms: u64, now_ms: u64) -> String {
    let seconds = now_ms.saturating_sub(then_ms) / 1000;
    match seconds {
        0 => "now".to_owned(),
        1..60 => format!("{seconds}s ago"),
        60..3_600 => format!("{}m ago", seconds / 60),
        3_600..172_800 => format!("{}h ago", seconds / 3_600),
        _ => format!("{}d ago", seconds / 86_400),
    }
}

/// Date and time in UTC, to the millisecond.
pub(crate) fn clock_time(ms: u64) -> String {
    let moment = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    match moment {
        Some(moment) => {
            moment.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
        }
        None => format!("{ms} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_whole_unit() {
        for (seconds, text) in
            [(0, "now"), (59, "59s ago"), (60, "1m ago"), (7_200, "2h ago"), (200_000, "2d ago")]
        {
            assert_eq!(ago(0, seconds * 1000), text);
        }
        assert_eq!(ago(5_000, 1_000), "now");
    }

    #[test]
    fn no_number_is_too_large() {
        assert_eq!(clock_time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(clock_time(u64::MAX), format!("{} ms", u64::MAX));
    }
}
