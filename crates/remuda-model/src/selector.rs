//! Selectors: conditions on labels, as in `group==web && !gpu`.
//!
//! ```text
//! or    = and *( "||" and )
//! and   = unary *( "&&" unary )
//! unary = "!" unary | "(" or ")" | term
//! term  = key [ "==" value | "!=" value | "in" list | "not in" list ]
//! list  = "(" value *( "," value ) ")"
//! ```
//!
//! Keys and values are bare words, or stand in double quotes with `\"` and `\\` inside.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Labels;

mod parse;

/// Longest text, in characters.
pub const MAX_TEXT: usize = 4096;
/// Deepest nesting of `!` and parentheses.
pub const MAX_DEPTH: usize = 64;

/// A condition on the labels of a node, and on facts such as its name, role, status and system.
///
/// A `key` alone is true when a label, an option or a fact has that name. `key==value` is true
/// when a label is named `key=value`, when any label has the option `key=value`, when `key` is
/// `name.option` and that label has the option with this value, or when the fact `key` has this
/// value. `!=` and `not in` are the exact opposites of `==` and `in`, so they are also true where
/// the key is absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Selector {
    /// As it was written.
    text: String,
    condition: Condition,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    Any(Vec<Condition>),
    All(Vec<Condition>),
    Not(Box<Condition>),
    Has(String),
    In(String, Vec<String>),
}

/// The text is no selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot parse selector at character {at}: {reason}")]
pub struct ParseSelectorError {
    /// Counted in characters from 1.
    pub at: usize,
    /// What is wrong there.
    pub reason: String,
}

impl Selector {
    /// Whether labels, and further facts as key and value, meet the condition.
    pub fn matches(&self, labels: &Labels, facts: &[(&str, &str)]) -> bool {
        self.condition.holds(&Subject { labels, facts })
    }
}

impl Condition {
    fn holds(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::Any(parts) => parts.iter().any(|part| part.holds(subject)),
            Self::All(parts) => parts.iter().all(|part| part.holds(subject)),
            Self::Not(inner) => !inner.holds(subject),
            Self::Has(key) => subject.any(key, |_value| true),
            Self::In(key, values) => subject.any(key, |found| {
                found.is_some_and(|found| values.iter().any(|value| value == found))
            }),
        }
    }
}

/// What a condition is asked about.
struct Subject<'a> {
    labels: &'a Labels,
    facts: &'a [(&'a str, &'a str)],
}

impl Subject<'_> {
    /// Whether `fits` accepts the value of anything that this key means; a flag has none.
    fn any(&self, key: &str, fits: impl Fn(Option<&str>) -> bool) -> bool {
        let in_labels = self.labels.iter().any(|label| {
            let assigned = label.name.split_once('=').filter(|(name, _)| *name == key);
            let dotted =
                key.strip_prefix(label.name.as_str()).and_then(|key| key.strip_prefix('.'));
            (label.name == key && fits(None))
                || assigned.is_some_and(|(_, value)| fits(Some(value)))
                || label.options.iter().any(|(own, value)| {
                    (own == key || Some(own.as_str()) == dotted) && fits(value.as_deref())
                })
        });
        in_labels || self.facts.iter().any(|(own, value)| *own == key && fits(Some(value)))
    }
}

impl FromStr for Selector {
    type Err = ParseSelectorError;

    fn from_str(text: &str) -> Result<Self, ParseSelectorError> {
        Ok(Self { text: text.to_owned(), condition: parse::condition(text)? })
    }
}

impl TryFrom<String> for Selector {
    type Error = ParseSelectorError;

    fn try_from(text: String) -> Result<Self, ParseSelectorError> {
        text.parse()
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> Self {
        selector.text
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
