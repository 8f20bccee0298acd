//! What moves when the list of active control nodes changes: only the workers that must.

use std::{
    sync::{PoisonError, RwLock},
    time::Duration,
};

use remuda_model::{Epoch, NodeId};
use remuda_state::{ClusterState, ownership};
use tokio::time::Instant;

use crate::{Control, proxies::Place};

/// How many workers are told to move at a time, and the mean pause between: 200 a second.
const PACE: (usize, Duration) = (10, Duration::from_millis(50));
/// State changes are looked at together for this long.
const GATHER: Duration = Duration::from_millis(100);
/// How long after a change a worker may still be with its former owner.
pub(crate) const MOVING: Duration = Duration::from_mins(1);

/// What this node remembers about ownership before the present.
#[derive(Debug, Default)]
pub(crate) struct History {
    former: RwLock<Option<Former>>,
}

#[derive(Debug)]
struct Former {
    controls: Vec<NodeId>,
    until: Instant,
}

impl History {
    /// The owner before the last change, while the worker may still be there.
    pub(crate) fn former_owner(&self, worker: &NodeId) -> Option<NodeId> {
        let former = self.former.read().unwrap_or_else(PoisonError::into_inner);
        let former = former.as_ref().filter(|former| Instant::now() < former.until)?;
        ownership::owner_of(worker, &former.controls)
    }

    fn changed(&self, controls: Vec<NodeId>) {
        let until = Instant::now() + MOVING;
        *self.former.write().unwrap_or_else(PoisonError::into_inner) =
            Some(Former { controls, until });
    }
}

/// Where a worker belongs by this state, as seen by a control node.
pub fn place(state: &ClusterState, me: &NodeId, worker: &NodeId) -> Option<Place> {
    let (epoch, owner) = (state.epoch(), state.owner_of(worker)?);
    if owner == *me {
        return Some(Place::Mine(epoch));
    }
    let addresses = state.node(&owner).map(|node| node.addresses.clone()).unwrap_or_default();
    Some(Place::Elsewhere { epoch, owner, addresses })
}

impl Control {
    /// Tells the proxies where their workers belong, for ever.
    pub(crate) async fn keep_ownership(self) {
        let stop = self.shared.supervisor.token();
        let mut states = self.shared.replica.watch_state();
        let mut epoch = Epoch::default();
        let mut controls: Vec<NodeId> = Vec::new();
        loop {
            let state = states.borrow_and_update().clone();
            let mut moving = Vec::new();
            if state.epoch() != epoch {
                if !controls.is_empty() {
                    self.shared.history.changed(controls);
                }
                (epoch, controls) = (state.epoch(), state.controls());
                tracing::info!(%epoch, ?controls, "the active control nodes have changed");
                moving = self.keep_what_stays(&state);
            }
            for batch in moving.chunks(PACE.0) {
                for node in batch {
                    if let Some(proxy) = self.shared.proxies.get(node)
                        && let Some(place) = place(&state, &self.shared.me, node)
                    {
                        proxy.placed(place);
                    }
                }
                // Nodes in the same plight do not all move at the same instant.
                let pause = PACE.1.mul_f64(0.5 + fastrand::f64());
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => (),
                }
                // A newer list decides anew about those that have not moved yet.
                if states.borrow().epoch() != state.epoch() {
                    break;
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(GATHER) => (),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = states.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Gives the new epoch to all proxies that stay, at once. Returns the workers that move.
    fn keep_what_stays(&self, state: &ClusterState) -> Vec<NodeId> {
        let mut moving = Vec::new();
        for (node, proxy) in self.shared.proxies.all() {
            if proxy.place().epoch().is_none_or(|epoch| epoch >= state.epoch()) {
                continue;
            }
            match place(state, &self.shared.me, &node) {
                Some(place @ Place::Mine(_)) => proxy.placed(place),
                Some(_) => moving.push(node),
                None => (),
            }
        }
        moving
    }
}
