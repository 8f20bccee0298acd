//! Who is at the other end of a link.

use remuda_model::{Generation, LinkUrl, NodeId, Role, Transport};

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
    /// What carries the link.
    pub transport: Transport,
    /// Its address as this side sees it.
    pub remote: String,
    /// Where it says that it can be dialled.
    pub addresses: Vec<LinkUrl>,
    /// Whether this side dialled.
    pub dialled: bool,
}
