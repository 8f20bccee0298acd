//! Links to the other control nodes.
//!
//! A link counts as one between control nodes once its dialler has spoken a control protocol on it:
//! the worker part of a control node dials other control nodes too, and its links come and go with
//! its owner.

mod dialler;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
};

use remuda_link::{KeyId, Link};
use remuda_model::{NodeId, Role};
use remuda_runtime::{Supervisor, wall_ms};
use tokio::sync::watch;

/// The live links to other control nodes, at most one each.
#[derive(Debug)]
pub(crate) struct Peers {
    me: NodeId,
    links: RwLock<BTreeMap<NodeId, Link>>,
    /// When the last link to a control node ended, in milliseconds since 1970.
    lost: Arc<RwLock<BTreeMap<NodeId, u64>>>,
    /// The CAs that count; empty until that is known, when all do.
    trusted: RwLock<Vec<KeyId>>,
    changed: watch::Sender<u64>,
    supervisor: Supervisor,
}

impl Peers {
    pub(crate) fn new(me: NodeId, supervisor: Supervisor) -> Self {
        let (links, lost) = (RwLock::default(), Arc::default());
        let (trusted, changed) = (RwLock::default(), watch::Sender::new(0));
        Self { me, links, lost, trusted, changed, supervisor }
    }

    /// Replaces links that rest on other CAs than these, from now on.
    pub(crate) fn trust(&self, trusted: Vec<KeyId>) {
        *self.trusted.write().unwrap_or_else(PoisonError::into_inner) = trusted;
    }

    /// Whether a link should be replaced by one that rests on the present CA.
    pub(crate) fn is_outdated(&self, link: &Link) -> bool {
        let trusted = self.trusted.read().unwrap_or_else(PoisonError::into_inner);
        !trusted.is_empty() && link.peer().is_outdated(&trusted)
    }

    /// The control nodes that need no further link, and this one.
    pub(crate) fn settled(&self) -> BTreeSet<NodeId> {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        let good = links.iter().filter(|(_, link)| !link.is_closed() && !self.is_outdated(link));
        good.map(|(node, _)| node.clone()).chain([self.me.clone()]).collect()
    }

    /// The live link to a control node.
    pub(crate) fn link_to(&self, control: &NodeId) -> Option<Link> {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        links.get(control).filter(|link| !link.is_closed()).cloned()
    }

    /// The control nodes that have a live link, and this one.
    pub(crate) fn linked(&self) -> BTreeSet<NodeId> {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        let live = links.iter().filter(|(_, link)| !link.is_closed());
        live.map(|(node, _)| node.clone()).chain([self.me.clone()]).collect()
    }

    /// When the last link to a control node ended; `None` while there is one, or there was none.
    pub(crate) fn lost_ms(&self, control: &NodeId) -> Option<u64> {
        if self.link_to(control).is_some() {
            return None;
        }
        self.lost.read().unwrap_or_else(PoisonError::into_inner).get(control).copied()
    }

    /// The protocol versions of the control nodes that have a live link.
    pub(crate) fn spoken(&self) -> BTreeMap<NodeId, u16> {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        let live = links.iter().filter(|(_, link)| !link.is_closed());
        live.map(|(node, link)| (node.clone(), link.peer().protocol)).collect()
    }

    /// Changes whenever a link has come or gone.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Takes note of a link on which the peer has spoken a control protocol. The present link to
    /// that peer stays, unless it is dead or of an earlier boot.
    pub(crate) fn note(&self, link: &Link) {
        let peer = link.peer();
        if peer.role != Role::Control || peer.node == self.me || link.is_closed() {
            return;
        }
        let serves = |present: &Link| {
            !present.is_closed()
                && present.peer().generation >= peer.generation
                && (!self.is_outdated(present) || self.is_outdated(link))
        };
        {
            let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
            if links.get(&peer.node).is_some_and(serves) {
                return;
            }
        }
        {
            let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
            if links.get(&peer.node).is_some_and(serves) {
                return;
            }
            links.insert(peer.node.clone(), link.clone());
        }
        tracing::info!(peer = %peer.node, remote = %peer.remote, "linked to a control node");
        self.bump();
        let (changed, lost, link) = (self.changed.clone(), Arc::clone(&self.lost), link.clone());
        let stop = self.supervisor.token();
        self.supervisor.spawn("control link", async move {
            tokio::select! {
                () = stop.cancelled() => (),
                reason = link.closed() => {
                    tracing::info!(peer = %link.peer().node, %reason, "control link ended");
                    let mut lost = lost.write().unwrap_or_else(PoisonError::into_inner);
                    lost.insert(link.peer().node.clone(), wall_ms());
                    drop(lost);
                    changed.send_modify(|count| *count += 1);
                }
            }
        });
    }

    fn bump(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}
