//! Who may come in: the decisions that the cluster's state makes.

use remuda_model::{ErrorKind, Failure, NodeId, Role};
use remuda_wire::handshake::Secret;

use crate::Peer;

/// Decides about those who dial this node, and those whom it invites. Called within the handshake: must not block.
pub trait Admission: Send + Sync {
    /// The secret that a node of this role proves; `None` when it cannot join here.
    fn join_secret(&self, role: Role) -> Option<Secret>;

    /// Whether this certificate was revoked. Asked on both sides of a link.
    fn is_revoked(&self, node: &NodeId, serial: &[u8]) -> bool;

    /// The holder of an API token.
    ///
    /// # Errors
    ///
    /// When there is no such token; must take the same time for every wrong one.
    fn client(&self, bearer: &str) -> Result<NodeId, Failure>;

    /// Whether a peer that has proved itself may stay.
    ///
    /// # Errors
    ///
    /// Why not; the peer is told.
    fn admit(&self, peer: &Peer) -> Result<(), Failure>;
}

/// The admission of a node that only works: nodes with a certificate of the cluster may dial it, and
/// nobody joins there.
#[derive(Clone, Copy, Debug, Default)]
pub struct CertificatesOnly;

impl Admission for CertificatesOnly {
    fn join_secret(&self, _role: Role) -> Option<Secret> {
        None
    }

    fn is_revoked(&self, _node: &NodeId, _serial: &[u8]) -> bool {
        false
    }

    fn client(&self, _bearer: &str) -> Result<NodeId, Failure> {
        Err(Failure::new(ErrorKind::Unauthenticated, "this node takes no clients")
            .hint("connect to a control node"))
    }

    fn admit(&self, _peer: &Peer) -> Result<(), Failure> {
        Ok(())
    }
}
