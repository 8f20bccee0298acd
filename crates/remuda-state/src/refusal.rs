//! Why a committed change did nothing.

use remuda_model::{
    ClusterId, ErrorKind, Failure, Generation, NodeId, Revision, RunId, ScheduleId, TargetListId,
    TokenId,
};
use serde::{Deserialize, Serialize};

use crate::Limit;

/// A change was committed and refused: the state is as before, on every replica.
///
/// Variants are only ever added at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The cluster has another identity already.
    #[error("this is cluster {0} already")]
    ForeignCluster(ClusterId),
    /// No such node.
    #[error("no node `{0}`")]
    UnknownNode(NodeId),
    /// Only control nodes can be active.
    #[error("node `{0}` is no control node")]
    NotControl(NodeId),
    /// Without it no worker would have an owner.
    #[error("`{0}` is the last active control node")]
    LastControl(NodeId),
    /// The record has changed since it was read.
    #[error("node `{node}` is at revision {found}, not {expected}")]
    RevisionConflict {
        /// The node.
        node: NodeId,
        /// What the change was made for.
        expected: Revision,
        /// What the record has.
        found: Revision,
    },
    /// The announcement is from an earlier boot, or from another machine under the same name.
    #[error("node `{node}` has booted {known} times, and this is boot {offered}")]
    StaleGeneration {
        /// The node.
        node: NodeId,
        /// Of the refused record.
        offered: Generation,
        /// Of the present record.
        known: Generation,
    },
    /// The token id is taken.
    #[error("token `{0}` exists")]
    TokenExists(TokenId),
    /// No such token.
    #[error("no token `{0}`")]
    UnknownToken(TokenId),
    /// The change is too large, or the state is full.
    #[error("more than {0}")]
    TooMuch(Limit),
    /// The log index was applied before. Replicas never do that; it is refused so that a mistake
    /// cannot apply a change twice.
    #[error("log index {index} was applied before: the state is at {applied}")]
    OldIndex {
        /// The index given.
        index: u64,
        /// The index of the state.
        applied: u64,
    },
    /// The name belongs to a node of the other kind. A node never changes its roles.
    #[error("node `{0}` is known with other roles")]
    OtherRoles(NodeId),
    /// Whoever joins needs a name that nobody has.
    #[error("the name `{0}` belongs to a node of the cluster")]
    NameTaken(NodeId),
    /// The node was removed and has not joined anew.
    #[error("node `{0}` was removed from the cluster")]
    Removed(NodeId),
    /// The authority has been changed since it was looked at.
    #[error("the authority is at revision {found}, not {expected}")]
    AuthorityMoved {
        /// What the change was made for.
        expected: Revision,
        /// What the state has.
        found: Revision,
    },
    /// A control node of an older version may still be there.
    #[error("this needs level {needed}, and the cluster is at {level}")]
    LevelTooLow {
        /// From which level on it is possible.
        needed: u16,
        /// The present one.
        level: u16,
    },
    /// The run is kept already.
    #[error("there is a run `{0}`")]
    RunExists(RunId),
    /// Other control nodes keep the run than was thought.
    #[error("run `{0}` is kept by other control nodes now")]
    RunMoved(RunId),
    /// No such list of targets.
    #[error("no target list `{0}`")]
    UnknownTargets(TargetListId),
    /// No such schedule.
    #[error("no schedule `{0}`")]
    UnknownSchedule(ScheduleId),
    /// The name of the schedule is taken.
    #[error("schedule `{0}` exists")]
    ScheduleExists(ScheduleId),
    /// The schedule has changed since it was looked at.
    #[error("schedule `{schedule}` is at revision {found}, not {expected}")]
    ScheduleMoved {
        /// The schedule.
        schedule: ScheduleId,
        /// What the change was made for.
        expected: Revision,
        /// What the state has.
        found: Revision,
    },
}

impl Refusal {
    /// The stable word for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ForeignCluster(_) => "foreign_cluster",
            Self::UnknownNode(_) => "unknown_node",
            Self::NotControl(_) => "not_control",
            Self::LastControl(_) => "last_control",
            Self::RevisionConflict { .. } => "revision_conflict",
            Self::StaleGeneration { .. } => "stale_generation",
            Self::TokenExists(_) => "token_exists",
            Self::UnknownToken(_) => "unknown_token",
            Self::TooMuch(_) => "too_much",
            Self::OldIndex { .. } => "old_index",
            Self::OtherRoles(_) => "other_roles",
            Self::NameTaken(_) => "node_id_in_use",
            Self::Removed(_) => "node_removed",
            Self::AuthorityMoved { .. } => "authority_moved",
            Self::LevelTooLow { .. } => "level_too_low",
            Self::RunExists(_) => "run_exists",
            Self::RunMoved(_) => "run_moved",
            Self::UnknownTargets(_) => "unknown_targets",
            Self::UnknownSchedule(_) => "unknown_schedule",
            Self::ScheduleExists(_) => "schedule_exists",
            Self::ScheduleMoved { .. } => "schedule_moved",
        }
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownNode(_)
            | Self::UnknownToken(_)
            | Self::UnknownTargets(_)
            | Self::UnknownSchedule(_) => ErrorKind::NotFound,
            Self::TokenExists(_) | Self::ScheduleExists(_) | Self::RunExists(_) => {
                ErrorKind::Exists
            }
            Self::TooMuch(_) => ErrorKind::NoCapacity,
            Self::NotControl(_) => ErrorKind::Invalid,
            Self::OldIndex { .. } => ErrorKind::Internal,
            Self::ForeignCluster(_)
            | Self::LastControl(_)
            | Self::RevisionConflict { .. }
            | Self::StaleGeneration { .. }
            | Self::OtherRoles(_)
            | Self::NameTaken(_)
            | Self::AuthorityMoved { .. }
            | Self::LevelTooLow { .. }
            | Self::ScheduleMoved { .. }
            | Self::RunMoved(_) => ErrorKind::Conflict,
            Self::Removed(_) => ErrorKind::Forbidden,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::ForeignCluster(_) => Some("use an empty data directory for another cluster"),
            Self::UnknownNode(_) => Some("`remuda node list` shows the nodes of the cluster"),
            Self::LastControl(_) => Some("add another control node first"),
            Self::RevisionConflict { .. } => Some("read it again and repeat the change"),
            Self::StaleGeneration { .. } => Some(
                "give each machine its own name; a machine whose data directory was lost comes \
                 back after `remuda node remove`",
            ),
            Self::OtherRoles(_) => {
                Some("give the new node another name, or remove the old one first")
            }
            Self::NameTaken(_) => Some(
                "give the new node another name; a node that has lost its data directory joins \
                 after `remuda node remove`",
            ),
            Self::Removed(_) => {
                Some("to bring it back, let it join with an empty data directory and a join token")
            }
            Self::UnknownToken(_) => Some("`remuda token list` shows the tokens"),
            Self::AuthorityMoved { .. } | Self::ScheduleMoved { .. } => {
                Some("look again and repeat the change")
            }
            Self::UnknownTargets(_) => Some("`remuda fanout targets list` shows what is kept"),
            Self::UnknownSchedule(_) => Some("`remuda fanout schedule list` shows the schedules"),
            Self::ScheduleExists(_) => {
                Some("take another name, or remove it first: `remuda fanout schedule remove`")
            }
            Self::LevelTooLow { .. } => {
                Some("upgrade all control nodes; a few seconds later the cluster can do it")
            }
            _ => None,
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let failure = Self::new(refusal.kind(), refusal.to_string()).code(refusal.code());
        match refusal.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}
