//! The words of `remuda_model` as the API describes them.
//!
//! `remuda_model` knows no API, so its records are described here a second time; only the
//! descriptions are used. The tests hold answers against them, so that the two cannot drift apart.

#![expect(dead_code, reason = "only the schemas of these types are used")]

mod run;
mod spec;

pub(crate) use self::{
    run::{Diff, Groups, Header, Outcome, Run, Trouble},
    spec::{RunSecrets, RunSpec},
};

use std::collections::BTreeMap;

use utoipa::ToSchema;

/// A failure. The HTTP status follows from its kind.
#[derive(ToSchema)]
pub(crate) struct Failure {
    kind: ErrorKind,
    /// A stable word for machines; the kind unless it says more.
    code: String,
    /// For people.
    message: String,
    /// What to try, for people.
    hint: Option<String>,
}

/// What sort of failure it is.
///
/// `outcome_unknown` and `timed_out` may have happened; after the kinds up to `not_connected`
/// nothing was done.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum ErrorKind {
    Invalid,
    Unauthenticated,
    Forbidden,
    NotFound,
    Exists,
    Conflict,
    NoCapacity,
    Unavailable,
    NotConnected,
    OutcomeUnknown,
    TimedOut,
    Failed,
    Internal,
}

/// The states of a node.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum NodeStatus {
    Launching,
    Connecting,
    Ready,
    Standby,
    Stopping,
    Stopped,
    NotConnected,
}

/// The roles of a node.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum Role {
    Control,
    Worker,
}

/// A node.
#[derive(ToSchema)]
pub(crate) struct Node {
    /// Its name.
    id: String,
    roles: Vec<Role>,
    status: NodeStatus,
    /// The version it runs.
    version: String,
    /// Its boot counter.
    generation: u64,
    /// Where it can be dialled; empty for a node that only dials.
    addresses: Vec<String>,
    /// Its labels, such as `core;group=group1,meta2`.
    labels: String,
    /// Facts that it found about itself, such as `os` and `cpu.arch`.
    attributes: BTreeMap<String, String>,
    /// Its last measurements, when it is connected.
    #[schema(required = true)]
    stats: Option<NodeStats>,
    /// The control node that owns it.
    #[schema(required = true)]
    owner: Option<String>,
    /// The control node through which the owner reaches it, when not directly.
    #[schema(required = true)]
    via: Option<String>,
    /// Last measured round trip between owner and node, in microseconds.
    #[schema(required = true)]
    rtt_us: Option<u64>,
    /// Tasks that run on it.
    running_tasks: u32,
}

/// What a node measures of itself.
#[derive(ToSchema)]
pub(crate) struct NodeStats {
    /// Logical processors.
    cpus: u32,
    /// Load averages over 1, 5 and 15 minutes.
    #[schema(min_items = 3, max_items = 3)]
    load: Vec<f64>,
    /// Memory in bytes.
    mem_total: u64,
    /// Memory that programs could still take, in bytes.
    mem_available: u64,
    /// Size of the file system of the data directory, in bytes.
    disk_total: u64,
    /// Free bytes there.
    disk_available: u64,
    /// Seconds since the operating system started.
    uptime_s: u64,
    /// Resident memory of the agent itself, in bytes.
    agent_rss: u64,
}

/// Where a task is in its life.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum TaskState {
    Running,
    Stopping,
    Ended,
}

/// How a process ended.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum ExitStatus {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

/// How a task ended.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum TaskEnd {
    /// It finished by itself.
    Finished {
        /// With this result, JSON text of its class.
        result: String,
    },
    /// Its process ended.
    Exited {
        status: ExitStatus,
        /// Whether somebody had asked it to stop.
        stopped: bool,
        /// Whether its own time limit ended it.
        timed_out: bool,
    },
    /// It ended because it was asked to.
    Stopped,
    /// Its class reports an error.
    Failed {
        /// What happened.
        message: String,
    },
    /// Nobody saw it end.
    Lost {
        /// What is known.
        message: String,
    },
}

/// All that is kept about a task.
#[derive(ToSchema)]
pub(crate) struct Task {
    /// Unique for its node.
    id: String,
    /// Its job class.
    class: String,
    /// The node on which it runs.
    node: String,
    /// The boot of the node in which it was started.
    generation: u64,
    state: TaskState,
    /// How it ended, once it has.
    #[schema(required = true)]
    end: Option<TaskEnd>,
    /// A line for people.
    summary: String,
    /// When it started, in milliseconds since 1970 by the node's clock.
    started_ms: u64,
    /// When it ended, likewise.
    #[schema(required = true)]
    ended_ms: Option<u64>,
}

/// One thing that happened on a node.
#[derive(ToSchema)]
pub(crate) struct Event {
    /// Where it happened.
    node: String,
    /// Counts the events of the node over all its boots.
    seq: u64,
    /// The boot of the node in which it happened.
    generation: u64,
    /// When, in milliseconds since 1970 by the node's clock.
    time_ms: u64,
    body: EventBody,
}

/// What happened.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum EventBody {
    /// The node has another status.
    #[schema(title = "NodeStatusEvent")]
    NodeStatus { status: NodeStatus },
    /// A task runs.
    #[schema(title = "TaskStartedEvent")]
    TaskStarted { class: String, task: String },
    /// A task has ended.
    #[schema(title = "TaskEndedEvent")]
    TaskEnded { class: String, task: String, end: TaskEnd },
    /// A job class or one of its tasks says something.
    #[schema(title = "ClassEvent")]
    Class {
        class: String,
        /// The task, when one of them speaks.
        #[schema(required = true)]
        task: Option<String>,
        /// What it says, as JSON text.
        payload: String,
    },
    /// Events of the node are missing.
    #[schema(title = "GapEvent")]
    Gap {
        /// The first missing number.
        from: u64,
        /// The last missing number.
        to: u64,
    },
}
