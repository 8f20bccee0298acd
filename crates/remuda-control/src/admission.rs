//! Who may open a link to this control node.

use std::sync::Arc;

use remuda_link::{Admission, Peer, Secret};
use remuda_model::{Failure, NodeId, Role};

use crate::{
    Control,
    announce::in_use,
    control::Shared,
    level::too_old,
    tokens::{check, client_name},
};

/// Answers the endpoint from the replicated state.
struct Gate {
    shared: Arc<Shared>,
}

impl Control {
    /// What the endpoint of this node asks about its peers. Usable before [`start`](Self::start).
    pub fn admission(&self) -> Arc<dyn Admission> {
        Arc::new(Gate { shared: Arc::clone(&self.shared) })
    }
}

impl Admission for Gate {
    fn join_secret(&self, role: Role) -> Option<Secret> {
        self.shared.authority().ok()?.join_secret(role)
    }

    fn is_revoked(&self, node: &NodeId, serial: &[u8]) -> bool {
        self.shared.replica.state().is_revoked(node, serial)
    }

    fn client(&self, bearer: &str) -> Result<NodeId, Failure> {
        let state = self.shared.replica.state();
        let principal = check(&state, bearer, remuda_runtime::wall_ms())?;
        client_name(&principal.token)
    }

    fn admit(&self, peer: &Peer) -> Result<(), Failure> {
        // The worker part of this node dials its own control part, as the same boot.
        let is_me = peer.role != Role::Client && peer.node == self.shared.me;
        if is_me && self.shared.generation().is_some_and(|mine| mine != peer.generation) {
            return Err(in_use(&peer.node));
        }
        if let Some(failure) = too_old(&self.shared.replica.state(), peer) {
            tracing::warn!(%failure, "a control node was refused");
            return Err(failure);
        }
        Ok(())
    }
}
