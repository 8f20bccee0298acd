//! Output of tasks as lines of JSON.

use remuda_model::{Failure, TaskEnd, TaskRecord};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::base64_bytes;
use crate::described;

/// Which output to send.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OutputQuery {
    /// The node of the task; see the other task calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub node: Option<remuda_model::NodeId>,
    /// From where on: 0, or the `next` of a line received before.
    #[serde(default)]
    #[param(required = false)]
    pub offset: u64,
    /// Whether to wait for more until the task has ended.
    #[serde(default)]
    #[param(required = false)]
    pub follow: bool,
}

/// One line of a stream of output. The last is `end`, `up_to_date` or `failed`; a stream that
/// ends otherwise was cut off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum OutputLine {
    /// The command runs; only as the first line of `exec`.
    Started {
        /// The task that it is.
        #[schema(value_type = described::Task)]
        task: Box<TaskRecord>,
    },
    /// Standard output.
    Stdout {
        /// At most 64 KiB.
        #[serde(with = "base64_bytes")]
        #[schema(value_type = String, content_encoding = "base64")]
        data: Vec<u8>,
        /// The offset at which to go on after this line.
        next: u64,
    },
    /// Standard error.
    Stderr {
        /// At most 64 KiB.
        #[serde(with = "base64_bytes")]
        #[schema(value_type = String, content_encoding = "base64")]
        data: Vec<u8>,
        /// The offset at which to go on after this line.
        next: u64,
    },
    /// Output is missing here, because the task wrote more than is kept.
    Dropped {
        /// How much of the record.
        bytes: u64,
    },
    /// The task has ended.
    End {
        /// How.
        #[schema(value_type = described::TaskEnd)]
        end: TaskEnd,
    },
    /// All that there is for now; only without `follow`.
    UpToDate,
    /// The stream cannot go on.
    Failed {
        /// Why.
        #[schema(value_type = described::Failure)]
        error: Failure,
    },
}
