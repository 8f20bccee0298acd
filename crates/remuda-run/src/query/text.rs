//! Texts in answers, by regular expression.

use std::{fmt, str::FromStr};

use regex::bytes::{Regex, RegexBuilder};
use remuda_model::run::Record;
use serde::{Deserialize, Serialize};

use crate::shortened;

/// The longest expression, in bytes.
pub const MAX_PATTERN: usize = 4096;
/// The most memory of an expression once it is compiled, in bytes.
const MAX_COMPILED: usize = 1 << 20;
/// How deep parts of an expression may be nested.
const MAX_NESTING: u32 = 50;

/// A regular expression. Takes a time that grows with the text only, whatever the expression.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TextPattern(Regex);

/// The text is no regular expression, or a too large one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot search for `{text}`: {reason}")]
pub struct TextPatternError {
    /// The expression, shortened.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl TextPattern {
    /// Whether a record has it in its body, its standard error, or the message about its trouble.
    pub fn is_in(&self, record: &Record) -> bool {
        self.0.is_match(&record.body)
            || self.0.is_match(&record.stderr)
            || record.trouble.as_ref().is_some_and(|t| self.0.is_match(t.message.as_bytes()))
    }

    /// What its first group found, or all that it found if there is no group or it found nothing.
    pub fn extract<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        let found = self.0.captures(text)?;
        found.get(1).or_else(|| found.get(0)).map(|found| found.as_bytes())
    }
}

impl FromStr for TextPattern {
    type Err = TextPatternError;

    fn from_str(text: &str) -> Result<Self, TextPatternError> {
        let error = |reason: String| TextPatternError { text: shortened(text), reason };
        if text.len() > MAX_PATTERN {
            return Err(error(format!("longer than {MAX_PATTERN} bytes")));
        }
        RegexBuilder::new(text)
            .size_limit(MAX_COMPILED)
            .dfa_size_limit(MAX_COMPILED)
            .nest_limit(MAX_NESTING)
            .build()
            .map(Self)
            .map_err(|wrong| error(wrong.to_string()))
    }
}

impl PartialEq for TextPattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for TextPattern {}

impl fmt::Display for TextPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl TryFrom<String> for TextPattern {
    type Error = TextPatternError;

    fn try_from(text: String) -> Result<Self, TextPatternError> {
        text.parse()
    }
}

impl From<TextPattern> for String {
    fn from(pattern: TextPattern) -> Self {
        pattern.0.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_group_is_taken_or_all() {
        let extract = |pattern: &str| {
            let pattern: TextPattern = pattern.parse().expect(pattern);
            pattern.extract(b"version=1.2 (build 7)").map(<[u8]>::to_vec)
        };
        assert_eq!(extract(r"version=(\S+)").as_deref(), Some(&b"1.2"[..]));
        assert_eq!(extract(r"build \d").as_deref(), Some(&b"build 7"[..]));
        assert_eq!(extract("build(x)?").as_deref(), Some(&b"build"[..]));
        assert_eq!(extract("none"), None);
    }

    #[test]
    fn expressions_have_bounds() {
        assert!("a".repeat(MAX_PATTERN + 1).parse::<TextPattern>().is_err());
        assert!(r"\w{1000}{1000}".parse::<TextPattern>().is_err());
        let deep = format!("{}a{}", "(".repeat(100), ")".repeat(100));
        assert!(deep.parse::<TextPattern>().is_err());
    }

    proptest! {
        #[test]
        fn no_expression_is_too_strange(text in "\\PC{0,30}|[(){}\\[\\]|*+?a-c0-9\\\\^$-]{0,20}") {
            if let Ok(pattern) = text.parse::<TextPattern>() {
                pattern.extract(b"abc\xff");
            }
        }
    }
}
