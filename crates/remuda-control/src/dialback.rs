//! Dials workers that listen and have no session: they may have nobody to dial themselves.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use remuda_link::{Endpoint, Router};
use remuda_model::{LinkUrl, NodeId};
use remuda_runtime::Backoff;
use tokio::{task::JoinSet, time::Instant};

use crate::{
    Control,
    control::link_seed,
    proxies::{Path, Route},
};

/// How often it is looked who is missing.
const LOOK: Duration = Duration::from_secs(2);
/// How long a worker may take to come by itself.
const COURTESY: Duration = Duration::from_secs(10);
/// How many workers are dialled at a time.
const AT_A_TIME: usize = 16;

struct Missing {
    backoff: Backoff,
    due: Instant,
}

impl Control {
    /// Looks for missing workers, for ever.
    pub(crate) async fn dial_workers(self, endpoint: Endpoint, router: Router) {
        let stop = self.shared.supervisor.token();
        let mut missing: BTreeMap<NodeId, Missing> = BTreeMap::new();
        let mut dials: JoinSet<NodeId> = JoinSet::new();
        let mut running: BTreeSet<NodeId> = BTreeSet::new();
        loop {
            let wanted = self.missing_workers();
            missing.retain(|node, _| wanted.contains_key(node));
            let now = Instant::now();
            for (node, addresses) in wanted {
                let entry = missing.entry(node.clone()).or_insert_with(|| Missing {
                    backoff: Backoff::for_links(link_seed(&self.shared.me, &node)),
                    due: now + COURTESY,
                });
                if now < entry.due || running.contains(&node) || running.len() >= AT_A_TIME {
                    continue;
                }
                entry.due = now + LOOK + entry.backoff.next_delay();
                running.insert(node.clone());
                let (control, endpoint, router) = (self.clone(), endpoint.clone(), router.clone());
                dials.spawn(async move {
                    control.dial_worker(&endpoint, &router, &node, &addresses).await;
                    node
                });
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(done) = dials.join_next() => match done {
                    Ok(node) => drop(running.remove(&node)),
                    // A panic hides whose dial it was; all are looked at again.
                    Err(_) => running.clear(),
                },
                () = tokio::time::sleep(LOOK) => (),
            }
        }
    }

    /// The workers of this owner that listen and have no session.
    fn missing_workers(&self) -> BTreeMap<NodeId, Vec<LinkUrl>> {
        let state = self.shared.replica.state();
        state
            .nodes()
            .filter(|node| !node.roles.is_control() && !node.addresses.is_empty())
            .filter(|node| state.owner_of(&node.id).as_ref() == Some(&self.shared.me))
            .filter(|node| {
                let proxy = self.shared.proxies.get(&node.id);
                proxy.is_none_or(|proxy| proxy.route().is_none_or(|route| self.is_outdated(&route)))
            })
            .map(|node| (node.id.clone(), node.addresses.clone()))
            .collect()
    }

    /// Whether this node has dialled the worker on certificates of a former CA: only this node can
    /// replace such a link.
    fn is_outdated(&self, route: &Route) -> bool {
        match &route.path {
            Path::Direct(link) => link.peer().dialled && self.shared.peers.is_outdated(link),
            Path::Via(_) => false,
        }
    }

    async fn dial_worker(
        &self,
        endpoint: &Endpoint,
        router: &Router,
        node: &NodeId,
        addresses: &[LinkUrl],
    ) {
        for address in addresses {
            match endpoint.dial(address).await {
                Ok(link) if link.peer().node == *node => {
                    // The worker announces itself on the link that it finds.
                    self.serve(&link, router);
                    return;
                }
                Ok(link) => link.close("not the node that was looked for"),
                Err(error) => tracing::debug!(%node, %address, %error, "worker not reached"),
            }
        }
    }
}
