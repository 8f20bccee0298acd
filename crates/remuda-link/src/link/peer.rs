//! Who is at the other end of a link.

use remuda_model::{Generation, LinkUrl, NodeId, Role, Transport};
use remuda_wire::handshake::Method;

use crate::KeyId;

/// The other end of a link, as the handshake has authenticated it.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its name; for a client the id of its token.
    pub node: NodeId,
    /// Its role on this link.
    pub role: Role,
    /// Its boot counter.
    pub generation: Generation,
    /// The version it runs.
    pub version: String,
    /// The protocol version that both sides speak.
    pub protocol: u16,
    /// What carries the link.
    pub transport: Transport,
    /// Its address as this side sees it.
    pub remote: String,
    /// Where it says that it can be dialled.
    pub addresses: Vec<LinkUrl>,
    /// Whether this side dialled.
    pub dialled: bool,
    /// How the dialling side proved itself, or the one that was invited.
    pub authenticated_by: Method,
    /// The CAs on which the link rests: those that have signed the certificates of both sides;
    /// none without TLS.
    pub issuers: Vec<KeyId>,
}

impl Peer {
    /// Whether the peer knows the join secret and has no certificate yet, where certificates are
    /// the rule: it may ask for one ([`JOIN`](remuda_wire::message::JOIN)) and for nothing else.
    pub fn may_only_join(&self) -> bool {
        self.authenticated_by == Method::Secret && self.transport.is_encrypted()
    }

    /// Whether the link rests on a CA other than these, so that it would not come about anew.
    pub fn is_outdated(&self, trusted: &[KeyId]) -> bool {
        self.issuers.iter().any(|issuer| !trusted.contains(issuer))
    }
}
