//! What the API takes and gives, apart from the words of `remuda_model`, which travel as they are.
//!
//! Requests refuse fields that they do not know, so that a misspelt one is not silently ignored.

mod authority;
mod base64_bytes;
mod cluster;
mod event;
mod fanout;
mod file;
mod node;
mod output;
mod schedule;
mod target_list;
mod task;
mod token;

pub use authority::{Authority, Ca, RotateAuthority, RotationStep};
pub use cluster::{Cluster, ControlNode, Health, JoinToken, Problem, Ready, Version};
pub use event::{EventQuery, StreamGap};
pub use fanout::{
    CreateRun, DiffQuery, GroupQuery, RecordLine, RecordQuery, RunList, RunRecord, RunTargets,
};
pub use file::{
    Artifact, ContentQuery, FileLine, FileQuery, FileSource, NodeFile, NodePath, SendFile,
    UploadQuery,
};
pub use node::{
    AddNode, AddedNode, ClassReply, ClassRequest, ForceQuery, LabelChange, LabelText, Nodes,
    NodesQuery, ReadQuery, SetStatus,
};
pub use output::{OutputLine, OutputQuery};
pub use schedule::{
    CreateSchedule, Schedule, ScheduleDetail, ScheduleError, ScheduleTargets, ScheduledRun,
    Schedules,
};
pub use target_list::{SaveTargets, TargetList, TargetListInfo, TargetLists};
pub use task::{
    CommandRequest, ExecFile, ExecRepository, ExecRequest, NodeQuery, StartTask, StopTask,
    TaskList, TaskQuery,
};
pub use token::{CreateToken, CreatedToken, Scope, Token, Tokens};

use remuda_model::Failure;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::described;

/// The body of every answer that reports a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong and what to do about it.
    #[schema(value_type = described::Failure)]
    pub error: Failure,
}

/// How fresh an answer has to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// Sees every change that was acknowledged before the call; needs the leader.
    #[default]
    Linearizable,
    /// What this control node knows now; answers without a leader as well.
    Stale,
}
