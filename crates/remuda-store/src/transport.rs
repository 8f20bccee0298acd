//! How replicas reach each other: the one thing that they do not bring themselves.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use remuda_model::{LinkUrl, NodeId};

/// Carries one call to another control node and brings back the answer of its
/// [`Replica::serve`](crate::Replica::serve).
pub trait RaftTransport: Send + Sync + 'static {
    /// Sends `rpc` (at most 4 MiB) to the node, at these addresses if there is no link yet, and
    /// waits for the answer. It should end by `ttl`; the caller stops waiting then.
    fn send(
        &self,
        to: &NodeId,
        addresses: &[LinkUrl],
        rpc: Bytes,
        ttl: Duration,
    ) -> BoxFuture<'static, Result<Bytes, SendError>>;
}

/// No answer came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// There is no link to the node and none could be made: it is asked again after a pause.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// There is a link, and the call failed on it: it is repeated at once.
    #[error("call failed: {0}")]
    Failed(String),
}
