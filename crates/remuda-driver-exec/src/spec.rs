//! What users say about a command, and what they are told.

use std::collections::BTreeMap;

use remuda_model::ExitStatus;
use serde::{Deserialize, Serialize};

/// A command to run. There is no shell between it and the program: pipes and variables need an
/// explicit `["sh", "-c", "…"]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecSpec {
    /// The program and its arguments. A program without `/` is looked up in `PATH`.
    pub argv: Vec<String>,
    /// Variables added to the environment, or replaced in it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Whether to begin with an empty environment instead of the agent's. The agent's own
    /// variables (`REMUDA_…`), and those that name a proxy with a password, are never handed on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clear_env: bool,
    /// The working directory, absolute; by default that of the agent, or the user's home when
    /// `user` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Another user, by name or number. Only an agent that runs as root can do that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What the command reads.
    #[serde(default, skip_serializing_if = "Stdin::is_none")]
    pub stdin: Stdin,
    /// How long it may run, in milliseconds; then it gets `SIGTERM`, and `SIGKILL` ten seconds
    /// later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// How much output of a task is kept, in bytes; by default 64 MiB. The oldest is dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_bytes: Option<u64>,
}

/// What a command reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stdin {
    /// Nothing.
    #[default]
    None,
    /// What [`ExecCommand::Stdin`] brings, until [`ExecCommand::CloseStdin`]. For tasks only.
    Open,
    /// This text.
    Text(String),
}

impl Stdin {
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// What a request to run a command is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecReply {
    /// How the command ended.
    pub status: ExitStatus,
    /// The first MiB of its standard output; what is no UTF-8 is replaced.
    pub stdout: String,
    /// The first MiB of its standard error, likewise.
    pub stderr: String,
    /// Whether there was more of either.
    pub truncated: bool,
    /// Whether its own time limit ended it.
    pub timed_out: bool,
}

/// A message to a running command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecCommand {
    /// Bytes for its standard input, as base 64. Answered when the command has room for them.
    Stdin(String),
    /// The end of its standard input.
    CloseStdin,
    /// A signal for it and its children, such as `TERM`, `SIGHUP` or `9`.
    Signal(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_needs_only_arguments_and_refuses_what_it_does_not_know() {
        let spec: ExecSpec = serde_json::from_str(r#"{"argv":["true"]}"#).unwrap();
        assert_eq!(spec, ExecSpec { argv: vec!["true".into()], ..ExecSpec::default() });
        assert_eq!(serde_json::to_string(&spec).unwrap(), r#"{"argv":["true"]}"#);
        let error = serde_json::from_str::<ExecSpec>(r#"{"argv":["true"],"shell":true}"#);
        assert!(error.unwrap_err().to_string().contains("shell"));
    }

    #[test]
    fn stdin_and_commands_are_spelled_as_documented() {
        let stdin = |text| serde_json::from_str::<Stdin>(text).unwrap();
        assert_eq!(stdin(r#""none""#), Stdin::None);
        assert_eq!(stdin(r#""open""#), Stdin::Open);
        assert_eq!(stdin(r#"{"text":"a"}"#), Stdin::Text("a".into()));
        let command = |text| serde_json::from_str::<ExecCommand>(text).unwrap();
        assert_eq!(command(r#""close_stdin""#), ExecCommand::CloseStdin);
        assert_eq!(command(r#"{"stdin":"YQ=="}"#), ExecCommand::Stdin("YQ==".into()));
        assert_eq!(command(r#"{"signal":"TERM"}"#), ExecCommand::Signal("TERM".into()));
    }
}
