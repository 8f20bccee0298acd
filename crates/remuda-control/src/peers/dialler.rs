//! Dials the control nodes to which there is no link.

use std::{collections::BTreeMap, time::Duration};

use remuda_link::{DialCause, DialError, Endpoint, Link, Priority, Router};
use remuda_model::{LinkUrl, NodeId, Role};
use remuda_runtime::Backoff;
use remuda_wire::message::{CONTROL, control};
use tokio::{task::JoinSet, time::Instant};

use crate::{Control, control::link_seed, level::too_old};

/// How long the control node with the greater name leaves the first attempt to the other.
const COURTESY: Duration = Duration::from_millis(1500);
/// How often it is looked who is missing, when nothing else happens.
const LOOK: Duration = Duration::from_millis(500);
/// How long a freshly dialled control node may take to answer its first call.
const GREETING: Duration = Duration::from_secs(5);

struct Attempts {
    backoff: Backoff,
    due: Instant,
    running: bool,
}

impl Control {
    /// Keeps a link to every other control node, for ever.
    pub(crate) async fn dial_controls(self, endpoint: Endpoint, router: Router) {
        let stop = self.shared.supervisor.token();
        let mut changed = self.shared.peers.watch();
        let mut attempts: BTreeMap<NodeId, Attempts> = BTreeMap::new();
        let mut dials: JoinSet<NodeId> = JoinSet::new();
        loop {
            let wanted = self.controls_to_link();
            let linked = self.shared.peers.settled();
            attempts.retain(|node, _| wanted.contains_key(node) && !linked.contains(node));
            for (node, addresses) in wanted {
                if linked.contains(&node) || addresses.is_empty() {
                    continue;
                }
                let attempt = attempts.entry(node.clone()).or_insert_with(|| {
                    let wait = if self.shared.me < node { Duration::ZERO } else { COURTESY };
                    let cap = Duration::from_secs(5);
                    let seed = link_seed(&self.shared.me, &node);
                    Attempts {
                        backoff: Backoff::new(Duration::from_millis(200), cap, seed),
                        due: Instant::now() + wait,
                        running: false,
                    }
                });
                if attempt.running || Instant::now() < attempt.due {
                    continue;
                }
                attempt.running = true;
                let (control, endpoint, router) = (self.clone(), endpoint.clone(), router.clone());
                dials.spawn(async move {
                    control.dial_control(&endpoint, &router, Some(&node), &addresses).await;
                    node
                });
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(done) = dials.join_next() => {
                    if let Ok(node) = done
                        && let Some(attempt) = attempts.get_mut(&node)
                    {
                        attempt.running = false;
                        attempt.due = Instant::now() + attempt.backoff.next_delay();
                    }
                }
                _ = changed.changed() => (),
                () = tokio::time::sleep(LOOK) => (),
            }
        }
    }

    /// The other control nodes that the state or the replica's membership names.
    fn controls_to_link(&self) -> BTreeMap<NodeId, Vec<LinkUrl>> {
        let state = self.shared.replica.state();
        let known = state.nodes().filter(|node| node.roles.is_control());
        let mut wanted: BTreeMap<NodeId, Vec<LinkUrl>> =
            known.map(|node| (node.id.clone(), node.addresses.clone())).collect();
        let leadership = self.shared.replica.leadership();
        for (node, addresses) in &leadership.borrow().addresses {
            let entry = wanted.entry(node.clone()).or_default();
            if entry.is_empty() {
                entry.clone_from(addresses);
            }
        }
        wanted.remove(&self.shared.me);
        wanted
    }

    /// Dials a control node at one address after the other. Tells who answered.
    pub(crate) async fn dial_control(
        &self,
        endpoint: &Endpoint,
        router: &Router,
        expected: Option<&NodeId>,
        addresses: &[LinkUrl],
    ) -> Option<NodeId> {
        for address in addresses {
            match self.greet(endpoint, router, expected, address).await {
                Ok(Some(node)) => return Some(node),
                Ok(None) => (),
                Err(error) if matches!(error.cause, DialCause::Handshake(_)) => {
                    let (failure, address) = (error.into_failure(), address.to_string());
                    let hint = failure.hint.as_deref().unwrap_or_default();
                    tracing::warn!(address, %failure, hint, "refused by a control node");
                }
                Err(error) => tracing::debug!(%address, %error, "control node not reached"),
            }
        }
        None
    }

    async fn greet(
        &self,
        endpoint: &Endpoint,
        router: &Router,
        expected: Option<&NodeId>,
        address: &LinkUrl,
    ) -> Result<Option<NodeId>, DialError> {
        let link = endpoint.dial(address).await?;
        let peer = link.peer();
        let is_expected = expected.is_none_or(|expected| *expected == peer.node);
        if peer.node == self.shared.me || peer.role != Role::Control || !is_expected {
            link.close("not the control node that was looked for");
            return Ok(None);
        }
        if let Some(failure) = too_old(&self.shared.replica.state(), peer) {
            tracing::warn!(%failure, "a control node was left alone");
            link.close(&failure.message);
            return Ok(None);
        }
        self.serve(&link, router);
        if self.greeted(&link).await {
            self.shared.peers.note(&link);
            Ok(Some(link.peer().node.clone()))
        } else {
            link.close("no answer to the greeting");
            Ok(None)
        }
    }

    /// Answers the streams of a link that this side dialled, and closes it with the node.
    pub(crate) fn serve(&self, link: &Link, router: &Router) {
        self.shared.links.add(link.clone());
        let supervisor = self.shared.supervisor.clone();
        let (link, router) = (link.clone(), router.clone());
        self.shared.supervisor.spawn("link", async move {
            router.serve(link.clone(), &supervisor).await;
            link.close("the node stops");
        });
    }

    /// Whether the peer of a link answers control protocols. By this call it learns of the link.
    pub(crate) async fn greeted(&self, link: &Link) -> bool {
        let call = remuda_wire::encode(&control::Call::ReadIndex);
        link.call(CONTROL, Priority::Control, call, GREETING).await.is_ok()
    }
}
