//! Streams to workers, from any control node.

use std::time::Duration;

use remuda_link::Stream;
use remuda_model::{ErrorKind, Failure, NodeId};
use tokio::time::Instant;

use crate::{
    Control,
    proxies::not_connected,
    relay::{HOPS, OpenError},
};

/// How long a worker is looked for.
const FIND: Duration = Duration::from_secs(10);

impl Control {
    /// A stream to the worker, wherever it is at this moment.
    pub(crate) async fn open_stream(
        &self,
        node: &NodeId,
        protocol: &'static str,
    ) -> Result<Stream, Failure> {
        match self.open_here(node, protocol, HOPS).await {
            Ok(stream) => return Ok(stream),
            Err(OpenError::NoWay) => (),
            Err(_) => return Err(not_connected(node)),
        }
        self.check_known(node, FIND).await?;
        let attempt =
            |owner: NodeId| async move { self.open_stream_at(&owner, node, protocol).await };
        self.at_owner(node, Instant::now() + FIND, attempt).await
    }

    async fn open_stream_at(
        &self,
        owner: &NodeId,
        node: &NodeId,
        protocol: &'static str,
    ) -> Result<Stream, Failure> {
        if *owner == self.shared.me {
            let opened = self.open_here(node, protocol, HOPS).await;
            return opened.map_err(|_error| not_connected(node));
        }
        self.open_through(owner, node, protocol, HOPS).await.map_err(|error| {
            let message = format!("cannot reach `{owner}`, the owner of node `{node}`: {error}");
            Failure::new(ErrorKind::Unavailable, message).code("control_unreachable")
        })
    }
}
