//! What moves when the list of active control nodes changes: only the workers that must.

mod history;

use std::time::Duration;

use remuda_model::{Epoch, NodeId};
use remuda_state::ClusterState;

pub use self::history::History;
use crate::{Control, proxies::Place};

/// How many workers are told to move at a time, and the mean pause between: 200 a second.
const PACE: (usize, Duration) = (10, Duration::from_millis(50));
/// State changes are looked at together for this long.
const GATHER: Duration = Duration::from_millis(100);

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
    /// Whether a worker may be on its way from a former owner to the present one.
    pub fn is_moving(&self, worker: &NodeId) -> bool {
        self.shared.history.moved_from(worker, &self.shared.replica.state()).is_some()
    }

    /// Tells the proxies where their workers belong, for ever.
    pub(crate) async fn keep_ownership(self) {
        let stop = self.shared.supervisor.token();
        let mut states = self.shared.replica.watch_state();
        let mut epoch = Epoch::default();
        loop {
            let state = states.borrow_and_update().clone();
            let mut moving = Vec::new();
            if state.epoch() != epoch {
                self.shared.history.changed(&state);
                epoch = state.epoch();
                let controls = state.controls();
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
