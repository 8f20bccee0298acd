//! Moments as they were written; in UTC, since no other zone has the same meaning on all nodes.

use jiff::{Timestamp, tz::TimeZone};

/// `2014.01.12.21.27.37.474+0000`, of results.
pub(crate) fn dotted(ms: u64) -> String {
    written(ms, "%Y.%m.%d.%H.%M.%S.%3f%z")
}

/// `2014-01-12 21:27:37.212+0000`, of requests.
pub(crate) fn spaced(ms: u64) -> String {
    written(ms, "%Y-%m-%d %H:%M:%S.%3f%z")
}

/// `2014-01-12 21:27:37`, of jobs.
pub(crate) fn seconds(ms: u64) -> String {
    written(ms, "%Y-%m-%d %H:%M:%S")
}

/// `20140112212737212+0000`, of names.
pub(crate) fn concise(ms: u64) -> String {
    written(ms, "%Y%m%d%H%M%S%3f%z")
}

fn written(ms: u64, format: &str) -> String {
    let moment = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let moment = moment.unwrap_or(Timestamp::UNIX_EPOCH);
    moment.to_zoned(TimeZone::UTC).strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_is_as_documented() {
        let ms = 1_389_562_057_045;
        assert_eq!(dotted(ms), "2014.01.12.21.27.37.045+0000");
        assert_eq!(spaced(ms), "2014-01-12 21:27:37.045+0000");
        assert_eq!(seconds(ms), "2014-01-12 21:27:37");
        assert_eq!(concise(ms), "20140112212737045+0000");
        assert_eq!(seconds(u64::MAX), "1970-01-01 00:00:00");
    }
}
