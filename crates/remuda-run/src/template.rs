//! Texts with `{{…}}` in them, which are filled in for each target.

use std::{borrow::Cow, collections::BTreeMap, net::Ipv6Addr};

use remuda_model::run::Secret;

mod parse;

pub use parse::TemplateError;

/// What a template may name besides `{{host}}` and `{{vars.NAME}}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// `{{secrets.NAME}}`.
    pub secrets: bool,
    /// `{{job}}`.
    pub job: bool,
}

/// A text with places that are filled in: `{{host}}`, `{{vars.NAME}}`, and where it is allowed
/// `{{secrets.NAME}}` and `{{job}}`. `{{{{` stands for two braces.
///
/// ```
/// use remuda_run::{Template, Values, template::Scope};
///
/// let template = Template::parse("https://{{host}}:{{ vars.port }}/", Scope::default())?;
/// let vars = [("port".into(), "8443".into())];
/// let values = Values { host: "web1", vars: &vars, ..Values::default() };
/// assert_eq!(template.fill(&values)?, "https://web1:8443/");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// No two texts stand side by side, and none is empty.
    parts: Box<[Part]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Host,
    Var(Box<str>),
    Secret(Box<str>),
    Job,
}

/// What templates are filled with.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// The host of the target.
    pub host: &'a str,
    /// The variables of the target, in the order of their names.
    pub vars: &'a [(Box<str>, Box<str>)],
    /// The variables of the run, for what the target has not.
    pub run_vars: &'a BTreeMap<String, String>,
    /// The secrets of the run.
    pub secrets: &'a BTreeMap<String, Secret>,
    /// What the target called its job.
    pub job: Option<&'a str>,
}

static NO_VARS: BTreeMap<String, String> = BTreeMap::new();
static NO_SECRETS: BTreeMap<String, Secret> = BTreeMap::new();

impl Default for Values<'_> {
    fn default() -> Self {
        Self { host: "", vars: &[], run_vars: &NO_VARS, secrets: &NO_SECRETS, job: None }
    }
}

/// A template names what has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no value for `{{{{{0}}}}}`")]
pub struct MissingVariable(pub String);

impl Template {
    /// Parses a text.
    ///
    /// # Errors
    ///
    /// Names the place and what is wrong there.
    pub fn parse(text: &str, scope: Scope) -> Result<Self, TemplateError> {
        parse::parse(text, scope).map(|parts| Self { parts: parts.into() })
    }

    /// Whether nothing is filled in.
    pub fn is_constant(&self) -> bool {
        matches!(&*self.parts, [] | [Part::Text(_)])
    }

    /// Whether it is the empty text.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The names of the secrets that it wants.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Secret(name) => Some(&**name),
            _ => None,
        })
    }

    /// Whether it wants the job.
    pub fn has_job(&self) -> bool {
        self.parts.contains(&Part::Job)
    }

    /// Whether the job stands where it cannot change the host of a URL: after a `/` or `?` of the
    /// path that is written out.
    pub(crate) fn job_is_in_path(&self) -> bool {
        let mut before = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => before.push_str(text),
                Part::Job => {
                    let rest = before.split_once("://").map_or(&*before, |(_, rest)| rest);
                    return rest.contains(['/', '?']);
                }
                // Whatever it is, it is neither a `/` nor a `?` that is written out.
                _ => before.push('_'),
            }
        }
        true
    }

    /// What is written out before the first place.
    pub(crate) fn start(&self) -> &str {
        match self.parts.first() {
            Some(Part::Text(text)) => text,
            _ => "",
        }
    }

    /// The text for a target; borrowed if nothing is filled in.
    ///
    /// # Errors
    ///
    /// When it names what has no value.
    pub fn fill<'a>(&'a self, values: &Values<'a>) -> Result<Cow<'a, str>, MissingVariable> {
        match &*self.parts {
            [] => Ok(Cow::Borrowed("")),
            [only] => only.value(values).map(Cow::Borrowed),
            parts => {
                let mut filled = String::with_capacity(64);
                for part in parts {
                    filled.push_str(part.value(values)?);
                }
                Ok(Cow::Owned(filled))
            }
        }
    }

    /// The text for a target, as a URL.
    ///
    /// Values stand as they are, but an IPv6 address in place of a host gets its brackets, and what
    /// the target called its job is percent-encoded: it is data from outside.
    /// [`HttpUrl::parse`](crate::HttpUrl::parse) refuses spaces, line ends and other characters
    /// that would make another request of it.
    ///
    /// # Errors
    ///
    /// When it names what has no value.
    pub fn fill_url(&self, values: &Values<'_>) -> Result<String, MissingVariable> {
        let mut url = String::with_capacity(64);
        for part in &self.parts {
            let value = part.value(values)?;
            match part {
                Part::Text(_) => url.push_str(value),
                Part::Job => push_encoded(&mut url, value),
                _ if wants_brackets(&url, value) => {
                    url.extend(["[", value, "]"]);
                }
                _ => url.push_str(value),
            }
        }
        Ok(url)
    }
}

impl Part {
    fn value<'a>(&'a self, values: &Values<'a>) -> Result<&'a str, MissingVariable> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Host => Ok(values.host),
            Self::Var(name) => {
                let own = values.vars.binary_search_by(|(key, _)| (**key).cmp(name));
                if let Ok(at) = own {
                    return Ok(&values.vars[at].1);
                }
                let value = values.run_vars.get(&**name);
                value.map(|value| &**value).ok_or_else(|| missing("vars.", name))
            }
            Self::Secret(name) => {
                let value = values.secrets.get(&**name).map(Secret::reveal);
                value.ok_or_else(|| missing("secrets.", name))
            }
            Self::Job => values.job.ok_or_else(|| missing("", "job")),
        }
    }
}

fn missing(kind: &str, name: &str) -> MissingVariable {
    MissingVariable(format!("{kind}{name}"))
}

/// Whether a value is an IPv6 address and comes where the host of a URL begins.
fn wants_brackets(before: &str, value: &str) -> bool {
    let begins = || before.find("://").is_some_and(|at| at + 3 == before.len());
    value.contains(':') && begins() && value.parse::<Ipv6Addr>().is_ok()
}

/// Writes all but letters, digits and `-._~` as `%XX`.
fn push_encoded(url: &mut String, value: &str) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push('%');
            url.push(char::from(DIGITS[usize::from(byte >> 4)]));
            url.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests;
