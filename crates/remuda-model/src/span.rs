//! Spans of time as people write them: `250ms`, `5s`, `10m`, `2h`, `7d`.

use std::{fmt, str::FromStr, time::Duration};

/// A span of time, parsed from a number and a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// The text is no span of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot parse `{0}`: expected a whole number with a unit, such as 250ms, 5s, 10m, 2h or 7d"
)]
pub struct ParseSpanError(pub String);

impl FromStr for Span {
    type Err = ParseSpanError;

    fn from_str(text: &str) -> Result<Self, ParseSpanError> {
        let bad = || ParseSpanError(text.chars().take(40).collect());
        let split = text.find(|char: char| !char.is_ascii_digit()).ok_or_else(bad)?;
        let (digits, unit) = text.split_at(split);
        let number: u64 = digits.parse().map_err(|_not_a_number| bad())?;
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(bad()),
        };
        number.checked_mul(unit_ms).map(|ms| Self(Duration::from_millis(ms))).ok_or_else(bad)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
        let fits = |(unit, _): &(u128, &str)| ms >= *unit && ms.is_multiple_of(*unit);
        match units.into_iter().find(fits) {
            Some((unit, word)) => write!(f, "{}{word}", ms / unit),
            None => f.write_str("0s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_shown_in_the_largest_whole_unit() {
        for (text, ms) in [("250ms", 250), ("5s", 5_000), ("90s", 90_000), ("2h", 7_200_000)] {
            let span: Span = text.parse().expect(text);
            assert_eq!(span.0, Duration::from_millis(ms));
            assert_eq!(span.to_string().parse(), Ok(span));
        }
        assert_eq!(Span(Duration::from_mins(2)).to_string(), "2m");
    }

    #[test]
    fn a_number_without_unit_is_refused() {
        for bad in ["", "5", "s", "5 s", "-5s", "1.5s", "5y", "99999999999999999999s"] {
            assert!(bad.parse::<Span>().is_err(), "{bad:?}");
        }
    }
}
