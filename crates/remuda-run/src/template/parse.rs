//! From text to parts.

use std::fmt;

use super::{Part, Scope};
use crate::{
    shortened,
    target::{VAR_NAME_RULE, is_var_name},
};

/// The text is no template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// In which line, from 1.
    pub line: usize,
    /// At which character of it, from 1.
    pub column: usize,
    /// What is wrong there.
    pub reason: String,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 1 {
            write!(f, "line {}, ", self.line)?;
        }
        write!(f, "column {}: {}", self.column, self.reason)
    }
}

impl std::error::Error for TemplateError {}

pub(super) fn parse(text: &str, scope: Scope) -> Result<Vec<Part>, TemplateError> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("{{") {
        plain.push_str(&text[at..at + found]);
        at += found;
        let rest = &text[at..];
        if rest.starts_with("{{{{") {
            plain.push_str("{{");
            at += 4;
            continue;
        }
        if rest.starts_with("{{{") {
            // `{{{host}}}` is what stands in JSON: a brace, a place, a brace.
            plain.push('{');
            at += 1;
            continue;
        }
        let error = |reason: String| located(text, at, reason);
        let end = rest.find("}}").ok_or_else(|| {
            error("`{{` without `}}`; two braces that stay are written `{{{{`".to_owned())
        })?;
        let part = place(rest[2..end].trim(), scope).map_err(error)?;
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain).into()));
        }
        parts.push(part);
        at += end + 2;
    }
    plain.push_str(&text[at..]);
    if !plain.is_empty() {
        parts.push(Part::Text(plain.into()));
    }
    Ok(parts)
}

fn place(name: &str, scope: Scope) -> Result<Part, String> {
    let checked = |name: &str| {
        if is_var_name(name) {
            Ok(name.into())
        } else {
            Err(format!("`{}` is no name of a variable: {VAR_NAME_RULE}", shortened(name)))
        }
    };
    if name == "host" {
        return Ok(Part::Host);
    }
    if let Some(name) = name.strip_prefix("vars.") {
        return checked(name).map(Part::Var);
    }
    if let Some(name) = name.strip_prefix("secrets.") {
        return if scope.secrets {
            checked(name).map(Part::Secret)
        } else {
            Err("secrets may stand in headers and bodies only".to_owned())
        };
    }
    if name == "job" {
        return if scope.job {
            Ok(Part::Job)
        } else {
            Err("`{{job}}` may stand in `poll.url` only".to_owned())
        };
    }
    Err(format!(
        "unknown `{}`: there are `host`, `vars.NAME`, `secrets.NAME` and `job`; two braces that stay \
         are written `{{{{{{{{`",
        shortened(name)
    ))
}

fn located(text: &str, at: usize, reason: String) -> TemplateError {
    let before = &text[..at];
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    TemplateError {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        reason,
    }
}
