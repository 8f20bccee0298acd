//! What checks of single fields have in common.

use std::{
    fmt::{Debug, Display},
    ops::RangeInclusive,
};

use remuda_model::{Failure, run::Secrets};

use crate::{
    Template,
    json_path::{MAX_PATH, is_pointer},
    template::Scope,
    url::parse_port,
};

/// The longest text of a field, in bytes: bodies, scripts, certificates.
pub const MAX_TEXT: usize = 4 << 20;

/// A field that is wrong.
pub(super) fn bad(field: &str, reason: impl Display) -> Failure {
    Failure::invalid(format!("{field}: {reason}")).code("bad_run")
}

pub(super) fn within<T: PartialOrd + Display + Debug>(
    field: &str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<T, Failure> {
    if range.contains(&value) {
        Ok(value)
    } else {
        let (first, last) = range.into_inner();
        Err(bad(field, format_args!("{value} is not within {first} and {last}")))
    }
}

pub(super) fn size(field: &str, text: &str) -> Result<(), Failure> {
    if text.len() <= MAX_TEXT {
        Ok(())
    } else {
        Err(bad(field, format_args!("longer than {MAX_TEXT} bytes")))
    }
}

/// A template without secrets.
pub(super) fn template(field: &str, text: &str) -> Result<Template, Failure> {
    size(field, text)?;
    Template::parse(text, Scope::default()).map_err(|error| bad(field, error))
}

/// A template whose secrets are all there.
pub(super) fn secret_template(
    field: &str,
    text: &str,
    secrets: &Secrets,
) -> Result<Template, Failure> {
    size(field, text)?;
    let scope = Scope { secrets: true, job: false };
    let template = Template::parse(text, scope).map_err(|error| bad(field, error))?;
    if let Some(name) = template.secrets().find(|name| !secrets.values.contains_key(*name)) {
        return Err(bad(field, format_args!("no secret `{name}` was given")));
    }
    Ok(template)
}

/// A template of a port.
pub(super) fn port(field: &str, text: &str) -> Result<Template, Failure> {
    let template = template(field, text)?;
    if template.is_constant() && parse_port(text).is_none() {
        return Err(bad(field, NO_PORT));
    }
    Ok(template)
}

/// What is said of something else than a port.
pub(super) const NO_PORT: &str = "a port is a number from 1 to 65535";

pub(super) fn pointer(field: &str, text: &str) -> Result<(), Failure> {
    if is_pointer(text) {
        Ok(())
    } else {
        let reason = format!("a JSON pointer begins with `/` and has at most {MAX_PATH} bytes");
        Err(bad(field, reason).hint("such as `/progress`; `~` is written `~0`"))
    }
}

/// Whether a text is a token of HTTP (RFC 9110): a method, the name of a header.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
