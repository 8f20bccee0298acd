//! What a run does, but not to whom.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{Http, Limits, Ping, Ssh, Tcp};
use crate::Selector;

/// A run, without its targets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSpec {
    /// What people call it; need not be unique.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What is done to each target.
    pub command: Command,
    /// Values of `{{vars.NAME}}` for targets that have none of their own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vars: BTreeMap<String, String>,
    /// Time and width.
    #[serde(default)]
    pub limits: Limits,
    /// Which workers contact the targets; all that are ready unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Selector>,
    /// A label; each target is contacted once from each of its values, as in "from each region".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_each: Option<String>,
    /// No target is contacted a second time, whatever happens; what was contacted and has no answer
    /// ends as `unknown`.
    #[serde(default)]
    pub at_most_once: bool,
    /// Which runs get slots of a worker first.
    #[serde(default)]
    pub priority: Priority,
}

/// What is done to each target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "there is one for each run")]
pub enum Command {
    /// An HTTP request, and on wish questions after it until the target says that it is done.
    Http(Http),
    /// A command line over SSH.
    Ssh(Ssh),
    /// Bytes over TCP, and what comes back.
    Tcp(Tcp),
    /// Whether the target is there.
    Ping(Ping),
}

impl Command {
    /// The word of the command line.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Ssh(_) => "ssh",
            Self::Tcp(_) => "tcp",
            Self::Ping(_) => "ping",
        }
    }
}

/// A run of a higher priority gets four times the slots of one of the next lower.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// After the others.
    Low,
    /// As most.
    #[default]
    Normal,
    /// Before the others.
    High,
}

/// What a run needs and nobody may read. Kept apart from the spec, in a file of its own, until the
/// run has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    /// The password of an SSH login, and of sudo.
    #[serde(default)]
    pub password: Option<Secret>,
    /// A private key in OpenSSH's form.
    #[serde(default)]
    pub key: Option<Secret>,
    /// What opens the key.
    #[serde(default)]
    pub passphrase: Option<Secret>,
    /// Values of `{{secrets.NAME}}`, for headers and bodies.
    #[serde(default)]
    pub values: BTreeMap<String, Secret>,
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
