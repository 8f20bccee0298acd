//! Many hosts in one word: `web[001-500].example`.

use std::fmt::Write as _;

use crate::shortened;

/// The most digits of a number in a range.
const MAX_DIGITS: usize = 18;

/// A word with ranges and lists in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// One after the other takes this place.
    Set(Vec<Item>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    Numbers { first: u64, last: u64, width: usize },
    Letters { first: u8, last: u8 },
    Word(String),
}

/// The word is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{word}`: {reason}")]
pub struct PatternError {
    /// The word, shortened.
    pub word: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Pattern {
    /// Parses a word.
    ///
    /// Numbers keep the zeros of the first one, as in `[08-12]`.
    ///
    /// # Errors
    ///
    /// When brackets do not match, or hold something else.
    pub fn parse(word: &str) -> Result<Self, PatternError> {
        let error = |reason| PatternError { word: shortened(word), reason };
        let mut pieces = Vec::new();
        let mut rest = word;
        while let Some((text, after)) = rest.split_once('[') {
            let (inner, after) = after.split_once(']').ok_or_else(|| error("`[` without `]`"))?;
            if text.contains(']') {
                return Err(error("`]` without `[`"));
            }
            if !text.is_empty() {
                pieces.push(Piece::Text(text.to_owned()));
            }
            let items = inner.split(',').map(|item| Item::parse(item.trim()));
            pieces.push(Piece::Set(items.collect::<Result<_, _>>().map_err(error)?));
            rest = after;
        }
        if rest.contains(']') {
            return Err(error("`]` without `[`"));
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self { pieces })
    }

    /// How many hosts there are, without making them.
    pub fn count(&self) -> u128 {
        let sets = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Set(items) => Some(items),
        });
        let sizes = sets.map(|items| items.iter().map(|item| u128::from(item.count())).sum());
        sizes.fold(1, u128::saturating_mul)
    }

    /// The hosts, made one at a time; the last brackets change fastest.
    pub fn hosts(&self) -> Hosts<'_> {
        Hosts { pattern: self, at: Some(vec![(0, 0); self.pieces.len()]) }
    }
}

impl Item {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let Some((first, last)) = text.split_once('-') else { return Self::single(text) };
        if let ([first], [last]) = (first.as_bytes(), last.as_bytes())
            && first.is_ascii_alphabetic()
            && last.is_ascii_alphabetic()
        {
            let one_case = first.is_ascii_lowercase() == last.is_ascii_lowercase();
            return if one_case && first <= last {
                Ok(Self::Letters { first: *first, last: *last })
            } else {
                Err("a range of letters goes up, in one case")
            };
        }
        let (from, to) = (number(first)?, number(last)?);
        if from > to {
            return Err("a range goes up");
        }
        let padded = first.starts_with('0') && first.len() > 1;
        Ok(Self::Numbers { first: from, last: to, width: if padded { first.len() } else { 0 } })
    }

    fn single(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("brackets hold numbers, letters and ranges, such as `[1-3,7]`");
        }
        if text.contains('[') {
            return Err("brackets in brackets");
        }
        Ok(Self::Word(text.to_owned()))
    }

    fn count(&self) -> u64 {
        match self {
            Self::Numbers { first, last, .. } => last - first + 1,
            Self::Letters { first, last } => u64::from(last - first) + 1,
            Self::Word(_) => 1,
        }
    }

    fn write(&self, offset: u64, to: &mut String) {
        match self {
            Self::Numbers { first, width, .. } => {
                // Writing to a text does not fail.
                let _ = write!(to, "{:0width$}", first + offset);
            }
            Self::Letters { first, .. } => {
                to.push(char::from(first + u8::try_from(offset).unwrap_or_default()));
            }
            Self::Word(word) => to.push_str(word),
        }
    }
}

fn number(text: &str) -> Result<u64, &'static str> {
    const NO_RANGE: &str =
        "a range is one of numbers or of single letters, such as `[1-3]` or `[a-f]`";
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NO_RANGE);
    }
    if text.len() > MAX_DIGITS {
        return Err("a number has at most 18 digits");
    }
    text.parse().or(Err(NO_RANGE))
}

/// The hosts of a pattern.
#[derive(Clone, Debug)]
pub struct Hosts<'a> {
    pattern: &'a Pattern,
    /// For each piece, which item it stands at and how far it is in it; nothing after the last host.
    at: Option<Vec<(usize, u64)>>,
}

impl Iterator for Hosts<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let mut places = self.at.take()?;
        let mut host = String::new();
        for (piece, &(item, offset)) in self.pattern.pieces.iter().zip(&places) {
            match piece {
                Piece::Text(text) => host.push_str(text),
                Piece::Set(items) => items[item].write(offset, &mut host),
            }
        }
        for (piece, place) in self.pattern.pieces.iter().zip(&mut places).rev() {
            let Piece::Set(items) = piece else { continue };
            let (item, offset) = *place;
            if offset + 1 < items[item].count() {
                *place = (item, offset + 1);
            } else if item + 1 < items.len() {
                *place = (item + 1, 0);
            } else {
                *place = (0, 0);
                continue;
            }
            self.at = Some(places);
            break;
        }
        Some(host)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(word: &str) -> Vec<String> {
        let pattern = Pattern::parse(word).expect(word);
        let hosts: Vec<_> = pattern.hosts().collect();
        assert_eq!(hosts.len() as u128, pattern.count(), "{word}");
        hosts
    }

    #[test]
    fn ranges_and_lists_stand_for_many() {
        assert_eq!(all("web[08-11].x"), ["web08.x", "web09.x", "web10.x", "web11.x"]);
        assert_eq!(all("[1-3,7,010]"), ["1", "2", "3", "7", "010"]);
        assert_eq!(all("[a-b][9-10]"), ["a9", "a10", "b9", "b10"]);
        assert_eq!(all("db-[lon, ber]"), ["db-lon", "db-ber"]);
        assert_eq!(all("web"), ["web"]);
        assert_eq!(all("n[00-99]").len(), 100);
        assert_eq!(all("10.0.[0-3].[1-254]").len(), 4 * 254);
        assert_eq!(all("n[098-101]"), ["n098", "n099", "n100", "n101"]);
    }

    #[test]
    fn a_bomb_is_counted_without_being_set_off() {
        let pattern = Pattern::parse(&"[0-999999999999999999]".repeat(20)).expect("valid");
        assert_eq!(pattern.count(), u128::MAX);
        assert_eq!(pattern.hosts().take(3).count(), 3);
    }

    #[test]
    fn wrong_patterns_say_why() {
        for (word, reason) in [
            ("web[1-3", "`[` without `]`"),
            ("web1-3]", "`]` without `[`"),
            ("a]b[1]", "`]` without `[`"),
            ("web[]", "brackets hold numbers, letters and ranges, such as `[1-3,7]`"),
            ("web[[1]]", "brackets in brackets"),
            ("web[3-1]", "a range goes up"),
            ("web[f-a]", "a range of letters goes up, in one case"),
            ("web[a-F]", "a range of letters goes up, in one case"),
            (
                "web[1-]",
                "a range is one of numbers or of single letters, such as `[1-3]` or `[a-f]`",
            ),
            ("web[1-9999999999999999999]", "a number has at most 18 digits"),
        ] {
            assert_eq!(Pattern::parse(word).map_err(|error| error.reason), Err(reason), "{word}");
        }
    }

    proptest! {
        #[test]
        fn as_many_hosts_come_as_are_counted(
            word in "[a-z]{0,3}(\\[([0-9]{1,2}-[0-9]{1,3}|[a-c]-[b-f]|[0-9]{1,3}|,){1,3}\\][.a-z]{0,2}){0,2}"
        ) {
            if let Ok(pattern) = Pattern::parse(&word) {
                prop_assume!(pattern.count() < 100_000);
                prop_assert_eq!(pattern.hosts().count() as u128, pattern.count());
            }
        }

        #[test]
        fn padded_numbers_keep_their_width(first in 0_u64..500, many in 0_u64..400, width in 2_usize..6) {
            let last = first + many;
            let word = format!("[{first:0width$}-{last:0width$}]");
            let numbers: Vec<String> = (first..=last).map(|number| format!("{number:0width$}")).collect();
            prop_assume!(format!("{first:0width$}").starts_with('0'));
            prop_assert_eq!(all(&word), numbers);
        }

        #[test]
        fn no_word_is_too_strange(word in "\\PC{0,30}|[\\[\\]0-9a-c,-]{0,20}") {
            if let Ok(pattern) = Pattern::parse(&word) {
                prop_assert!(pattern.hosts().take(10).count() >= 1);
            }
        }
    }
}
