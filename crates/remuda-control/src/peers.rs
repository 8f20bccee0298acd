//! Links to the other control nodes.
//!
//! A link counts as one between control nodes once its dialler has spoken a control protocol on it:
//! the worker part of a control node dials other control nodes too, and its links come and go with
//! its owner.

mod dialler;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{PoisonError, RwLock},
};

use remuda_link::Link;
use remuda_model::{NodeId, Role};
use remuda_runtime::Supervisor;
use tokio::sync::watch;

/// The live links to other control nodes, at most one each.
#[derive(Debug)]
pub(crate) struct Peers {
    me: NodeId,
    links: RwLock<BTreeMap<NodeId, Link>>,
    changed: watch::Sender<u64>,
    supervisor: Supervisor,
}

impl Peers {
    pub(crate) fn new(me: NodeId, supervisor: Supervisor) -> Self {
        let links = RwLock::default();
        Self { me, links, changed: watch::Sender::new(0), supervisor }
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
        let serves =
            |present: &Link| !present.is_closed() && present.peer().generation >= peer.generation;
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
        let (changed, link) = (self.changed.clone(), link.clone());
        let stop = self.supervisor.token();
        self.supervisor.spawn("control link", async move {
            tokio::select! {
                () = stop.cancelled() => (),
                reason = link.closed() => {
                    tracing::info!(peer = %link.peer().node, %reason, "control link ended");
                    changed.send_modify(|count| *count += 1);
                }
            }
        });
    }

    fn bump(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}
