//! What nodes report.

use serde::{Deserialize, Serialize};

use crate::{ClassName, Generation, NodeId, NodeStatus, TaskEnd, TaskId};

/// One thing that happened on a node.
///
/// Events of a node arrive in order and at least once; (`generation`, `seq`) tells them apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Where it happened.
    pub node: NodeId,
    /// Counts the events of the node without holes over all its boots.
    pub seq: u64,
    /// The boot of the node in which it happened.
    pub generation: Generation,
    /// When, in milliseconds since 1970 by the node's clock.
    pub time_ms: u64,
    /// What.
    pub body: EventBody,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventBody {
    /// The node has another status.
    NodeStatus {
        /// The new one.
        status: NodeStatus,
    },
    /// A task runs.
    TaskStarted {
        /// Its class.
        class: ClassName,
        /// Its id.
        task: TaskId,
    },
    /// A task has ended.
    TaskEnded {
        /// Its class.
        class: ClassName,
        /// Its id.
        task: TaskId,
        /// How.
        end: TaskEnd,
    },
    /// A job class or one of its tasks says something (JSON text).
    Class {
        /// The class.
        class: ClassName,
        /// The task, when one of them speaks.
        task: Option<TaskId>,
        /// What it says.
        payload: String,
    },
    /// Events are missing: from this number to the one before the next event.
    Gap {
        /// The first missing number.
        from: u64,
        /// The last missing number.
        to: u64,
    },
}

impl EventBody {
    /// The class that the event concerns.
    pub fn class(&self) -> Option<&ClassName> {
        match self {
            Self::TaskStarted { class, .. }
            | Self::TaskEnded { class, .. }
            | Self::Class { class, .. } => Some(class),
            Self::NodeStatus { .. } | Self::Gap { .. } => None,
        }
    }

    /// The task that the event concerns.
    pub fn task(&self) -> Option<&TaskId> {
        match self {
            Self::TaskStarted { task, .. } | Self::TaskEnded { task, .. } => Some(task),
            Self::Class { task, .. } => task.as_ref(),
            Self::NodeStatus { .. } | Self::Gap { .. } => None,
        }
    }
}
