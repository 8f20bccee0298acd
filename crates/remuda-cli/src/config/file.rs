//! The configuration file: TOML, one level of keys, each value with its line.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use remuda_model::ErrorKind;
use toml::de::{DeTable, DeValue};

use super::{ConfigError, Origin, setting};
use crate::error::Report;

/// The texts of a file, and what is wrong with it.
#[derive(Debug)]
pub(crate) struct ConfigFile {
    path: PathBuf,
    /// By key: the value as text and its line.
    values: BTreeMap<&'static str, (String, usize)>,
    errors: Vec<ConfigError>,
}

/// Far more than any file that a person writes.
const MAX_FILE: u64 = 1 << 20;

impl ConfigFile {
    pub(crate) fn read(path: &Path) -> Result<Self, Report> {
        let cannot = |error: &std::io::Error| {
            Report::new(ErrorKind::Invalid, format!("cannot read `{}`", path.display()))
                .caused_by(error)
        };
        let length = std::fs::metadata(path).map_err(|error| cannot(&error))?.len();
        if length > MAX_FILE {
            let message = format!("`{}` is longer than 1 MiB", path.display());
            return Err(Report::new(ErrorKind::Invalid, message));
        }
        let text = std::fs::read_to_string(path).map_err(|error| cannot(&error))?;
        Ok(Self::parse(path, &text))
    }

    /// Reads as much as can be understood and keeps every error.
    pub(crate) fn parse(path: &Path, text: &str) -> Self {
        let mut file = Self { path: path.to_owned(), values: BTreeMap::new(), errors: Vec::new() };
        let line = |at: usize| text.get(..at).map_or(1, |before| before.matches('\n').count() + 1);
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            file.error(line(error.span().map_or(0, |span| span.start)), error.message().to_owned());
        }
        for (key, value) in table.get_ref() {
            let at = line(key.span().start);
            match (setting::find(key.get_ref()), as_text(value.get_ref())) {
                (None, _) => file.error(at, format!("unknown key `{}`", key.get_ref())),
                (Some(setting), Ok(text)) => {
                    file.values.insert(setting.key, (text, at));
                }
                (Some(setting), Err(reason)) => {
                    file.error(at, format!("`{}`: {reason}", setting.key));
                }
            }
        }
        file
    }

    fn error(&mut self, line: usize, reason: String) {
        self.errors.push(ConfigError { origin: Origin::File(self.path.clone(), line), reason });
    }

    pub(super) fn get(&self, key: &str) -> Option<(&str, Origin)> {
        let (text, line) = self.values.get(key)?;
        Some((text, Origin::File(self.path.clone(), *line)))
    }

    pub(super) fn errors(&self) -> &[ConfigError] {
        &self.errors
    }
}

/// A value in the form that options and variables have: lists are joined with commas.
fn as_text(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.clone().into_owned()),
        DeValue::Boolean(value) => Ok(value.to_string()),
        DeValue::Integer(value) => Ok(value.as_str().to_owned()),
        DeValue::Array(items) => {
            let item = |item: &toml::Spanned<DeValue<'_>>| match item.get_ref() {
                DeValue::String(text) => Ok(text.clone().into_owned()),
                other => Err(format!("expected a list of texts, found {}", other.type_str())),
            };
            Ok(items.iter().map(item).collect::<Result<Vec<_>, _>>()?.join(","))
        }
        other => Err(format!("expected a text, found {}", other.type_str())),
    }
}
