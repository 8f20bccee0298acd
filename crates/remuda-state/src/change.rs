//! The registry of changes: what may happen to the state, each under a number for ever.
//!
//! On disk and on links a change is `(number, bytes of its fields)`, so that a version that does not
//! know a number can say which one it was. Numbers are only ever added. Fields of a number never
//! change: a change with another field is another number.
//!
//! | number | change | fields | level |
//! |---:|---|---|---:|
//! | 1 | `Init` | [`ClusterRecord`] | 1 |
//! | 2 | `PutNode` | [`NodeRecord`] | 1 |
//! | 3 | `SetLabels` | node, labels, `if_revision` | 1 |
//! | 4 | `SetActive` | node, active | 1 |
//! | 5 | `RemoveNode` | node, `now_ms` | 1 |
//! | 6 | `CreateToken` | [`TokenRecord`] | 1 |
//! | 7 | `RevokeToken` | token id | 1 |
//! | 8 | `Revoke` | node, serial | 1 |
//! | 9 | `IssueCertificate` | node, [`Certificate`], joins, `now_ms` | 1 |
//! | 10 | `RaiseLevel` | level | that level |
//! | 11 | `SetAuthority` | [`NewAuthority`] | 2 |
//! | 12 | `FollowAuthority` | revision, nodes | 2 |
//! | 13 | several at once: [`Batch`](crate::Batch) | commands | 2 |
//! | 14 | `PutRun` | run, incarnation, coordinator, standby, `if_revision` | 2 |
//! | 15 | `RemoveRun` | run, `if_revision` | 2 |
//! | 32 | `PutTargets` | list, lines, targets, `now_ms` | 2 |
//! | 33 | `RemoveTargets` | list | 2 |
//! | 34 | `CreateSchedule` | [`ScheduleRecord`], paused | 2 |
//! | 35 | `RemoveSchedule` | schedule | 2 |
//! | 36 | `PauseSchedule` | schedule, paused, `now_ms` | 2 |
//! | 37 | `ReachSchedule` | [`Reached`] | 2 |
//! | 38 | `SettleSchedule` | schedule, run, [`Settled`], `now_ms` | 2 |
//!
//! A change is written only in a cluster whose level is at least that of the change
//! ([`ClusterState::level`](crate::ClusterState::level)); `RaiseLevel` itself is written by a
//! leader that has seen all control nodes speak the new level.
//!
//! Numbers from 0x8000 may be skipped by versions that do not know them: their outcome must not
//! matter to any other change. Every other unknown number stops a replica
//! ([`Change::understood`]), because skipping it would make replicas differ.

use remuda_model::{Labels, NodeId, Release, Revision, RunId, ScheduleId, TargetListId, TokenId};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use crate::{
    Certificate, ClusterRecord, Limit, NewAuthority, NodeRecord, Reached, ScheduleRecord, Settled,
    TokenRecord, codec, limits,
};

/// The bit of a number that lets older versions skip the change.
const IGNORABLE: u16 = 0x8000;

/// One thing that happens to the state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// The cluster gets its identity.
    Init(ClusterRecord),
    /// A node presents itself: the record is made, or its announced fields are replaced.
    ///
    /// `active`, `created` and `modified` of a record that exists are kept; its roles are for
    /// life.
    PutNode(NodeRecord),
    /// A node's labels are replaced.
    SetLabels {
        /// The node.
        node: NodeId,
        /// All its labels from now on.
        labels: Labels,
        /// Only when the record was last changed at this revision.
        if_revision: Option<Revision>,
    },
    /// A control node starts or ceases to own workers.
    SetActive {
        /// The control node.
        node: NodeId,
        /// Whether it may own workers.
        active: bool,
    },
    /// A node is forgotten and kept out: all its certificates are revoked, and no record can be
    /// made under its name until it joins anew. An active control node ceases to own workers.
    RemoveNode {
        /// The node.
        node: NodeId,
        /// The time of the decision, in milliseconds since 1970.
        now_ms: u64,
    },
    /// An API token is made.
    CreateToken(TokenRecord),
    /// An API token ends.
    RevokeToken(TokenId),
    /// A node certificate is no longer accepted.
    Revoke {
        /// Whose certificate.
        node: NodeId,
        /// Its serial number.
        serial: Vec<u8>,
    },
    /// A node gets a certificate. Committed before the node has it, so that every certificate in
    /// use can be revoked.
    IssueCertificate {
        /// Whose.
        node: NodeId,
        /// Which.
        certificate: Certificate,
        /// Whether the node joins by the join secret alone: only under a name that nobody has. A
        /// node that was removed may come back so. Otherwise it renews, and must be known.
        joins: bool,
        /// The time of the issue, in milliseconds since 1970.
        now_ms: u64,
    },
    /// Every control node speaks this level, and no older one comes back.
    RaiseLevel {
        /// The level, which is a protocol version; never goes back.
        level: u16,
    },
    /// The authority is rotated, by one step.
    SetAuthority(Box<NewAuthority>),
    /// Nodes have done what the present step of a rotation asks of them.
    FollowAuthority {
        /// Which authority they follow.
        revision: Revision,
        /// Which nodes.
        nodes: Vec<NodeId>,
    },
    /// It is said which control nodes keep a fan-out run: the one that carries it out and the one
    /// that has the second copy.
    PutRun {
        /// The run.
        run: RunId,
        /// Tells it from an earlier or later one of the same name.
        incarnation: u64,
        /// Who carries it out.
        coordinator: NodeId,
        /// Who has the second copy.
        standby: Option<NodeId>,
        /// Only when the record was last changed at this revision; `None`: only when there is none.
        if_revision: Option<Revision>,
    },
    /// Nobody keeps the run any more.
    RemoveRun {
        /// The run.
        run: RunId,
        /// Only when the record was last changed at this revision.
        if_revision: Revision,
    },
    /// A list of targets is kept under a name, in place of what was there.
    PutTargets {
        /// Its name.
        list: TargetListId,
        /// As in a file of targets.
        lines: String,
        /// How many targets they were when somebody read them.
        targets: u32,
        /// The time of the change, in milliseconds since 1970.
        now_ms: u64,
    },
    /// A list of targets is forgotten, also when schedules name it.
    RemoveTargets(TargetListId),
    /// A schedule is made.
    CreateSchedule {
        /// What it is.
        record: Box<ScheduleRecord>,
        /// Whether it begins nothing until it is resumed.
        paused: bool,
    },
    /// A schedule is forgotten; its runs stay.
    RemoveSchedule(ScheduleId),
    /// A schedule begins nothing any more, or goes on.
    PauseSchedule {
        /// Which.
        schedule: ScheduleId,
        /// Whether it is paused from now on.
        paused: bool,
        /// The time of the change, in milliseconds since 1970. What was due earlier is not made up
        /// for.
        now_ms: u64,
    },
    /// The time of a schedule has come.
    ReachSchedule(Box<Reached>),
    /// The control node that begins the run of a schedule says what has come of it.
    SettleSchedule {
        /// Which schedule.
        schedule: ScheduleId,
        /// Its run. About another one than the state has, this means nothing.
        run: RunId,
        /// What has come of it.
        settled: Settled,
        /// The time of the change, in milliseconds since 1970.
        now_ms: u64,
    },
    /// A change of a newer version. It has no effect.
    Unknown {
        /// Its number.
        number: u16,
        /// Its fields, unread.
        fields: Vec<u8>,
    },
}

/// One entry of the log: a change, made at most once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Chosen at random by whoever wants to be able to repeat the command: a repeated id returns
    /// the first outcome and changes nothing, as long as it is among the last
    /// [`window`](crate::window) ids.
    pub id: Option<[u8; 16]>,
    /// What happens.
    pub change: Change,
}

impl Command {
    /// A command that must not be repeated.
    pub fn once(change: Change) -> Self {
        Self { id: None, change }
    }

    /// A command that may be repeated under its id.
    pub fn with_id(id: [u8; 16], change: Change) -> Self {
        Self { id: Some(id), change }
    }
}

/// A newer version wrote a change that must not be skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("change number {0} is of a newer version of remuda")]
pub struct UnknownChange(pub u16);

impl Change {
    /// Whether this version may apply the change.
    ///
    /// # Errors
    ///
    /// When a newer version wrote it and it must not be skipped; a replica has to stop before it.
    pub fn understood(&self) -> Result<(), UnknownChange> {
        self.understood_by(Release::CURRENT.protocol)
    }

    /// Whether a version that speaks this protocol version and older ones may apply the change.
    ///
    /// # Errors
    ///
    /// As [`understood`](Self::understood).
    pub fn understood_by(&self, protocol: u16) -> Result<(), UnknownChange> {
        let unknown = match self {
            Self::Unknown { number, .. } => number & IGNORABLE == 0,
            known => known.level() > protocol,
        };
        if unknown { Err(UnknownChange(self.number())) } else { Ok(()) }
    }

    /// The level of a cluster from which on the change may stand in its log. Raising the level is
    /// what brings a cluster there: its leader has seen that nobody is left who would not
    /// understand.
    pub fn level(&self) -> u16 {
        match self {
            Self::RaiseLevel { level } => *level,
            Self::SetAuthority(_)
            | Self::FollowAuthority { .. }
            | Self::PutRun { .. }
            | Self::RemoveRun { .. }
            | Self::PutTargets { .. }
            | Self::RemoveTargets(_)
            | Self::CreateSchedule { .. }
            | Self::RemoveSchedule(_)
            | Self::PauseSchedule { .. }
            | Self::ReachSchedule(_)
            | Self::SettleSchedule { .. } => 2,
            _ => 1,
        }
    }

    /// Whether the change by itself is small enough to be stored: a larger one is refused wherever
    /// it is applied, and need not be proposed.
    ///
    /// # Errors
    ///
    /// The bound that it exceeds.
    pub fn fits(&self) -> Result<(), Limit> {
        limits::fits(self)
    }

    /// The number of the change in the registry.
    pub fn number(&self) -> u16 {
        match self {
            Self::Init(_) => 1,
            Self::PutNode(_) => 2,
            Self::SetLabels { .. } => 3,
            Self::SetActive { .. } => 4,
            Self::RemoveNode { .. } => 5,
            Self::CreateToken(_) => 6,
            Self::RevokeToken(_) => 7,
            Self::Revoke { .. } => 8,
            Self::IssueCertificate { .. } => 9,
            Self::RaiseLevel { .. } => 10,
            Self::SetAuthority(_) => 11,
            Self::FollowAuthority { .. } => 12,
            Self::PutRun { .. } => 14,
            Self::RemoveRun { .. } => 15,
            Self::PutTargets { .. } => 32,
            Self::RemoveTargets(_) => 33,
            Self::CreateSchedule { .. } => 34,
            Self::RemoveSchedule(_) => 35,
            Self::PauseSchedule { .. } => 36,
            Self::ReachSchedule(_) => 37,
            Self::SettleSchedule { .. } => 38,
            Self::Unknown { number, .. } => *number,
        }
    }

    fn fields(&self) -> Result<Vec<u8>, postcard::Error> {
        match self {
            Self::Init(cluster) => postcard::to_stdvec(cluster),
            Self::PutNode(node) => postcard::to_stdvec(node),
            Self::SetLabels { node, labels, if_revision } => {
                postcard::to_stdvec(&(node, labels, if_revision))
            }
            Self::SetActive { node, active } => postcard::to_stdvec(&(node, active)),
            Self::RemoveNode { node, now_ms } => postcard::to_stdvec(&(node, now_ms)),
            Self::CreateToken(token) => postcard::to_stdvec(token),
            Self::RevokeToken(token) => postcard::to_stdvec(token),
            Self::Revoke { node, serial } => postcard::to_stdvec(&(node, serial)),
            Self::IssueCertificate { node, certificate, joins, now_ms } => {
                postcard::to_stdvec(&(node, certificate, joins, now_ms))
            }
            Self::RaiseLevel { level } => postcard::to_stdvec(level),
            Self::SetAuthority(new) => postcard::to_stdvec(new),
            Self::FollowAuthority { revision, nodes } => postcard::to_stdvec(&(revision, nodes)),
            Self::PutRun { run, incarnation, coordinator, standby, if_revision } => {
                postcard::to_stdvec(&(run, incarnation, coordinator, standby, if_revision))
            }
            Self::RemoveRun { run, if_revision } => postcard::to_stdvec(&(run, if_revision)),
            Self::PutTargets { list, lines, targets, now_ms } => {
                postcard::to_stdvec(&(list, lines, targets, now_ms))
            }
            Self::RemoveTargets(list) => postcard::to_stdvec(list),
            Self::CreateSchedule { record, paused } => postcard::to_stdvec(&(record, paused)),
            Self::RemoveSchedule(schedule) => postcard::to_stdvec(schedule),
            Self::PauseSchedule { schedule, paused, now_ms } => {
                postcard::to_stdvec(&(schedule, paused, now_ms))
            }
            Self::ReachSchedule(reached) => postcard::to_stdvec(reached),
            Self::SettleSchedule { schedule, run, settled, now_ms } => {
                postcard::to_stdvec(&(schedule, run, settled, now_ms))
            }
            Self::Unknown { fields, .. } => Ok(fields.clone()),
        }
    }

    fn read(number: u16, fields: Vec<u8>) -> Result<Self, codec::DecodeError> {
        let bytes = fields.as_slice();
        Ok(match number {
            1 => Self::Init(codec::decode(bytes)?),
            2 => Self::PutNode(codec::decode(bytes)?),
            3 => {
                let (node, labels, if_revision) = codec::decode(bytes)?;
                Self::SetLabels { node, labels, if_revision }
            }
            4 => {
                let (node, active) = codec::decode(bytes)?;
                Self::SetActive { node, active }
            }
            5 => {
                let (node, now_ms) = codec::decode(bytes)?;
                Self::RemoveNode { node, now_ms }
            }
            6 => Self::CreateToken(codec::decode(bytes)?),
            7 => Self::RevokeToken(codec::decode(bytes)?),
            8 => {
                let (node, serial) = codec::decode(bytes)?;
                Self::Revoke { node, serial }
            }
            9 => {
                let (node, certificate, joins, now_ms) = codec::decode(bytes)?;
                Self::IssueCertificate { node, certificate, joins, now_ms }
            }
            10 => Self::RaiseLevel { level: codec::decode(bytes)? },
            11 => Self::SetAuthority(codec::decode(bytes)?),
            12 => {
                let (revision, nodes) = codec::decode(bytes)?;
                Self::FollowAuthority { revision, nodes }
            }
            14 => {
                let (run, incarnation, coordinator, standby, if_revision) = codec::decode(bytes)?;
                Self::PutRun { run, incarnation, coordinator, standby, if_revision }
            }
            15 => {
                let (run, if_revision) = codec::decode(bytes)?;
                Self::RemoveRun { run, if_revision }
            }
            32 => {
                let (list, lines, targets, now_ms) = codec::decode(bytes)?;
                Self::PutTargets { list, lines, targets, now_ms }
            }
            33 => Self::RemoveTargets(codec::decode(bytes)?),
            34 => {
                let (record, paused) = codec::decode(bytes)?;
                Self::CreateSchedule { record, paused }
            }
            35 => Self::RemoveSchedule(codec::decode(bytes)?),
            36 => {
                let (schedule, paused, now_ms) = codec::decode(bytes)?;
                Self::PauseSchedule { schedule, paused, now_ms }
            }
            37 => Self::ReachSchedule(codec::decode(bytes)?),
            38 => {
                let (schedule, run, settled, now_ms) = codec::decode(bytes)?;
                Self::SettleSchedule { schedule, run, settled, now_ms }
            }
            number => Self::Unknown { number, fields },
        })
    }
}

impl Serialize for Change {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = self.fields().map_err(ser::Error::custom)?;
        (self.number(), fields).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Change {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (number, fields) = <(u16, Vec<u8>)>::deserialize(deserializer)?;
        Self::read(number, fields).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
