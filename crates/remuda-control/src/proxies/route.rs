//! How calls reach a worker. Everything here is on the path of each call.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use remuda_link::{CallError, Link, Priority};
use remuda_model::{Epoch, ErrorKind, Failure, NodeId};
use remuda_wire::message::{RELAY, WORK, control::Relay, work};

use crate::{announce::Process, peers::Peers};

/// A relayed stream is reset with this code when the relaying node cannot pass it on; nothing was
/// done.
pub(crate) const NOT_HERE: u32 = 0x40;

/// The way to a worker that has a session.
#[derive(Clone, Debug)]
pub(crate) enum Path {
    /// By its own link.
    Direct(Link),
    /// Through the control node that has its link.
    Via(NodeId),
}

/// The way to a worker, and what makes it obey.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub path: Path,
    /// Who has the session.
    pub process: Process,
    pub epoch: Epoch,
}

impl Route {
    /// Whether the link, as far as it is known here, is up.
    pub(crate) fn is_alive(&self) -> bool {
        match &self.path {
            Path::Direct(link) => !link.is_closed(),
            Path::Via(_) => true,
        }
    }

    /// The measured round trip of a direct way, in microseconds.
    pub(crate) fn rtt_us(&self) -> Option<u64> {
        match &self.path {
            Path::Direct(link) => {
                link.rtt().map(|rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX))
            }
            Path::Via(_) => None,
        }
    }

    /// Makes one call to the worker.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future resets the stream, which cancels the call.
    pub(crate) async fn call(
        &self,
        peers: &Peers,
        node: &NodeId,
        op: &work::Op,
        deadline: Duration,
    ) -> work::Reply {
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        // The bytes of a `work::Call`, without a copy of the payload.
        let body = remuda_wire::encode(&(self.epoch, deadline_ms, op));
        let answer = match &self.path {
            Path::Direct(link) => link.call(WORK, Priority::Calls, body, deadline).await,
            Path::Via(control) => {
                let link = peers.link_to(control).ok_or_else(|| not_connected(node))?;
                let body = relayed(node, &body);
                link.call(RELAY, Priority::Calls, body, deadline).await
            }
        };
        match answer {
            Ok(reply) => remuda_wire::decode::<work::Reply>(&reply).unwrap_or_else(|error| {
                let message = format!("node `{node}` gave an answer that cannot be read: {error}");
                Err(Failure::new(ErrorKind::OutcomeUnknown, message).code("malformed_reply"))
            }),
            Err(CallError::Reset { code: NOT_HERE, .. }) => Err(not_connected(node)),
            Err(error) => Err(error.into_failure(&format!("node `{node}`"))),
        }
    }
}

/// The header of a relayed call and the call behind it.
fn relayed(node: &NodeId, body: &Bytes) -> Bytes {
    let relay = Relay { node: node.clone(), protocol: WORK.to_owned(), hops: 1 };
    let header = remuda_wire::encode_framed(&relay);
    let mut whole = BytesMut::with_capacity(header.len() + body.len());
    whole.put(header);
    whole.put_slice(body);
    whole.freeze()
}

/// The worker has no session here; nothing was sent.
pub(crate) fn not_connected(node: &NodeId) -> Failure {
    Failure::new(ErrorKind::NotConnected, format!("node `{node}` is not connected"))
        .hint("it reconnects by itself when it can; see `remuda node list`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_written_as_its_message() {
        let op = work::Op::Request { class: "node".parse().unwrap(), payload: vec![1, 2] };
        let bytes = remuda_wire::encode(&(Epoch(7), 900_u64, &op));
        let call = remuda_wire::decode::<work::Call>(&bytes).expect("readable");
        assert_eq!(call, work::Call { epoch: Epoch(7), deadline_ms: 900, op });
    }
}
