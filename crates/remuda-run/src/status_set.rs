//! Sets of HTTP statuses: `200-299,404`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::shortened;

/// The longest text, in bytes.
const MAX_TEXT: usize = 1024;

/// Which statuses are meant. Written as single ones and ranges with commas between them; `2xx` is
/// `200-299`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StatusSet {
    /// First and last of each range.
    ranges: Vec<(u16, u16)>,
}

/// The text is no set of statuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no set of statuses: write numbers from 0 to 999 and ranges, as in `200-299,404`")]
pub struct StatusSetError(pub String);

impl StatusSet {
    /// Parses a set.
    ///
    /// # Errors
    ///
    /// When it is empty, or has something else than statuses.
    pub fn parse(text: &str) -> Result<Self, StatusSetError> {
        if text.len() > MAX_TEXT {
            return Err(StatusSetError(shortened(text)));
        }
        let ranges: Option<Vec<_>> = text.split(',').map(|part| range(part.trim())).collect();
        ranges.map(|ranges| Self { ranges }).ok_or_else(|| StatusSetError(shortened(text)))
    }

    /// Whether a status is meant.
    pub fn contains(&self, status: u16) -> bool {
        self.ranges.iter().any(|&(first, last)| (first..=last).contains(&status))
    }
}

impl Default for StatusSet {
    /// What is expected unless said otherwise: 200 to 399.
    fn default() -> Self {
        Self { ranges: vec![(200, 399)] }
    }
}

fn range(text: &str) -> Option<(u16, u16)> {
    if let Some(hundreds) = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX")) {
        let first = number(hundreds).filter(|&hundreds| hundreds <= 9)? * 100;
        return Some((first, first + 99));
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first.trim())?, number(last.trim())?);
    (first <= last).then_some((first, last))
}

fn number(text: &str) -> Option<u16> {
    let digits = (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

impl fmt::Display for StatusSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (first, last)) in self.ranges.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for StatusSet {
    type Err = StatusSetError;

    fn from_str(text: &str) -> Result<Self, StatusSetError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for StatusSet {
    type Error = StatusSetError;

    fn try_from(text: String) -> Result<Self, StatusSetError> {
        Self::parse(&text)
    }
}

impl From<StatusSet> for String {
    fn from(set: StatusSet) -> Self {
        set.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn statuses_are_single_or_in_ranges() {
        let set = StatusSet::parse("200-299, 404,5xx").expect("valid");
        let inside: Vec<u16> = [199, 200, 299, 300, 403, 404, 500, 599, 600]
            .into_iter()
            .filter(|&s| set.contains(s))
            .collect();
        assert_eq!(inside, [200, 299, 404, 500, 599]);
        assert_eq!(set.to_string(), "200-299,404,500-599");
        for bad in ["", ",", "200-", "-1", "299-200", "1000", "+20", "ok", "xx", "10xx"] {
            assert!(StatusSet::parse(bad).is_err(), "{bad}");
        }
        assert!(StatusSet::default().contains(302) && !StatusSet::default().contains(400));
    }

    proptest! {
        #[test]
        fn a_set_is_read_as_it_is_written(text in "\\PC{0,12}|([0-9]{1,3}(-[0-9]{1,3})?,?){1,4}") {
            if let Ok(set) = StatusSet::parse(&text) {
                prop_assert_eq!(StatusSet::parse(&set.to_string()), Ok(set));
            }
        }
    }
}
