//! The event stream.

use remuda_model::{ClassName, NodeId, TaskId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which events to send.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventQuery {
    /// Only of this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub node: Option<NodeId>,
    /// Only of this class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub class: Option<ClassName>,
    /// Only of this task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub task: Option<TaskId>,
    /// Only events of `node`, which must be given, with a higher number; those still kept are
    /// sent first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

/// Data of a server-sent event named `gap`: events are missing from the stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StreamGap {
    /// `slow_consumer` and `interrupted` end the stream; `resumed` opens one that goes on after a
    /// `Last-Event-ID`, which remembers one node only.
    pub reason: String,
    /// The same for people.
    pub message: String,
}
