//! The level of the cluster: the protocol version that every control node speaks.
//!
//! The leader raises it when all control nodes, those that are away included, have been seen to
//! speak more ([`crate::membership`]). From then on older control nodes are kept out, because they
//! could not read the log.

use std::collections::BTreeMap;

use remuda_link::Peer;
use remuda_model::{ErrorKind, Failure, NodeId, Role};
use remuda_state::ClusterState;

use crate::Control;

/// Why the peer of a link may not take part any more.
pub(crate) fn too_old(state: &ClusterState, peer: &Peer) -> Option<Failure> {
    let level = state.level();
    let is_old = peer.role == Role::Control && peer.protocol < level;
    is_old.then(|| {
        let message = format!(
            "control node `{}` runs remuda {}, which speaks protocol version {}; all others have \
             been upgraded to version {level}",
            peer.node, peer.version, peer.protocol
        );
        Failure::new(ErrorKind::Conflict, message).code("version_too_old").hint(
            "install the newer version there; once all control nodes run it there is no way back",
        )
    })
}

impl Control {
    /// The protocol versions of this control node and of those that it is linked to.
    pub(crate) fn spoken(&self) -> BTreeMap<NodeId, u16> {
        let mut spoken = self.shared.peers.spoken();
        spoken.insert(self.shared.me.clone(), self.shared.release.protocol);
        spoken
    }
}
