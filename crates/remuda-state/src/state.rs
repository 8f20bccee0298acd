//! The cluster state and how changes are applied to it.

use std::collections::BTreeSet;

use remuda_model::{Epoch, Failure, NodeId, Revision, RunId, TokenId};
use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    AuthorityRecord, Batch, Change, ClusterRecord, Command, Limit, NodeRecord, Refusal, RunRecord,
    TokenRecord,
    certificates::Certificates,
    codec, limits, ownership,
    plans::Plans,
    seen::{self, Seen},
};

/// The level from which on [`Added`] has a place in the state.
const EXTENDS: u16 = 2;

/// What a committed command did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It changed the state at this log index.
    Changed(Revision),
    /// The state was so already.
    Unchanged,
}

/// The result of applying one command; the same on every replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// What it did, or why it did nothing.
    pub outcome: Result<Outcome, Refusal>,
}

impl Applied {
    /// The outcome with a refusal as users see it.
    pub fn into_result(self) -> Result<Outcome, Failure> {
        self.outcome.map_err(Failure::from)
    }
}

/// The identity of the cluster, and what later levels have added to the state.
///
/// It stands where version 1 has an optional record, and until the level is raised it is written as
/// one; so all versions read and hash the same bytes until none of the older ones is left. What a
/// later level adds comes in a variant of its own, at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Identity {
    #[default]
    None,
    Founded(ClusterRecord),
    /// From level 2 on.
    Raised {
        cluster: ClusterRecord,
        level: u16,
    },
    /// From level 2 on, once there is something of what that level adds.
    Extended {
        cluster: ClusterRecord,
        level: u16,
        added: Box<Added>,
    },
}

/// What level 2 adds to the state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Added {
    /// Once the authority was rotated.
    pub(crate) authority: Option<AuthorityRecord>,
    pub(crate) runs: RedBlackTreeMapSync<RunId, RunRecord>,
    /// Target lists and schedules.
    pub(crate) plans: Plans,
}

impl Identity {
    fn cluster(&self) -> Option<&ClusterRecord> {
        match self {
            Self::None => None,
            Self::Founded(cluster)
            | Self::Raised { cluster, .. }
            | Self::Extended { cluster, .. } => Some(cluster),
        }
    }

    fn level(&self) -> u16 {
        match self {
            Self::None | Self::Founded(_) => 1,
            Self::Raised { level, .. } | Self::Extended { level, .. } => *level,
        }
    }

    fn added(&self) -> Option<&Added> {
        match self {
            Self::Extended { added, .. } => Some(added),
            Self::None | Self::Founded(_) | Self::Raised { .. } => None,
        }
    }
}

/// All that control nodes agree on.
///
/// A persistent value: cloning takes constant time and shares all records with the original.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterState {
    pub(crate) applied: u64,
    pub(crate) epoch: Epoch,
    identity: Identity,
    pub(crate) nodes: RedBlackTreeMapSync<NodeId, NodeRecord>,
    /// The active control nodes; what `nodes` says, kept apart so that owners are found quickly.
    pub(crate) active: RedBlackTreeSetSync<NodeId>,
    pub(crate) tokens: RedBlackTreeMapSync<TokenId, TokenRecord>,
    pub(crate) certificates: Certificates,
    pub(crate) seen: Seen,
}

impl ClusterState {
    /// The state before the first change.
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies the command of one log index. Deterministic and total: it reads no clock, and a
    /// change that cannot be made is refused without any effect.
    ///
    /// # Panics
    ///
    /// In debug builds, when an invariant is broken afterwards.
    pub fn apply(&mut self, index: u64, command: &Command) -> Applied {
        if index <= self.applied {
            let applied = self.applied;
            return Applied { outcome: Err(Refusal::OldIndex { index, applied }) };
        }
        self.applied = index;
        self.command(index, command)
    }

    /// Applies all commands of one log index, as [`apply`](Self::apply) does each. Returns what
    /// came of them, in their order.
    ///
    /// # Panics
    ///
    /// In debug builds, when an invariant is broken afterwards.
    pub fn apply_batch(&mut self, index: u64, batch: &Batch) -> Vec<Applied> {
        let applied = self.applied;
        self.applied = applied.max(index);
        let old = || Applied { outcome: Err(Refusal::OldIndex { index, applied }) };
        let commands = batch.commands().iter();
        commands
            .map(|command| if index <= applied { old() } else { self.command(index, command) })
            .collect()
    }

    fn command(&mut self, index: u64, command: &Command) -> Applied {
        if let Some(first) = command.id.as_ref().and_then(|id| self.seen.get(id)) {
            return first.clone();
        }
        let applied = Applied { outcome: self.change(Revision(index), &command.change) };
        if let Some(id) = command.id {
            let window = seen::window(self.level());
            self.seen.insert(index, id, applied.clone(), window);
        }
        debug_assert_eq!(self.invariants(), Ok(()), "after {command:?}");
        applied
    }

    /// Notes that the log has an entry at this index that does not concern the state.
    pub fn advance(&mut self, index: u64) {
        self.applied = self.applied.max(index);
    }

    /// The cluster's identity, once it has one.
    pub fn cluster(&self) -> Option<&ClusterRecord> {
        self.identity.cluster()
    }

    /// The protocol version that every control node speaks; 1 until it is raised. What is newer is
    /// not written, and control nodes that are older are kept out.
    pub fn level(&self) -> u16 {
        self.identity.level()
    }

    /// What has become of the authority since its first rotation; `None` before that, when each
    /// control node has what it was given.
    pub fn authority(&self) -> Option<&AuthorityRecord> {
        self.identity.added()?.authority.as_ref()
    }

    /// What level 2 has added, if anything has been.
    pub(crate) fn added(&self) -> Option<&Added> {
        self.identity.added()
    }

    /// The same, to change it: older levels have no place for it.
    pub(crate) fn added_mut(&mut self) -> Result<&mut Added, Refusal> {
        let level = self.level();
        if level < EXTENDS {
            return Err(Refusal::LevelTooLow { needed: EXTENDS, level });
        }
        if let Identity::Raised { cluster, level } = &self.identity {
            let (cluster, added) = (cluster.clone(), Box::default());
            self.identity = Identity::Extended { cluster, level: *level, added };
        }
        match &mut self.identity {
            Identity::Extended { added, .. } => Ok(added),
            _ => Err(Refusal::LevelTooLow { needed: EXTENDS, level }),
        }
    }

    /// All nodes, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeRecord> {
        self.nodes.values()
    }

    /// How many nodes are known.
    pub fn n_nodes(&self) -> usize {
        self.nodes.size()
    }

    /// One node.
    pub fn node(&self, node: &NodeId) -> Option<&NodeRecord> {
        self.nodes.get(node)
    }

    /// The control nodes that may own workers, in order.
    pub fn controls(&self) -> Vec<NodeId> {
        self.active.iter().cloned().collect()
    }

    /// The log index of the last change to [`controls`](Self::controls); 0 before the first.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The active control node that owns this worker, known or not; `None` when none is active.
    pub fn owner_of(&self, worker: &NodeId) -> Option<NodeId> {
        ownership::owner_among(worker, self.active.iter()).cloned()
    }

    /// One token.
    pub fn token(&self, token: &TokenId) -> Option<&TokenRecord> {
        self.tokens.get(token)
    }

    /// All tokens, by id.
    pub fn tokens(&self) -> impl Iterator<Item = &TokenRecord> {
        self.tokens.values()
    }

    /// Whether this certificate of the node is no longer accepted.
    pub fn is_revoked(&self, node: &NodeId, serial: &[u8]) -> bool {
        self.certificates.is_revoked(node, serial)
    }

    /// Whether the node was removed and has not joined anew.
    pub fn is_removed(&self, node: &NodeId) -> bool {
        self.certificates.is_removed(node)
    }

    /// Until when the newest certificate of a node holds, in milliseconds since 1970; `None` for a
    /// node that was given none.
    pub fn certificate_until_ms(&self, node: &NodeId) -> Option<u64> {
        self.certificates.until_ms(node)
    }

    /// When a node was removed or a certificate revoked last: whoever has links looks at them then.
    pub fn revoked_at(&self) -> Revision {
        self.certificates.changed()
    }

    /// The last log index that the state contains.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// SHA-256 of the written state: equal on all replicas at an equal [`applied`](Self::applied)
    /// index.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(codec::encode(self)).into()
    }

    fn change(&mut self, now: Revision, change: &Change) -> Result<Outcome, Refusal> {
        limits::fits(change).map_err(Refusal::TooMuch)?;
        match change {
            Change::Init(cluster) => self.init(now, cluster),
            Change::PutNode(node) => self.put_node(now, node),
            Change::SetLabels { node, labels, if_revision } => {
                let mut record = self.known(node)?.clone();
                if let Some(expected) = if_revision.filter(|revision| *revision != record.modified)
                {
                    let (node, found) = (node.clone(), record.modified);
                    return Err(Refusal::RevisionConflict { node, expected, found });
                }
                record.labels = labels.clone();
                self.replace(now, record)
            }
            Change::SetActive { node, active } => {
                let mut record = self.known(node)?.clone();
                if *active && !record.roles.is_control() {
                    return Err(Refusal::NotControl(node.clone()));
                }
                record.active = *active;
                self.replace(now, record)
            }
            Change::RemoveNode { node, now_ms } => self.remove_node(now, node, *now_ms),
            Change::CreateToken(token) => self.create_token(now, token),
            Change::RevokeToken(token) => {
                if self.tokens.remove_mut(token) {
                    Ok(Outcome::Changed(now))
                } else {
                    Err(Refusal::UnknownToken(token.clone()))
                }
            }
            Change::Revoke { node, serial } => {
                let changed = self.certificates.revoke(now, node, serial);
                Ok(outcome(now, changed.map_err(Refusal::TooMuch)?))
            }
            Change::IssueCertificate { node, certificate, joins, now_ms } => {
                match (joins, self.nodes.contains_key(node)) {
                    (true, true) => return Err(Refusal::NameTaken(node.clone())),
                    (false, false) => return Err(Refusal::UnknownNode(node.clone())),
                    _ => (),
                }
                let changed = self.certificates.issue(node, certificate, *now_ms);
                let changed = changed.map_err(Refusal::TooMuch)?;
                self.certificates.readmit(node);
                Ok(outcome(now, changed))
            }
            Change::RaiseLevel { level } => Ok(self.raise_level(now, *level)),
            Change::SetAuthority(new) => self.put_authority(now, new),
            Change::FollowAuthority { revision, nodes } => {
                self.follow_authority(now, *revision, nodes)
            }
            Change::PutRun { run, incarnation, coordinator, standby, if_revision } => {
                let record = RunRecord {
                    incarnation: *incarnation,
                    coordinator: coordinator.clone(),
                    standby: standby.clone(),
                    revision: now,
                };
                self.put_run(run, record, *if_revision)
            }
            Change::RemoveRun { run, if_revision } => self.remove_run(now, run, *if_revision),
            Change::PutTargets { list, lines, targets, now_ms } => {
                self.plan(|plans| plans.put_list(now, list, lines, *targets, *now_ms))
            }
            Change::RemoveTargets(list) => self.plan(|plans| plans.remove_list(now, list)),
            Change::CreateSchedule { record, paused } => {
                self.plan(|plans| plans.create(now, record, *paused))
            }
            Change::RemoveSchedule(schedule) => self.plan(|plans| plans.remove(now, schedule)),
            Change::PauseSchedule { schedule, paused, now_ms } => {
                self.plan(|plans| plans.pause(now, schedule, *paused, *now_ms))
            }
            Change::ReachSchedule(reached) => self.plan(|plans| plans.reach(now, reached)),
            Change::SettleSchedule { schedule, run, settled, now_ms } => {
                self.plan(|plans| Ok(plans.settle(now, (schedule, run), settled, *now_ms)))
            }
            Change::Unknown { .. } => Ok(Outcome::Unchanged),
        }
    }

    /// A cluster that has no identity yet has nothing to raise: its leader asks again.
    fn raise_level(&mut self, now: Revision, level: u16) -> Outcome {
        match self.cluster() {
            Some(cluster) if level > self.level() => {
                let cluster = cluster.clone();
                self.identity = match self.identity.added().cloned().map(Box::new) {
                    Some(added) => Identity::Extended { cluster, level, added },
                    None => Identity::Raised { cluster, level },
                };
                Outcome::Changed(now)
            }
            _ => Outcome::Unchanged,
        }
    }

    /// Target lists and schedules, once there was one.
    pub(crate) fn plans(&self) -> Option<&Plans> {
        self.added().map(|added| &added.plans)
    }

    /// Changes target lists or schedules, for which older levels have no place. A change that is
    /// refused or changes nothing leaves no trace.
    fn plan(
        &mut self,
        change: impl FnOnce(&mut Plans) -> Result<Outcome, Refusal>,
    ) -> Result<Outcome, Refusal> {
        let level = self.level();
        if level < EXTENDS {
            return Err(Refusal::LevelTooLow { needed: EXTENDS, level });
        }
        let mut plans = self.plans().cloned().unwrap_or_default();
        let outcome = change(&mut plans)?;
        if outcome != Outcome::Unchanged {
            self.added_mut()?.plans = plans;
        }
        Ok(outcome)
    }

    fn init(&mut self, now: Revision, cluster: &ClusterRecord) -> Result<Outcome, Refusal> {
        match self.cluster() {
            None => {
                self.identity = Identity::Founded(cluster.clone());
                Ok(Outcome::Changed(now))
            }
            Some(present) if present.id == cluster.id => Ok(Outcome::Unchanged),
            Some(present) => Err(Refusal::ForeignCluster(present.id.clone())),
        }
    }

    fn put_node(&mut self, now: Revision, node: &NodeRecord) -> Result<Outcome, Refusal> {
        let mut record = node.clone();
        if let Some(present) = self.nodes.get(&node.id) {
            if node.roles != present.roles {
                return Err(Refusal::OtherRoles(node.id.clone()));
            }
            if node.generation < present.generation {
                return Err(Refusal::StaleGeneration {
                    node: node.id.clone(),
                    offered: node.generation,
                    known: present.generation,
                });
            }
            record.active = present.active;
            record.created = present.created;
            record.modified = present.modified;
        } else {
            if self.is_removed(&node.id) {
                return Err(Refusal::Removed(node.id.clone()));
            }
            Limit::Nodes.check(self.nodes.size() + 1).map_err(Refusal::TooMuch)?;
            record.created = now;
        }
        record.active &= record.roles.is_control();
        self.replace(now, record)
    }

    fn remove_node(
        &mut self,
        now: Revision,
        node: &NodeId,
        now_ms: u64,
    ) -> Result<Outcome, Refusal> {
        let was_active = self.known(node)?.active;
        if was_active && self.active.size() == 1 {
            return Err(Refusal::LastControl(node.clone()));
        }
        self.certificates.remove(now, node, now_ms).map_err(Refusal::TooMuch)?;
        self.forget_follower(node);
        // In the same step, or the node could enlist again in between.
        if was_active {
            self.active.remove_mut(node);
            self.epoch = Epoch(now.0);
        }
        self.nodes.remove_mut(node);
        self.forget_runs_of_nobody();
        Ok(Outcome::Changed(now))
    }

    fn create_token(&mut self, now: Revision, token: &TokenRecord) -> Result<Outcome, Refusal> {
        if let Some(present) = self.tokens.get(&token.id) {
            // A founding that was interrupted makes its tokens again.
            return if present == token {
                Ok(Outcome::Unchanged)
            } else {
                Err(Refusal::TokenExists(token.id.clone()))
            };
        }
        Limit::Tokens.check(self.tokens.size() + 1).map_err(Refusal::TooMuch)?;
        self.tokens.insert_mut(token.id.clone(), token.clone());
        Ok(Outcome::Changed(now))
    }

    fn known(&self, node: &NodeId) -> Result<&NodeRecord, Refusal> {
        self.nodes.get(node).ok_or_else(|| Refusal::UnknownNode(node.clone()))
    }

    /// Stores the record with a new revision if it differs, and keeps list and epoch of the active
    /// control nodes.
    fn replace(&mut self, now: Revision, mut record: NodeRecord) -> Result<Outcome, Refusal> {
        if self.nodes.get(&record.id) == Some(&record) {
            return Ok(Outcome::Unchanged);
        }
        let was_active = self.active.contains(&record.id);
        if was_active && !record.active && self.active.size() == 1 {
            return Err(Refusal::LastControl(record.id));
        }
        if was_active != record.active {
            self.epoch = Epoch(now.0);
            if record.active {
                self.active.insert_mut(record.id.clone());
            } else {
                self.active.remove_mut(&record.id);
            }
        }
        record.modified = now;
        self.nodes.insert_mut(record.id.clone(), record);
        Ok(Outcome::Changed(now))
    }

    /// The first level is not raised to: its states have one form only.
    pub(crate) fn check_level(&self) -> Result<(), String> {
        match &self.identity {
            Identity::Raised { level, .. } | Identity::Extended { level, .. }
                if *level < EXTENDS =>
            {
                Err(format!("the level was raised to {level}"))
            }
            _ => Ok(()),
        }
    }

    /// The names of the nodes whose record says that they are active.
    pub(crate) fn active_by_record(&self) -> BTreeSet<&NodeId> {
        self.nodes.values().filter(|node| node.active).map(|node| &node.id).collect()
    }
}

fn outcome(now: Revision, changed: bool) -> Outcome {
    if changed { Outcome::Changed(now) } else { Outcome::Unchanged }
}

#[cfg(test)]
mod forms;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
