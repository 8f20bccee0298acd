//! Selectors: conditions on labels, as in `group==web && !gpu`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Labels;

/// A condition on the labels of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Selector {
    text: String,
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
    pub fn matches(&self, _labels: &Labels, _facts: &[(&str, &str)]) -> bool {
        true
    }
}

impl FromStr for Selector {
    type Err = ParseSelectorError;

    fn from_str(text: &str) -> Result<Self, ParseSelectorError> {
        Ok(Self { text: text.to_owned() })
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
