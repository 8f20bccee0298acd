//! Command lines of a run, over SSH.

use serde::{Deserialize, Serialize};

/// A command line on each target, without a terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ssh {
    /// The command line for the login shell of the target, a template; with a script, its arguments.
    pub command: String,
    /// A script that is sent over and run there with `command` as its arguments; removed again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// Who logs in, a template.
    pub user: String,
    /// The port, a template; 22 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// How.
    pub login: Login,
    /// Which targets are believed.
    #[serde(default)]
    pub host_keys: HostKeys,
    /// Lines in the form of OpenSSH's `known_hosts`; the file of the worker's user unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<String>,
    /// Runs it by way of `sudo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sudo: Option<Sudo>,
    /// How much of each output is kept, in bytes; [`DEFAULT_BODY`](super::DEFAULT_BODY) unless
    /// given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<u32>,
}

/// How a run proves who it is. What proves it is in the run's [`Secrets`](super::Secrets).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Login {
    /// With the key of the secrets.
    Key,
    /// With the password of the secrets.
    Password,
    /// With the SSH agent of the worker.
    Agent,
}

/// Which targets are believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostKeys {
    /// Those whose key is known.
    #[default]
    Strict,
    /// Also those of which no key is known; one with another key never.
    AcceptNew,
    /// All.
    Off,
}

/// As whom `sudo` runs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sudo {
    /// The user; root unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Whether sudo gets the password of the secrets; otherwise it must need none.
    #[serde(default)]
    pub password: bool,
}
