//! Several commands in one entry of the log, which costs each disk one sync.

use std::collections::HashSet;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Change, Command, UnknownChange, codec};

/// The number of several commands in the registry of changes.
const NUMBER: u16 = 13;

/// What one entry of the log holds: a command, or several that are about different things.
///
/// One command is written as itself, several as change number 13, from level
/// [`LEVEL`](Self::LEVEL) on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch(Vec<Command>);

impl Batch {
    /// The level of a cluster from which on several commands may share an entry.
    pub const LEVEL: u16 = 2;

    /// The commands, in the order in which they happen.
    pub fn commands(&self) -> &[Command] {
        &self.0
    }

    /// Whether a version that speaks this protocol version and older ones may apply all of it.
    ///
    /// # Errors
    ///
    /// When a newer version wrote it and it must not be skipped; a replica has to stop before it.
    pub fn understood_by(&self, protocol: u16) -> Result<(), UnknownChange> {
        if self.0.len() != 1 && protocol < Self::LEVEL {
            return Err(UnknownChange(NUMBER));
        }
        self.0.iter().try_for_each(|command| command.change.understood_by(protocol))
    }
}

impl From<Command> for Batch {
    fn from(command: Command) -> Self {
        Self(vec![command])
    }
}

/// Gathers commands that may share an entry.
///
/// Every version of a record has a revision of its own, which is the index of the entry, so that
/// `if_revision` tells versions apart. Therefore no two commands of a batch are about the same
/// thing, and those that concern the whole cluster stand alone.
#[derive(Debug)]
pub struct Gather {
    commands: Vec<Command>,
    subjects: HashSet<String>,
    bytes: usize,
}

impl Gather {
    /// How many commands may share an entry.
    pub const MAX_COMMANDS: usize = 512;
    /// How many bytes they may have together, unless it is one alone.
    pub const MAX_BYTES: usize = 128 * 1024;

    /// Begins with a command of this many bytes.
    pub fn new(first: Command, bytes: usize) -> Self {
        let subjects = subject(&first.change).map(str::to_owned).into_iter().collect();
        Self { commands: vec![first], subjects, bytes }
    }

    /// Adds a command of this many bytes, or gives it back when it cannot share the entry.
    pub fn add(&mut self, command: Command, bytes: usize) -> Option<Command> {
        let fits = self.commands.len() < Self::MAX_COMMANDS
            && self.bytes.saturating_add(bytes) <= Self::MAX_BYTES;
        // Without a subject the first stands alone.
        if !fits || self.subjects.is_empty() {
            return Some(command);
        }
        match subject(&command.change) {
            Some(subject) if self.subjects.insert(subject.to_owned()) => {
                self.bytes += bytes;
                self.commands.push(command);
                None
            }
            _ => Some(command),
        }
    }

    /// What was gathered.
    pub fn finish(self) -> Batch {
        Batch(self.commands)
    }
}

/// What a change is about, when that is one thing.
fn subject(change: &Change) -> Option<&str> {
    match change {
        Change::PutNode(node) => Some(node.id.as_str()),
        Change::SetLabels { node, .. }
        | Change::Revoke { node, .. }
        | Change::IssueCertificate { node, .. } => Some(node.as_str()),
        Change::CreateToken(token) => Some(token.id.as_str()),
        Change::RevokeToken(token) => Some(token.as_str()),
        Change::PutRun { run, .. } | Change::RemoveRun { run, .. } => Some(run.as_str()),
        Change::PutTargets { list, .. } | Change::RemoveTargets(list) => Some(list.as_str()),
        Change::CreateSchedule { record, .. } => Some(record.id.as_str()),
        Change::RemoveSchedule(schedule)
        | Change::PauseSchedule { schedule, .. }
        | Change::SettleSchedule { schedule, .. } => Some(schedule.as_str()),
        Change::ReachSchedule(reached) => Some(reached.schedule.as_str()),
        Change::Init(_)
        | Change::SetActive { .. }
        | Change::RemoveNode { .. }
        | Change::RaiseLevel { .. }
        | Change::SetAuthority(_)
        | Change::FollowAuthority { .. }
        | Change::Unknown { .. } => None,
    }
}

impl Serialize for Batch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let [command] = self.0.as_slice() {
            return command.serialize(serializer);
        }
        let fields = codec::encode(&self.0);
        Command::once(Change::Unknown { number: NUMBER, fields }).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Batch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Command::deserialize(deserializer)? {
            Command { id: None, change: Change::Unknown { number: NUMBER, fields } } => {
                codec::decode(&fields).map(Self).map_err(de::Error::custom)
            }
            command => Ok(command.into()),
        }
    }
}

#[cfg(test)]
mod tests;
