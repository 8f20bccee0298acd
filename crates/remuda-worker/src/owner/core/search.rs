//! One search: what is left to try, and what is under way.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use remuda_model::{Epoch, Failure, LinkUrl, NodeId};

use super::{DialId, LinkId, MAX_DIALS, SessionId};

/// Where to announce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// On a link that is up.
    Link(LinkId),
    /// After dialling.
    Url(LinkUrl),
}

/// What is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// These dials; at that time another one joins them.
    Dialling { dials: BTreeSet<DialId>, company_at: Duration },
    /// An announcement.
    Announcing { link: LinkId },
    /// The opening of a session.
    Opening { session: SessionId, link: LinkId, epoch: Epoch, relayed: bool },
}

impl Default for Phase {
    fn default() -> Self {
        Self::Dialling { dials: BTreeSet::new(), company_at: Duration::ZERO }
    }
}

/// Somebody has named the owner.
#[derive(Debug)]
pub(super) struct Redirect {
    pub(super) owner: NodeId,
    /// Ways to it that are left.
    pub(super) targets: VecDeque<Target>,
    /// Where to announce when there is no way.
    pub(super) fallback: LinkId,
    /// When that is done although dials are under way.
    pub(super) relay_at: Duration,
}

/// One search for the owner.
#[derive(Debug, Default)]
pub(super) struct Search {
    pub(super) phase: Phase,
    /// Left to try.
    pub(super) targets: VecDeque<Target>,
    pub(super) redirect: Option<Redirect>,
    pub(super) unreachable: BTreeSet<NodeId>,
    pub(super) hops: u8,
    /// What went wrong last, or what only a person can end.
    pub(super) failure: Option<Failure>,
}

impl Search {
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        let Phase::Dialling { dials, company_at } = &self.phase else { return None };
        let targets = self.redirect.as_ref().map_or(&self.targets, |redirect| &redirect.targets);
        let may_join = !targets.is_empty() && dials.len() < MAX_DIALS;
        let company_at = may_join.then_some(*company_at);
        company_at.into_iter().chain(self.relay_at()).min()
    }

    /// When a redirect that waits for dials has waited long enough.
    pub(super) fn relay_at(&self) -> Option<Duration> {
        let is_dialling = matches!(self.phase, Phase::Dialling { .. });
        self.redirect.as_ref().filter(|_| is_dialling).map(|redirect| redirect.relay_at)
    }

    /// Whether the search still waits for this dial, which has ended.
    pub(super) fn take_dial(&mut self, dial: DialId) -> bool {
        match &mut self.phase {
            Phase::Dialling { dials, .. } => dials.remove(&dial),
            Phase::Announcing { .. } | Phase::Opening { .. } => false,
        }
    }

    /// The links that the search holds.
    pub(super) fn links(&self) -> Vec<LinkId> {
        let present = match self.phase {
            Phase::Dialling { .. } => None,
            Phase::Announcing { link } | Phase::Opening { link, .. } => Some(link),
        };
        present
            .into_iter()
            .chain(self.redirect.as_ref().map(|redirect| redirect.fallback))
            .collect()
    }
}
