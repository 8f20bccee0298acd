//! What became of a target.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::NodeId;

/// The one final record of a target. Crosses the wire between workers and control nodes, so its
/// fields only ever grow at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The place of the target in its run, from 0.
    pub index: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// The HTTP status, or the exit code.
    pub status: Option<i32>,
    /// What went wrong, unless the outcome is `ok`.
    pub trouble: Option<Trouble>,
    /// When the last attempt began, in milliseconds since 1970 by the worker's clock.
    pub started_ms: u64,
    /// How long the last attempt took, in microseconds.
    pub duration_us: u64,
    /// How many attempts there were.
    pub attempts: u16,
    /// Who contacted it last.
    pub worker: Option<NodeId>,
    /// The address that was contacted.
    pub address: Option<String>,
    /// The headers that were to be kept.
    pub headers: Vec<(String, String)>,
    /// The body, the answer, or the standard output, as far as it is kept.
    pub body: Vec<u8>,
    /// The standard error, likewise.
    pub stderr: Vec<u8>,
    /// Whether there was more of `body` or `stderr` than is kept.
    pub truncated: bool,
}

impl Record {
    /// A record of a target that was not contacted, or of whose answer nothing is known.
    pub fn without_answer(index: u32, outcome: Outcome, trouble: Trouble) -> Self {
        Self {
            index,
            outcome,
            status: None,
            trouble: Some(trouble),
            started_ms: 0,
            duration_us: 0,
            attempts: 0,
            worker: None,
            address: None,
            headers: Vec::new(),
            body: Vec::new(),
            stderr: Vec::new(),
            truncated: false,
        }
    }
}

/// How a target ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It answered as expected.
    Ok,
    /// It answered otherwise than expected: the status, the exit code, the text.
    Unexpected,
    /// There was no answer, or no whole one.
    Failed,
    /// There was none in time.
    TimedOut,
    /// The policy of the worker forbids to contact it.
    Blocked,
    /// The run was cancelled before there was one.
    Cancelled,
    /// It may have been contacted; its answer, if any, is lost.
    Unknown,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Ok,
        Self::Unexpected,
        Self::Failed,
        Self::TimedOut,
        Self::Blocked,
        Self::Cancelled,
        Self::Unknown,
    ];

    /// The word used in texts and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unexpected => "unexpected",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Blocked => "blocked",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What went wrong at a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What sort of trouble.
    pub kind: TroubleKind,
    /// For people.
    pub message: String,
}

impl Trouble {
    /// Trouble of a kind.
    pub fn new(kind: TroubleKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// What sort of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TroubleKind {
    /// Its name has no address.
    Dns,
    /// Nothing listens there.
    Refused,
    /// There is no way to it.
    Unreachable,
    /// No connection came about in time.
    ConnectTimeout,
    /// The answer did not come, or not whole, in time.
    Timeout,
    /// Its certificate is not believed, or TLS failed.
    Tls,
    /// Its SSH host key is not believed.
    HostKey,
    /// It does not let the run in.
    Auth,
    /// It speaks another language.
    Protocol,
    /// It closed the connection too early.
    Closed,
    /// It redirects too often, or to where it must not.
    Redirect,
    /// The answer has another status than expected.
    Status,
    /// The command ended with another code than 0.
    Exit,
    /// The answer lacks the text that was expected.
    Mismatch,
    /// It said that the job it was given failed.
    Job,
    /// Its job made no progress.
    Stuck,
    /// The policy of the worker forbids it.
    Policy,
    /// The text for this target cannot be made of the template.
    Template,
    /// The worker was lost while it contacted the target.
    WorkerLost,
    /// The run was cancelled.
    Cancelled,
    /// The run took too long.
    Deadline,
    /// A defect, or a lack of something on the worker.
    Internal,
}

impl TroubleKind {
    /// The word used in texts and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::ConnectTimeout => "connect_timeout",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
            Self::HostKey => "host_key",
            Self::Auth => "auth",
            Self::Protocol => "protocol",
            Self::Closed => "closed",
            Self::Redirect => "redirect",
            Self::Status => "status",
            Self::Exit => "exit",
            Self::Mismatch => "mismatch",
            Self::Job => "job",
            Self::Stuck => "stuck",
            Self::Policy => "policy",
            Self::Template => "template",
            Self::WorkerLost => "worker_lost",
            Self::Cancelled => "cancelled",
            Self::Deadline => "deadline",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for TroubleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
