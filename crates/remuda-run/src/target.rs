//! One target of a run, and the line in which it is stored and sent.

use serde_json::{Map, Value};

use crate::{
    host::{self, HostError},
    shortened,
};

/// The most targets of a run.
pub const MAX_TARGETS: usize = 1_000_000;
/// The most variables of a target.
pub const MAX_VARS: usize = 64;
/// The longest name of a variable, in bytes.
pub const MAX_VAR_NAME: usize = 64;
/// The most bytes of the names and values of a target's variables.
pub const MAX_VARS_BYTES: usize = 64 << 10;

/// A host, and its own values of `{{vars.NAME}}`.
///
/// Always checked: the host is canonical (see [`host::canonical`]), the variables are in the order of
/// their names and each is there once. 32 bytes, and the texts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// A name or an address; IPv6 without brackets.
    pub host: Box<str>,
    /// Names and values.
    pub vars: Box<[(Box<str>, Box<str>)]>,
}

/// The text is no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The host is none.
    #[error("`{text}`: {error}")]
    Host {
        /// What was given, shortened.
        text: String,
        /// What is wrong with it; part of the text of this error.
        error: HostError,
    },
    /// JSON that is none.
    #[error("not JSON: {0}")]
    Json(String),
    /// JSON of another form.
    #[error("{0}")]
    Form(String),
    /// A variable that no template could name.
    #[error("`{0}` is no name of a variable: {VAR_NAME_RULE}")]
    VarName(String),
    /// A variable that is there twice.
    #[error("variable `{0}` is there twice")]
    VarTwice(String),
    /// Too much.
    #[error("a target has at most {MAX_VARS} variables of {MAX_VARS_BYTES} bytes together")]
    VarsTooLarge,
}

/// What a name of a variable is, for messages.
pub(crate) const VAR_NAME_RULE: &str = "at most 64 letters, digits, `_`, `-` and `.`";

/// Whether templates can name a variable or secret so.
pub(crate) fn is_var_name(name: &str) -> bool {
    (1..=MAX_VAR_NAME).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

impl Target {
    /// A target without variables.
    ///
    /// # Errors
    ///
    /// When the text is no host.
    pub fn plain(host: &str) -> Result<Self, TargetError> {
        match host::canonical(host) {
            Ok(host) => Ok(Self { host: host.into(), vars: Box::default() }),
            Err(error) => Err(TargetError::Host { text: shortened(host), error }),
        }
    }

    /// A target with variables, in any order.
    ///
    /// # Errors
    ///
    /// When the host or a variable is not allowed.
    pub fn new(
        host: &str,
        vars: impl IntoIterator<Item = (impl Into<Box<str>>, impl Into<Box<str>>)>,
    ) -> Result<Self, TargetError> {
        let mut target = Self::plain(host)?;
        let mut list: Vec<(Box<str>, Box<str>)> = Vec::new();
        let mut bytes = 0;
        for (name, value) in vars {
            let (name, value) = (name.into(), value.into());
            bytes += name.len() + value.len();
            if list.len() == MAX_VARS || bytes > MAX_VARS_BYTES {
                return Err(TargetError::VarsTooLarge);
            }
            if !is_var_name(&name) {
                return Err(TargetError::VarName(shortened(&name)));
            }
            list.push((name, value));
        }
        list.sort_by(|a, b| a.0.cmp(&b.0));
        if let Some(pair) = list.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(TargetError::VarTwice(pair[0].0.to_string()));
        }
        target.vars = list.into();
        Ok(target)
    }

    /// The value of a variable.
    pub fn var(&self, name: &str) -> Option<&str> {
        let at = self.vars.binary_search_by(|(key, _)| (**key).cmp(name)).ok()?;
        Some(&self.vars[at].1)
    }

    /// Its line, without an end of line: the host, or a JSON object if there are variables.
    pub fn to_line(&self) -> String {
        if self.vars.is_empty() {
            return self.host.to_string();
        }
        let text = |text: &str| Value::from(text);
        let vars = self.vars.iter().map(|(name, value)| (name.to_string(), text(value)));
        let object = [
            ("host".to_owned(), text(&self.host)),
            ("vars".to_owned(), Value::Object(vars.collect::<Map<_, _>>())),
        ];
        Value::Object(object.into_iter().collect::<Map<_, _>>()).to_string()
    }

    /// Reads a line as [`to_line`](Self::to_line) writes it.
    ///
    /// Values may also be numbers and truth values; ranges and lists are for
    /// [`targets::from_lines`](crate::targets::from_lines).
    ///
    /// # Errors
    ///
    /// When it is neither a host nor such an object.
    pub fn parse_line(line: &str) -> Result<Self, TargetError> {
        let line = line.trim();
        if !line.starts_with('{') {
            return Self::plain(line);
        }
        let value = serde_json::from_str::<Value>(line)
            .map_err(|error| TargetError::Json(error.to_string()))?;
        Self::from_object(&value)
    }

    /// Reads `{"host": "…", "vars": {…}}`, and nothing else.
    pub(crate) fn from_object(value: &Value) -> Result<Self, TargetError> {
        let object = value.as_object().ok_or_else(|| form("expected an object"))?;
        if let Some(other) = object.keys().find(|key| !matches!(key.as_str(), "host" | "vars")) {
            let other = shortened(other);
            return Err(form(format!("unknown field `{other}`: a target has `host` and `vars`")));
        }
        let host = object.get("host").and_then(Value::as_str);
        let host = host.ok_or_else(|| form("a target has a text `host`"))?;
        match object.get("vars") {
            None => Self::plain(host),
            Some(Value::Object(vars)) => Self::new(host, scalars(vars)?),
            Some(_) => Err(form("`vars` is an object of names and values")),
        }
    }
}

/// Names and values as texts.
///
/// # Errors
///
/// Names what is a list or an object, for which no text is the obvious one.
pub(crate) fn scalars<'a>(
    fields: impl IntoIterator<Item = (&'a String, &'a Value)>,
) -> Result<Vec<(&'a str, String)>, TargetError> {
    fields
        .into_iter()
        .filter_map(|(name, value)| {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Bool(truth) => truth.to_string(),
                // As if it were not there, so that a default of the run may stand in.
                Value::Null => return None,
                Value::Array(_) | Value::Object(_) => {
                    return Some(Err(form(format!(
                        "variable `{}` is no text, number or truth value",
                        shortened(name)
                    ))));
                }
            };
            Some(Ok((name.as_str(), text)))
        })
        .collect()
}

pub(crate) fn form(text: impl Into<String>) -> TargetError {
    TargetError::Form(text.into())
}

#[cfg(test)]
mod tests {
    use proptest::{collection::btree_map, prelude::*};

    use super::*;

    #[test]
    fn targets_are_small() {
        assert_eq!(size_of::<Target>(), 32);
    }

    #[test]
    fn a_line_is_a_host_or_an_object() {
        assert_eq!(Target::parse_line("WEB1 ").expect("host").to_line(), "web1");
        let target = Target::parse_line(r#"{"vars":{"b":2,"a":"x y","c":null},"host":"[::1]"}"#);
        let target = target.expect("object");
        assert_eq!(target.to_line(), r#"{"host":"::1","vars":{"a":"x y","b":"2"}}"#);
        assert_eq!((target.var("a"), target.var("c")), (Some("x y"), None));
    }

    #[test]
    fn lines_that_are_no_target_say_why() {
        for (line, text) in [
            ("a b", "`a b`: not a host name: it has ' '"),
            ("{", "not JSON: "),
            (r#"{"host":1}"#, "a target has a text `host`"),
            (r#"{"host":"a","port":1}"#, "unknown field `port`: a target has `host` and `vars`"),
            (r#"{"host":"a","vars":[]}"#, "`vars` is an object of names and values"),
            (r#"{"host":"a","vars":{"x":{}}}"#, "variable `x` is no text, number or truth value"),
            (r#"{"host":"a","vars":{"a b":1}}"#, "`a b` is no name of a variable"),
        ] {
            let error = Target::parse_line(line).expect_err(line).to_string();
            assert!(error.starts_with(text), "{line}: {error}");
        }
    }

    #[test]
    fn variables_have_bounds() {
        let many = (0..=MAX_VARS).map(|at| (format!("v{at}"), ""));
        assert_eq!(Target::new("a", many), Err(TargetError::VarsTooLarge));
        let large = [("a", "x".repeat(MAX_VARS_BYTES))];
        assert_eq!(Target::new("a", large), Err(TargetError::VarsTooLarge));
        let twice = [("a", "1"), ("a", "2")];
        assert_eq!(Target::new("a", twice), Err(TargetError::VarTwice("a".into())));
    }

    proptest! {
        #[test]
        fn a_line_brings_the_target_back(
            host in "[a-z][a-z0-9]{0,8}(\\.[a-z]{1,5}){0,3}",
            vars in btree_map("[a-zA-Z0-9_.-]{1,9}", any::<String>(), 0..6),
        ) {
            let target = Target::new(&host, vars).expect("valid");
            let line = target.to_line();
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(Target::parse_line(&line), Ok(target));
        }

        #[test]
        fn no_line_is_too_strange(line in any::<String>()) {
            let _ = Target::parse_line(&line);
        }
    }
}
