//! Labels: keys and values that people set on nodes, in NkCLUSTER's textual form.
//!
//! ```text
//! labels = label *( "," label )
//! label  = name *( ";" option )
//! option = key [ "=" value ]
//! ```
//!
//! A name is any text without `;`, `,` and white space; a key also has no `=`. A value is bare, or
//! stands in double quotes with `\"` and `\\` inside. White space is allowed around `,`, `;` and
//! `=`. Order, case and duplicates are kept.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::cursor::{Cursor, Wrong, is_space, write_quoted};

/// Longest text, in bytes.
pub const MAX_TEXT: usize = 16 * 1024;
/// Most labels of one object.
pub const MAX_LABELS: usize = 256;
/// Most options of one label.
pub const MAX_OPTIONS: usize = 64;

/// One label: a name with options, as in `meta2;labelA=1;flag`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    /// Its name.
    pub name: String,
    /// Its options in the order given: a key, and a value unless it is a flag.
    pub options: Vec<(String, Option<String>)>,
}

impl Label {
    /// Whether there is an option or flag of this key.
    pub fn has(&self, key: &str) -> bool {
        self.options.iter().any(|(own, _)| own == key)
    }

    /// The first value given for a key.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.options.iter().find_map(|(own, value)| value.as_deref().filter(|_| own == key))
    }
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

impl From<Wrong> for ParseLabelsError {
    fn from((at, reason): Wrong) -> Self {
        Self { at, reason }
    }
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

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The first label of this name.
    pub fn get(&self, name: &str) -> Option<&Label> {
        self.0.iter().find(|label| label.name == name)
    }

    /// Replaces each label of the same name in its place, and appends the new ones.
    ///
    /// The result may exceed what [`check`](Self::check) allows.
    pub fn update(&mut self, with: &Labels) {
        for new in &with.0 {
            match self.0.iter_mut().find(|own| own.name == new.name) {
                Some(own) => *own = new.clone(),
                None => self.0.push(new.clone()),
            }
        }
    }

    /// Removes every label of these names; unknown names are ignored.
    pub fn remove<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        for name in names {
            self.0.retain(|label| label.name != name);
        }
    }

    /// Whether the labels can still be written and read back, which parsing guarantees and
    /// [`update`](Self::update) may break.
    ///
    /// # Errors
    ///
    /// Says which limit is exceeded.
    pub fn check(&self) -> Result<(), ParseLabelsError> {
        let text = self.to_string();
        text.parse::<Self>().map(|_same| ())
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = &'a Label;
    type IntoIter = std::slice::Iter<'a, Label>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl FromStr for Labels {
    type Err = ParseLabelsError;

    fn from_str(text: &str) -> Result<Self, ParseLabelsError> {
        if text.len() > MAX_TEXT {
            return Err(ParseLabelsError { at: 1, reason: "longer than 16 KiB" });
        }
        let mut labels = Vec::new();
        if text.is_empty() {
            return Ok(Self(labels));
        }
        let mut cursor = Cursor::new(text);
        loop {
            if labels.len() == MAX_LABELS {
                return Err((cursor.at(), "more than 256 labels").into());
            }
            labels.push(parse_label(&mut cursor)?);
            if cursor.is_at_end() {
                return Ok(Self(labels));
            }
            expect(&mut cursor, ",", "expected `,` or `;`")?;
        }
    }
}

/// One label with the white space around it.
fn parse_label(cursor: &mut Cursor<'_>) -> Result<Label, Wrong> {
    cursor.skip_space();
    let start = cursor.at();
    let name = cursor.take_while(|char| !is_separator(char)).to_owned();
    if name.is_empty() {
        return Err((start, "expected the name of a label"));
    }
    let mut options = Vec::new();
    cursor.skip_space();
    while cursor.eat(";") {
        if options.len() == MAX_OPTIONS {
            return Err((cursor.at(), "more than 64 options of one label"));
        }
        options.push(parse_option(cursor)?);
        cursor.skip_space();
    }
    Ok(Label { name, options })
}

fn parse_option(cursor: &mut Cursor<'_>) -> Result<(String, Option<String>), Wrong> {
    cursor.skip_space();
    let start = cursor.at();
    let key = cursor.take_while(|char| !is_separator(char) && char != '=').to_owned();
    if key.is_empty() {
        return Err((start, "expected the key of an option"));
    }
    cursor.skip_space();
    if !cursor.eat("=") {
        return Ok((key, None));
    }
    cursor.skip_space();
    if cursor.peek() == Some('"') {
        return Ok((key, Some(cursor.quoted()?)));
    }
    let start = cursor.at();
    let value = cursor.take_while(|char| !is_separator(char));
    if value.is_empty() {
        return Err((start, "expected a value after `=`; an empty one is written \"\""));
    }
    Ok((key, Some(value.to_owned())))
}

fn expect(cursor: &mut Cursor<'_>, word: &str, reason: &'static str) -> Result<(), Wrong> {
    let at = cursor.at();
    if cursor.eat(word) { Ok(()) } else { Err((at, reason)) }
}

fn is_separator(char: char) -> bool {
    matches!(char, ';' | ',') || is_space(char)
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

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (key, value) in &self.options {
            write!(f, ";{key}")?;
            let Some(value) = value else { continue };
            f.write_str("=")?;
            let bare =
                !value.is_empty() && !value.starts_with('"') && !value.contains(is_separator);
            if bare { f.write_str(value)? } else { write_quoted(f, value)? }
        }
        Ok(())
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, label) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            label.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
