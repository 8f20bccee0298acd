//! Streams between workers and owners that cannot reach each other, through a control node that
//! both can reach.

use std::{
    collections::HashMap,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use remuda_link::{Link, LinkError, Peer, Priority, Stream, StreamError, code, splice};
use remuda_model::{NodeId, Role, Roles};
use remuda_wire::message::{
    FILE, OUTPUT, RELAY, RELAY_UP, RUN, SESSION, TRUST, WORK,
    control::{Relay, RelayUp},
};

use crate::{
    Control,
    proxies::{NOT_HERE, Path},
};

/// How long the first message of a relayed stream may take.
const RECEIVE: Duration = Duration::from_secs(10);
/// The longest such message.
const MAX_HEADER: usize = 4096;
/// How often a stream may be passed on: from any control node to the owner, and on to the node
/// that has the worker's link.
pub(crate) const HOPS: u8 = 2;

/// The links of workers whose sessions are passed on to their owners.
#[derive(Debug, Default)]
pub(crate) struct Relayed {
    links: RwLock<HashMap<NodeId, (u64, Link)>>,
    sessions: AtomicU64,
}

impl Relayed {
    fn get(&self, node: &NodeId) -> Option<Link> {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        links.get(node).map(|(_, link)| link.clone())
    }

    fn add(&self, node: &NodeId, link: Link) -> u64 {
        let session = self.sessions.fetch_add(1, Ordering::Relaxed);
        let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
        links.insert(node.clone(), (session, link));
        session
    }

    /// Forgets the link, unless a newer session has come.
    fn remove(&self, node: &NodeId, session: u64) {
        let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
        if links.get(node).is_some_and(|(present, _)| *present == session) {
            links.remove(node);
        }
    }
}

/// Why a stream could not be opened towards a worker.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// Nobody here knows a way.
    #[error("no way to the node from here")]
    NoWay,
    /// The link has closed.
    #[error("the link to the node is closed")]
    Link(#[source] LinkError),
    /// The header was not sent.
    #[error("the stream to the node broke")]
    Stream(#[source] StreamError),
}

impl Control {
    /// Opens a stream to a worker that this node owns or relays for, and to no other.
    pub(crate) async fn open_here(
        &self,
        node: &NodeId,
        protocol: &str,
        hops: u8,
    ) -> Result<Stream, OpenError> {
        let route = self.shared.proxies.get(node).and_then(|proxy| proxy.route());
        match route.as_deref().map(|route| &route.path) {
            Some(Path::Direct(link)) => {
                link.open(protocol, priority(protocol)).await.map_err(OpenError::Link)
            }
            Some(Path::Via(control)) if hops > 0 => {
                self.open_through(control, node, protocol, hops - 1).await
            }
            Some(Path::Via(_)) | None => {
                let link = self.shared.relayed.get(node).ok_or(OpenError::NoWay)?;
                link.open(protocol, priority(protocol)).await.map_err(OpenError::Link)
            }
        }
    }

    /// Opens a stream to a worker by way of another control node.
    pub(crate) async fn open_through(
        &self,
        control: &NodeId,
        node: &NodeId,
        protocol: &str,
        hops: u8,
    ) -> Result<Stream, OpenError> {
        let link = self.shared.peers.link_to(control).ok_or(OpenError::NoWay)?;
        let mut stream = link.open(RELAY, priority(protocol)).await.map_err(OpenError::Link)?;
        let relay = Relay { node: node.clone(), protocol: protocol.to_owned(), hops };
        stream.send(&relay).await.map_err(OpenError::Stream)?;
        Ok(stream)
    }

    /// Passes a stream of another control node on towards a worker.
    pub(crate) async fn serve_relay(&self, link: Link, mut stream: Stream) {
        if self.is_out(link.peer()) {
            stream.reset(code::FORBIDDEN, "the node was removed");
            return;
        }
        self.shared.peers.note(&link);
        let received = tokio::time::timeout(RECEIVE, stream.recv::<Relay>(MAX_HEADER)).await;
        let Ok(Ok(Some(Relay { node, protocol, hops }))) = received else { return };
        if ![WORK, OUTPUT, FILE, TRUST, RUN].contains(&protocol.as_str()) {
            stream.reset(code::FORBIDDEN, "this protocol is not relayed");
            return;
        }
        match self.open_here(&node, &protocol, hops.min(HOPS)).await {
            // An end of either side has told the other.
            Ok(onward) => drop(splice(stream, onward).await),
            Err(error) => stream.reset(NOT_HERE, &error.to_string()),
        }
    }

    /// Passes a worker's session on to its owner, for as long as it lasts.
    pub(crate) async fn relay_up(&self, owner: &NodeId, link: Link, mut stream: Stream) {
        let node = link.peer().node.clone();
        if !self.may_relay(link.peer()) {
            stream.reset(code::REFUSED, "the cluster does not know the node in this role");
            return;
        }
        let Some(to_owner) = self.shared.peers.link_to(owner) else {
            stream.reset(code::REFUSED, "the owner is not linked");
            return;
        };
        let header = RelayUp { node: node.clone(), protocol: SESSION.to_owned() };
        let Ok(mut onward) = to_owner.open(RELAY_UP, Priority::Events).await else {
            stream.reset(code::REFUSED, "the owner is not linked");
            return;
        };
        if onward.send(&header).await.is_err() {
            stream.reset(code::REFUSED, "the owner is not linked");
            return;
        }
        // Known before the owner can call back.
        let session = self.shared.relayed.add(&node, link);
        drop(splice(stream, onward).await);
        self.shared.relayed.remove(&node, session);
    }

    /// Whether the owner will know the peer in the role that it has proved here: by its record, or
    /// without one as a worker.
    fn may_relay(&self, peer: &Peer) -> bool {
        let state = self.shared.replica.state();
        let known = state.node(&peer.node).map_or(Role::Worker, |node| node.roles.link_role());
        known == peer.role
    }

    /// Takes the session of a worker that another control node passes on.
    pub(crate) async fn serve_relay_up(&self, link: Link, mut stream: Stream) {
        if self.is_out(link.peer()) {
            stream.reset(code::FORBIDDEN, "the node was removed");
            return;
        }
        self.shared.peers.note(&link);
        let received = tokio::time::timeout(RECEIVE, stream.recv::<RelayUp>(MAX_HEADER)).await;
        let Ok(Ok(Some(RelayUp { node, protocol }))) = received else { return };
        if protocol != SESSION {
            stream.reset(code::FORBIDDEN, "only sessions are relayed upwards");
            return;
        }
        // The role was proved to the other control node; the record tells it when there is one.
        let known = self.shared.replica.state().node(&node).map(|record| record.roles);
        let roles = known.unwrap_or(Roles::WORKER);
        let path = Path::Via(link.peer().node.clone());
        self.open_session(node, roles, path, stream).await;
    }
}

fn priority(protocol: &str) -> Priority {
    if [OUTPUT, FILE, RUN].contains(&protocol) { Priority::Bulk } else { Priority::Calls }
}
