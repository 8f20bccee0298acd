//! The cluster's certificate authority once it was rotated: which CAs count, which one signs, and
//! which nodes have followed.

use std::fmt;

use remuda_model::{NodeId, Revision};
use rpds::RedBlackTreeSetSync;
use serde::{Deserialize, Serialize};

use crate::{ClusterState, Limit, Outcome, Refusal};

/// How many CAs may count at a time: the present one and its successor.
const MAX_TRUSTED: usize = 2;

/// How far a rotation of the CA has come. Variants are only ever added at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthorityStep {
    /// One CA counts, and it signs.
    Settled,
    /// A second CA counts already; the first one still signs.
    Announced,
    /// The second CA signs; the first one still counts.
    Issuing,
}

/// The secrets of an authority, in a form that only control nodes look into. `Debug` shows `***`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AuthoritySecrets(Vec<u8>);

impl AuthoritySecrets {
    /// Wraps bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for AuthoritySecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What is to become of the authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewAuthority {
    /// The revision of the authority for which this was decided; 0 before the first rotation.
    pub replaces: Revision,
    /// How far the rotation is.
    pub step: AuthorityStep,
    /// The CAs that count, DER.
    pub trusted: Vec<Vec<u8>>,
    /// The keys and join secrets.
    pub secrets: AuthoritySecrets,
    /// When the next step is taken though nodes lag behind, in milliseconds since 1970.
    pub until_ms: u64,
    /// How long each step waits for nodes that lag behind, in milliseconds.
    pub grace_ms: u64,
}

/// The authority as control nodes have agreed on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorityRecord {
    /// When it was changed last.
    pub revision: Revision,
    /// How far the rotation is.
    pub step: AuthorityStep,
    /// The CAs that count, DER.
    pub trusted: Vec<Vec<u8>>,
    /// The keys and join secrets.
    pub secrets: AuthoritySecrets,
    /// When the next step is taken though nodes lag behind, in milliseconds since 1970.
    pub until_ms: u64,
    /// How long each step waits for nodes that lag behind, in milliseconds.
    pub grace_ms: u64,
    /// The nodes that have done what this step asks of them.
    followed: RedBlackTreeSetSync<NodeId>,
}

impl AuthorityRecord {
    /// Whether a node has done what this step asks of it.
    pub fn is_followed_by(&self, node: &NodeId) -> bool {
        self.followed.contains(node)
    }
}

/// Whether a decision is small enough to be stored.
pub(crate) fn fits(new: &NewAuthority) -> Result<(), Limit> {
    let bytes = new.trusted.iter().map(Vec::len).sum::<usize>() + new.secrets.0.len();
    Limit::Authority.check(if new.trusted.len() > MAX_TRUSTED { usize::MAX } else { bytes })
}

impl ClusterState {
    pub(crate) fn put_authority(
        &mut self,
        now: Revision,
        new: &NewAuthority,
    ) -> Result<Outcome, Refusal> {
        let present = self.authority();
        let found = present.map_or(Revision(0), |present| present.revision);
        if new.replaces != found {
            return Err(Refusal::AuthorityMoved { expected: new.replaces, found });
        }
        let same = |present: &&AuthorityRecord| {
            (present.step, &present.trusted) == (new.step, &new.trusted)
        };
        // Other join secrets ask nothing of the nodes.
        let followed = present.filter(same).map(|present| present.followed.clone());
        let record = AuthorityRecord {
            revision: now,
            step: new.step,
            trusted: new.trusted.clone(),
            secrets: new.secrets.clone(),
            until_ms: new.until_ms,
            grace_ms: new.grace_ms,
            followed: followed.unwrap_or_default(),
        };
        self.added_mut()?.authority = Some(record);
        Ok(Outcome::Changed(now))
    }

    /// Notes that nodes have done what a step asks of them. Late words about an earlier step, and
    /// about nodes that were removed, mean nothing.
    pub(crate) fn follow_authority(
        &mut self,
        now: Revision,
        revision: Revision,
        nodes: &[NodeId],
    ) -> Result<Outcome, Refusal> {
        let Some(mut record) = self.authority().filter(|now| now.revision == revision).cloned()
        else {
            return Ok(Outcome::Unchanged);
        };
        let before = record.followed.size();
        for node in nodes.iter().filter(|node| self.nodes.contains_key(*node)) {
            record.followed.insert_mut(node.clone());
        }
        if record.followed.size() == before {
            return Ok(Outcome::Unchanged);
        }
        self.added_mut()?.authority = Some(record);
        Ok(Outcome::Changed(now))
    }

    /// A node that was removed follows anew when it comes back.
    pub(crate) fn forget_follower(&mut self, node: &NodeId) {
        if let Some(mut record) = self.authority().cloned()
            && record.followed.remove_mut(node)
        {
            // It has a place, as it is there.
            if let Ok(added) = self.added_mut() {
                added.authority = Some(record);
            }
        }
    }

    /// Says what is wrong.
    pub(crate) fn check_authority(&self) -> Result<(), String> {
        let Some(record) = self.authority() else { return Ok(()) };
        let expected = if record.step == AuthorityStep::Settled { 1 } else { MAX_TRUSTED };
        if record.trusted.len() != expected {
            return Err(format!("{} CAs count in {:?}", record.trusted.len(), record.step));
        }
        if record.revision.0 > self.applied() {
            return Err(format!("the authority is of {}, later than now", record.revision));
        }
        match record.followed.iter().find(|node| !self.nodes.contains_key(*node)) {
            Some(node) => Err(format!("`{node}` has followed and is not there")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
