//! What can go wrong, one type for each operation.

use std::{io, path::PathBuf};

use remuda_model::{Chain, ClusterId, ErrorKind, Failure, NodeId};
use remuda_state::{Refusal, UnknownChange};

/// The replica cannot start from its directory. Nothing in it was deleted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A file or directory cannot be read or written.
    #[error("cannot use {path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process has the directory open.
    #[error("{dir} is in use by another process")]
    Locked {
        /// Which.
        dir: PathBuf,
    },
    /// The directory belongs to another node.
    #[error("{dir} belongs to node `{found}`, not `{expected}`")]
    WrongNode {
        /// Which.
        dir: PathBuf,
        /// Whose it is.
        found: NodeId,
        /// Who opened it.
        expected: NodeId,
    },
    /// Files of two clusters are in the directory.
    #[error("{dir} belongs to cluster {expected}, and its state is of cluster {found}")]
    ForeignCluster {
        /// Which.
        dir: PathBuf,
        /// The cluster of the directory.
        expected: ClusterId,
        /// The cluster of the state in it.
        found: ClusterId,
    },
    /// A file is damaged.
    #[error("{file} is damaged: {what}")]
    Corrupt {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A newer version wrote the file.
    #[error("{file} has format {version}, which this version does not know")]
    Newer {
        /// Which.
        file: PathBuf,
        /// Its format.
        version: u32,
    },
    /// A newer version wrote the log.
    #[error("the log in {dir} holds what this version does not know")]
    NewerLog {
        /// Which.
        dir: PathBuf,
        /// The first such change.
        #[source]
        change: UnknownChange,
    },
    /// The log starts after the newest usable snapshot.
    #[error("{dir} misses log entries {from} to {to}: its newest snapshot is lost or damaged")]
    Gap {
        /// Which.
        dir: PathBuf,
        /// The first missing entry.
        from: u64,
        /// The last missing entry.
        to: u64,
    },
    /// The node has voted before, and its log is gone. It could vote twice.
    #[error("the log in {dir} is lost")]
    LogLost {
        /// Which.
        dir: PathBuf,
    },
    /// The periods contradict each other.
    #[error("invalid timing: {0}")]
    Timing(String),
    /// The log holds what cannot be replayed.
    #[error("cannot replay the log in {dir}: {what}")]
    Replay {
        /// Which.
        dir: PathBuf,
        /// What went wrong.
        what: String,
    },
}

impl OpenError {
    /// What an operator can do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Io { .. } => "check owner, permissions and free space",
            Self::Locked { .. } => "stop the other process, or use another data directory",
            Self::WrongNode { .. } | Self::ForeignCluster { .. } => {
                "use the data directory that belongs to this node, or an empty one"
            }
            Self::Newer { .. } | Self::NewerLog { .. } => {
                "run the newer version of remuda again; a cluster that was upgraded cannot go back"
            }
            Self::Timing(_) => "heartbeat < shortest election time < longest election time",
            Self::Corrupt { .. }
            | Self::Gap { .. }
            | Self::LogLost { .. }
            | Self::Replay { .. } => {
                "restore the file from a backup of this very node, or remove this control node \
                 from the cluster, move the directory away and let the node join again"
            }
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let kind = match error {
            OpenError::Timing(_) => ErrorKind::Invalid,
            OpenError::WrongNode { .. } | OpenError::ForeignCluster { .. } => ErrorKind::Conflict,
            _ => ErrorKind::Unavailable,
        };
        let code = match error {
            OpenError::Io { .. } => "io",
            OpenError::Locked { .. } => "locked",
            OpenError::WrongNode { .. } => "wrong_node",
            OpenError::ForeignCluster { .. } => "foreign_cluster",
            OpenError::Corrupt { .. } => "corrupt",
            OpenError::Newer { .. } => "newer_format",
            OpenError::NewerLog { .. } => "newer_log",
            OpenError::Gap { .. } => "log_gap",
            OpenError::LogLost { .. } => "log_lost",
            OpenError::Timing(_) => "invalid_timing",
            OpenError::Replay { .. } => "replay",
        };
        Self::new(kind, Chain(&error).to_string()).code(code).hint(error.hint())
    }
}

/// A command was not committed, or nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Only the leader can. Nothing was done.
    #[error("this control node is not the leader")]
    NotLeader {
        /// The leader, if this node knows it.
        leader: Option<NodeId>,
    },
    /// The deadline passed without an answer of a majority. The outcome is unknown: repeat it under
    /// the same command id.
    #[error("no majority of the control nodes answered in time")]
    NoQuorum,
    /// The replica has stopped. The outcome is unknown.
    #[error("the replica has stopped")]
    Stopped,
    /// Too many commands wait already. Nothing was done.
    #[error("too many changes wait to be committed")]
    Busy,
    /// The command is larger than [`remuda_state::MAX_COMMAND_BYTES`]. Nothing was done.
    #[error("the change has {0} bytes, more than fit in one log entry")]
    TooLarge(usize),
    /// Another control node is newer than this one. Nothing was done.
    #[error(transparent)]
    Unknown(#[from] UnknownChange),
    /// A control node that would not understand it may still be there. Nothing was done.
    #[error("this needs level {needed}, and the cluster is at {level}")]
    LevelTooLow {
        /// From which level on it is possible.
        needed: u16,
        /// The present one.
        level: u16,
    },
}

impl From<ProposeError> for Failure {
    fn from(error: ProposeError) -> Self {
        let (kind, code) = match error {
            ProposeError::NotLeader { .. } => (ErrorKind::Unavailable, "not_leader"),
            ProposeError::NoQuorum => (ErrorKind::OutcomeUnknown, "no_quorum"),
            ProposeError::Stopped => (ErrorKind::OutcomeUnknown, "stopped"),
            ProposeError::Busy => (ErrorKind::Unavailable, "busy"),
            ProposeError::TooLarge(_) => (ErrorKind::NoCapacity, "too_large"),
            ProposeError::Unknown(_) => (ErrorKind::Invalid, "unknown_change"),
            ProposeError::LevelTooLow { needed, level } => {
                return Refusal::LevelTooLow { needed, level }.into();
            }
        };
        Self::new(kind, error.to_string()).code(code)
    }
}

/// The cluster could not be founded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BootstrapError {
    /// The directory belongs to a cluster already.
    #[error("this node belongs to a cluster already")]
    Initialized,
    /// One of the first commands was refused.
    #[error("{0}")]
    Refused(Refusal),
    /// The node did not elect itself, or could not commit.
    #[error("cannot commit the first changes")]
    Propose(#[source] ProposeError),
}

impl From<BootstrapError> for Failure {
    fn from(error: BootstrapError) -> Self {
        match error {
            BootstrapError::Initialized => Self::new(ErrorKind::Conflict, error.to_string())
                .code("initialized")
                .hint("use an empty data directory to found another cluster"),
            BootstrapError::Refused(refusal) => refusal.into(),
            BootstrapError::Propose(error) => error.into(),
        }
    }
}

/// The members of the replication could not be changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// No commitment; see there.
    #[error(transparent)]
    Propose(#[from] ProposeError),
    /// Another change is under way. Nothing was done.
    #[error("another change of the members is under way")]
    InProgress,
    /// The node does not replicate yet. Nothing was done.
    #[error("control node `{0}` does not replicate yet")]
    UnknownNode(NodeId),
    /// The node has not caught up with the log. Nothing was done.
    #[error("control node `{0}` has not caught up yet")]
    Behind(NodeId),
    /// Somebody must vote. Nothing was done.
    #[error("at least one control node must vote")]
    NoVoter,
}

impl From<MembershipError> for Failure {
    fn from(error: MembershipError) -> Self {
        let (kind, code) = match &error {
            MembershipError::Propose(error) => return error.clone().into(),
            MembershipError::InProgress => (ErrorKind::Conflict, "membership_in_progress"),
            MembershipError::UnknownNode(_) => (ErrorKind::NotFound, "unknown_member"),
            MembershipError::Behind(_) => (ErrorKind::Unavailable, "behind"),
            MembershipError::NoVoter => (ErrorKind::Invalid, "no_voter"),
        };
        Self::new(kind, error.to_string()).code(code)
    }
}

/// The state did not reach the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WaitError {
    /// Not in time.
    #[error("the state has not caught up in time")]
    TimedOut,
    /// It never will.
    #[error("the replica has stopped")]
    Stopped,
}

impl From<WaitError> for Failure {
    fn from(error: WaitError) -> Self {
        Self::new(ErrorKind::Unavailable, error.to_string()).code("behind")
    }
}
