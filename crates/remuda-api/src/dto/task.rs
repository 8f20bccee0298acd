//! Tasks and commands to run.

use std::collections::BTreeMap;

use remuda_model::{ClassName, Digest, NodeId, TaskId, TaskRecord};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::base64_bytes;
use crate::described;

/// Query that says where a task runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct NodeQuery {
    /// The node of the task. Without it, all nodes are asked; an id that is in use on more than
    /// one of them is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub node: Option<NodeId>,
}

/// Which tasks to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TaskQuery {
    /// Only of this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub node: Option<NodeId>,
    /// Only of this class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub class: Option<ClassName>,
    /// Only those that have not ended.
    #[serde(default)]
    #[param(required = false)]
    pub running: bool,
}

/// Tasks of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskList {
    /// Those that were found.
    #[schema(value_type = Vec<described::Task>)]
    pub tasks: Vec<TaskRecord>,
    /// Nodes that could not be asked; their tasks are missing above.
    #[schema(value_type = Vec<String>)]
    pub unreachable: Vec<NodeId>,
}

/// Starts a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartTask {
    /// Where.
    #[schema(value_type = String)]
    pub node: NodeId,
    /// Of which class.
    #[schema(value_type = String)]
    pub class: ClassName,
    /// What it needs to know, in the words of the class.
    #[serde(default)]
    #[schema(required = false)]
    pub spec: Value,
    /// Its id; a fresh one unless given. Giving one makes it safe to repeat the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub id: Option<TaskId>,
}

/// A message to a running task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandRequest {
    /// In the words of its class.
    pub payload: Value,
    /// How long to wait for the answer: 30,000 unless said otherwise, at most a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// Asks a task to end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StopTask {
    /// After this time it is ended by force: 10,000 unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_ms: Option<u64>,
}

/// Runs a command on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecRequest {
    /// The program and its arguments; no shell reads them. With `file` only the arguments.
    #[serde(default)]
    #[schema(example = json!(["uname", "-a"]))]
    pub argv: Vec<String>,
    /// Runs a file that the node keeps by its digest, in a folder of its own that goes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<ExecFile>,
    /// Runs the command in a fresh clone of a repository, which goes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<ExecRepository>,
    /// Environment variables to set.
    #[serde(default)]
    #[schema(required = false)]
    pub env: BTreeMap<String, String>,
    /// Whether to start from an empty environment instead of the agent's.
    #[serde(default)]
    #[schema(required = false)]
    pub clear_env: bool,
    /// The working directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// The user to run as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What the command reads from its standard input, which then ends.
    #[serde(
        default,
        with = "base64_bytes::optional",
        skip_serializing_if = "Option::is_none",
        rename = "stdin_base64"
    )]
    #[schema(value_type = Option<String>, content_encoding = "base64")]
    pub stdin: Option<Vec<u8>>,
    /// Keeps the standard input open for commands to the task: `{"stdin":"BASE64"}` and
    /// `"close_stdin"`. Excludes `stdin_base64`.
    #[serde(default)]
    #[schema(required = false)]
    pub stdin_open: bool,
    /// Ends the command after this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// How much output is kept; the oldest goes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_bytes: Option<u64>,
    /// Leaves the command running as a task and answers with its record, instead of streaming
    /// its output and stopping it when the caller goes away.
    #[serde(default)]
    #[schema(required = false)]
    pub detach: bool,
}

/// A file to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecFile {
    /// Its digest. `POST /v1/files` without a path gives nodes what they are to run.
    #[schema(value_type = String)]
    pub digest: Digest,
    /// The name under which it runs.
    pub name: String,
}

/// A repository to clone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecRepository {
    /// `https://HOST/PATH`, `ssh://USER@HOST/PATH` or `USER@HOST:PATH`.
    pub url: String,
    /// A branch, a tag or a full commit id; what the repository shows first unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The folder of the repository in which the commands run; its top unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
    /// Commands that must succeed before the command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pre: Vec<Vec<String>>,
    /// Commands that run after it, however it has ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub post: Vec<Vec<String>>,
}
