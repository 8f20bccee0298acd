//! Work for a worker: requests, tasks and commands.

use remuda_model::{ClassName, Epoch, Failure, TaskId, TaskRecord};
use serde::{Deserialize, Serialize};

/// One call. Its stream ends when the reply is complete; a reset cancels the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Under which ownership it is made; lower than the worker's highest is refused with the code
    /// `stale_epoch`.
    pub epoch: Epoch,
    /// How long the caller will still wait, in milliseconds from the sending.
    pub deadline_ms: u64,
    /// What to do.
    pub op: Op,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// A short call to a job class.
    Request {
        /// The class.
        class: ClassName,
        /// Bytes of the class; JSON text for typed classes.
        payload: Vec<u8>,
    },
    /// Starts a task.
    Start {
        /// The class.
        class: ClassName,
        /// Its id; refused with `exists` when a task of this id is known.
        task: TaskId,
        /// Bytes of the class.
        spec: Vec<u8>,
        /// A request in the shape of a task: accepted wherever requests are, stopped when nobody
        /// has followed its output for ten seconds, forgotten once its output was followed to the
        /// end.
        attached: bool,
    },
    /// A message to a running task.
    Command {
        /// The task.
        task: TaskId,
        /// Bytes of the class.
        payload: Vec<u8>,
    },
    /// Asks a task to end, and ends it by force after the grace.
    Stop {
        /// The task.
        task: TaskId,
        /// In milliseconds.
        grace_ms: u64,
    },
    /// All tasks that the node knows, ended ones included.
    Tasks,
    /// One of them.
    Task {
        /// The task.
        task: TaskId,
    },
    /// Forgets an ended task and its output.
    Forget {
        /// The task.
        task: TaskId,
    },
}

/// The answer to a [`Call`].
pub type Reply = Result<Done, Failure>;

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Done {
    /// Of a request or a command: bytes of the class.
    Payload(Vec<u8>),
    /// Of a request, a command or a start: the job class refused it, or failed. Apart from failures of the
    /// call itself, so that its words are never mistaken for "nothing was sent".
    Refused(Failure),
    /// Of a start: the record of the task that now runs.
    Started(Box<TaskRecord>),
    /// Of a stop or a forget.
    Accepted,
    /// Of `Tasks`.
    Tasks(Vec<TaskRecord>),
    /// Of `Task`.
    Task(Box<TaskRecord>),
}
