//! Nodes are forgotten, and stay out until they join anew.
//!
//! The change that forgets a node revokes its certificates and keeps its name out, in one step.
//! Every control node that applies it closes the links of the node; see [`Control::keep_out`].

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use remuda_link::{KeyId, Link, Peer};
use remuda_model::{ErrorKind, Failure, NodeId, NodeStatus, Revision, Role};
use remuda_runtime::wall_ms;
use remuda_state::{Change, ClusterState, Refusal};

use crate::{Consistency, Control, level::too_old, proposals::CHANGE, proxies::Place};

/// How long a removed control node may keep its vote.
const UNVOTED: Duration = Duration::from_secs(15);
/// Before anybody was removed and the level was raised.
const NOTHING: (Revision, u16) = (Revision(0), 1);
/// Links are looked at so often while the name of one that came late may be out already.
const LOOK: Duration = Duration::from_secs(2);

/// The refusal of a process whose node was removed.
pub(crate) fn removed(node: &NodeId) -> Failure {
    Refusal::Removed(node.clone()).into()
}

/// Whether a link belongs to a node that was removed. First contact is not over before the node is
/// let in again, so a link for that may stay.
fn is_out(state: &ClusterState, peer: &Peer) -> bool {
    peer.role != Role::Client && !peer.may_only_join() && state.is_removed(&peer.node)
}

/// The open links of this control node; closed ones are forgotten in passing.
#[derive(Debug, Default)]
pub(crate) struct Links(Mutex<Vec<Link>>);

impl Links {
    /// Takes note of a link, so that it is closed when its peer is removed.
    pub(crate) fn add(&self, link: Link) {
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if links.len() == links.capacity() {
            links.retain(|link| !link.is_closed());
        }
        links.push(link);
    }

    /// The round trips of open links, by the role of the peer.
    pub(crate) fn round_trips(&self) -> BTreeMap<Role, Vec<Duration>> {
        let links = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut by_role: BTreeMap<Role, Vec<Duration>> = BTreeMap::new();
        for link in links.iter().filter(|link| !link.is_closed()) {
            by_role.entry(link.peer().role).or_default().extend(link.rtt());
        }
        by_role
    }

    /// Closes the links of nodes that rest on a CA other than these.
    pub(crate) fn close_outdated(&self, trusted: &[KeyId]) {
        let links = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let outdated = |link: &&Link| {
            let peer = link.peer();
            peer.role != Role::Client && !peer.may_only_join() && peer.is_outdated(trusted)
        };
        for link in links.iter().filter(|link| !link.is_closed()).filter(outdated) {
            tracing::info!(peer = %link.peer().node, "closing a link of the former authority");
            link.close("the link rests on a certificate authority that does not count any more");
        }
    }

    /// Closes the links of those who may not take part any more.
    fn close_unwelcome(&self, state: &ClusterState) {
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|link| !link.is_closed());
        for link in links.iter() {
            if is_out(state, link.peer()) {
                tracing::info!(peer = %link.peer().node, "closing the link of a removed node");
                link.close("the node was removed from the cluster");
            } else if let Some(failure) = too_old(state, link.peer()) {
                tracing::warn!(%failure, "closing the link of a control node");
                link.close(&failure.message);
            }
        }
    }
}

impl Control {
    /// Forgets a node. A connected one only by force. Its certificates are revoked and its links
    /// closed: it comes back only by joining anew. A control node loses workers, vote and copy of
    /// the state.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound); [`Conflict`](ErrorKind::Conflict) with the code
    /// `node_connected`, or for the last active control node.
    pub async fn remove_node(&self, node: &NodeId, force: bool) -> Result<(), Failure> {
        let view = self.node(node, Consistency::Linearizable).await?;
        if !force && view.status != NodeStatus::NotConnected {
            let message = format!("node `{node}` is connected");
            return Err(Failure::new(ErrorKind::Conflict, message)
                .code("node_connected")
                .hint("stop its agent first, or remove it by force"));
        }
        let is_control = view.roles.is_control();
        if is_control && *node == self.shared.me {
            let message = format!("control node `{node}` cannot remove itself");
            return Err(Failure::new(ErrorKind::Conflict, message)
                .code("removes_itself")
                .hint("stop its agent, which leaves the cluster, or ask another control node"));
        }
        let change = Change::RemoveNode { node: node.clone(), now_ms: wall_ms() };
        self.propose(change, CHANGE).await?;
        if is_control {
            self.without_vote(node).await?;
        }
        Ok(())
    }

    /// Whether a peer was removed, as far as the state has come here.
    pub(crate) fn is_out(&self, peer: &Peer) -> bool {
        is_out(&self.shared.replica.state(), peer)
    }

    /// Ends the links and sessions of nodes that are removed, and the links of control nodes that
    /// are too old, for ever.
    pub(crate) async fn keep_out(self) {
        let stop = self.shared.supervisor.token();
        let mut states = self.shared.replica.watch_state();
        // When somebody was removed last, and which level is needed.
        let mut done = NOTHING;
        loop {
            let state = states.borrow_and_update().clone();
            let now = (state.revoked_at(), state.level());
            if now != done {
                done = now;
                self.shared.links.close_unwelcome(&state);
                for (node, proxy) in self.shared.proxies.all() {
                    if state.is_removed(&node) {
                        proxy.placed(Place::Removed);
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = states.changed() => if changed.is_err() { return },
                // A handshake may have been under way while its node was removed.
                () = tokio::time::sleep(LOOK) => done = NOTHING,
            }
        }
    }

    /// Waits until a removed control node does not vote any more; the leader sees to it.
    async fn without_vote(&self, node: &NodeId) -> Result<(), Failure> {
        let mut leadership = self.shared.replica.leadership();
        let gone = leadership.wait_for(|now| !now.voters.contains(node));
        if let Ok(Ok(_)) = tokio::time::timeout(UNVOTED, gone).await {
            return Ok(());
        }
        let message = format!("node `{node}` is forgotten but still votes");
        Err(Failure::new(ErrorKind::Unavailable, message)
            .code("still_votes")
            .hint("it loses its vote once a majority of the control nodes runs"))
    }
}
