//! The replica's messages over the links between control nodes.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use remuda_link::{CallError, Link, MAX_REPLY, Priority, Stream, code};
use remuda_model::{LinkUrl, NodeId};
use remuda_store::{RaftTransport, SendError};
use remuda_wire::message::RAFT;

use crate::{Control, peers::Peers};

/// How long the rest of an incoming message may take.
const RECEIVE: Duration = Duration::from_secs(30);

/// Sends the replica's messages.
#[derive(Debug)]
pub(crate) struct LinkTransport {
    pub peers: Arc<Peers>,
}

impl RaftTransport for LinkTransport {
    fn send(
        &self,
        to: &NodeId,
        _addresses: &[LinkUrl],
        rpc: Bytes,
        ttl: Duration,
    ) -> BoxFuture<'static, Result<Bytes, SendError>> {
        // The dialler keeps the links; a message never waits for one.
        let link = self.peers.link_to(to);
        let to = to.clone();
        Box::pin(async move {
            let Some(link) = link else {
                return Err(SendError::Unreachable(format!("no link to control node `{to}`")));
            };
            link.call(RAFT, Priority::Control, rpc, ttl).await.map_err(|error| match error {
                CallError::NotSent(_) | CallError::Lost | CallError::TimedOut => {
                    SendError::Unreachable(error.to_string())
                }
                CallError::Reset { .. } | CallError::TooLarge => {
                    SendError::Failed(error.to_string())
                }
            })
        })
    }
}

impl Control {
    /// Answers one message of another replica.
    pub(crate) async fn serve_raft(&self, link: Link, mut stream: Stream) {
        if self.is_out(link.peer()) {
            stream.reset(code::FORBIDDEN, "the node was removed");
            return;
        }
        self.shared.peers.note(&link);
        let received = tokio::time::timeout(RECEIVE, stream.read_to_end(MAX_REPLY)).await;
        let Ok(Ok(rpc)) = received else { return };
        match self.shared.replica.serve(rpc).await {
            Ok(reply) => drop(stream.finish_with(reply).await),
            Err(failure) => stream.reset(code::CANCELLED, &failure.message),
        }
    }
}
