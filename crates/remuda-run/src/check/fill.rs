//! What can be wrong with a text once it is filled in.

use std::borrow::Cow;

use remuda_model::run::{Trouble, TroubleKind};

use super::field::NO_PORT;
use crate::{Template, Values, template::MissingVariable, url::parse_port};

/// A text cannot be made for this target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct FillError {
    /// Which one, such as `command.http.url`.
    pub field: Cow<'static, str>,
    /// What is wrong with it. Never has the value of a secret.
    pub reason: String,
}

impl FillError {
    pub(super) fn new(field: impl Into<Cow<'static, str>>, reason: impl std::fmt::Display) -> Self {
        Self { field: field.into(), reason: reason.to_string() }
    }
}

impl From<FillError> for Trouble {
    fn from(error: FillError) -> Self {
        Self::new(TroubleKind::Template, error.to_string())
    }
}

/// The text, or what is missing in this field.
pub(super) fn text<'a>(
    field: &'static str,
    template: &'a Template,
    values: &Values<'a>,
) -> Result<Cow<'a, str>, FillError> {
    template.fill(values).map_err(|error: MissingVariable| FillError::new(field, error))
}

/// The text as one line that is not empty.
pub(super) fn line<'a>(
    field: &'static str,
    template: &'a Template,
    values: &Values<'a>,
) -> Result<Cow<'a, str>, FillError> {
    let line = text(field, template, values)?;
    if line.is_empty() || line.contains(char::is_control) {
        return Err(FillError::new(field, "one line of text, not empty"));
    }
    Ok(line)
}

/// The port; the default if there is no template.
pub(super) fn port(
    field: &'static str,
    template: Option<&Template>,
    default: u16,
    values: &Values<'_>,
) -> Result<u16, FillError> {
    let Some(template) = template else { return Ok(default) };
    let text = text(field, template, values)?;
    parse_port(&text).ok_or_else(|| FillError::new(field, NO_PORT))
}
