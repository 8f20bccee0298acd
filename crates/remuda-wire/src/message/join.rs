//! First contact: a node that proved the join secret asks for its certificate.

use std::fmt;

use remuda_model::{Failure, LinkUrl, NodeId};
use serde::{Deserialize, Serialize};

/// Asks for a certificate of the link's node id and role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// A certificate signing request, DER.
    pub csr: Vec<u8>,
}

/// The answer.
pub type Answer = Result<Credentials, Failure>;

/// What a node needs to come back with mutual TLS.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The node's certificate, DER.
    pub certificate: Vec<u8>,
    /// The cluster's CA certificate, DER.
    pub ca: Vec<u8>,
    /// The control nodes of the cluster and where they can be dialled.
    pub controls: Vec<(NodeId, Vec<LinkUrl>)>,
    /// For control nodes only: what lets them admit others.
    pub authority: Option<Authority>,
}

/// The secrets that control nodes share.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    /// The private key of the CA, PKCS#8 DER.
    pub ca_key: Vec<u8>,
    /// The secret that workers prove when they join.
    pub worker_secret: [u8; 32],
    /// The secret that control nodes prove when they join.
    pub control_secret: [u8; 32],
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("controls", &self.controls).finish_non_exhaustive()
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority(***)")
    }
}
