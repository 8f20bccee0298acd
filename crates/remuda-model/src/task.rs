//! Tasks as users see them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ClassName, Generation, NodeId, TaskId};

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// It runs.
    Running,
    /// It was asked to stop and has not ended yet.
    Stopping,
    /// It has ended; how is in [`TaskRecord::end`].
    Ended,
}

impl TaskState {
    /// The word used in texts and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Ended => "ended",
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl ExitStatus {
    /// Whether the process says that all went well.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskEnd {
    /// It finished by itself, with a result of its class (JSON text).
    Finished {
        /// The result.
        result: String,
    },
    /// Its process ended.
    Exited {
        /// With this status.
        status: ExitStatus,
        /// Whether somebody had asked it to stop.
        stopped: bool,
        /// Whether its own time limit ended it.
        timed_out: bool,
    },
    /// It ended because it was asked to.
    Stopped,
    /// Its class reports an error, or its code panicked.
    Failed {
        /// What happened.
        message: String,
    },
    /// Nobody saw it end: its agent or its holder died.
    Lost {
        /// What is known.
        message: String,
    },
}

impl TaskEnd {
    /// Whether the task did what it was started for.
    pub fn success(&self) -> bool {
        match self {
            Self::Finished { .. } => true,
            Self::Exited { status, timed_out, .. } => status.success() && !timed_out,
            Self::Stopped | Self::Failed { .. } | Self::Lost { .. } => false,
        }
    }
}

impl fmt::Display for TaskEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished { .. } => f.write_str("finished"),
            Self::Exited { status, timed_out: true, .. } => write!(f, "timed out ({status})"),
            Self::Exited { status, stopped: true, .. } => write!(f, "stopped ({status})"),
            Self::Exited { status, .. } => status.fmt(f),
            Self::Stopped => f.write_str("stopped"),
            Self::Failed { message } => write!(f, "failed: {message}"),
            Self::Lost { message } => write!(f, "lost: {message}"),
        }
    }
}

/// All that a node keeps about one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// Its id, unique for its node.
    pub id: TaskId,
    /// Its job class.
    pub class: ClassName,
    /// The node on which it runs.
    pub node: NodeId,
    /// The boot of the node in which it was started.
    pub generation: Generation,
    /// Where it is in its life.
    pub state: TaskState,
    /// How it ended, once it has.
    pub end: Option<TaskEnd>,
    /// A line for people: the command line of a process, or what the class says.
    pub summary: String,
    /// When it started, in milliseconds since 1970 by the node's clock.
    pub started_ms: u64,
    /// When it ended, likewise.
    pub ended_ms: Option<u64>,
}
