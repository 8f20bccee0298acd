//! Calls to other replicas, for the Raft library and for ourselves.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use bytes::Bytes;
use openraft::{
    OptionalSend, RaftNetwork, RaftNetworkFactory,
    error::{
        Fatal, NetworkError, PayloadTooLarge, RPCError, RaftError, ReplicationClosed,
        StreamingError, Unreachable,
    },
    network::{Backoff as Pauses, RPCOption},
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
    },
};
use remuda_model::{LinkUrl, NodeId};
use remuda_runtime::Backoff;
use remuda_state::{ClusterState, DecodeError};
use tokio::sync::watch;

use crate::{
    RaftTransport, SendError,
    rpc::{Envelope, MAX_CALL_BYTES, PART_BYTES, Part, Reply, Request},
    types::{Member, RaftVote, Snapshot, Types, raft_id},
};

type RpcError<E = RaftError<u64>> = RPCError<u64, Member, E>;

/// What one node needs to call others.
pub(crate) struct Wire {
    pub(crate) node: NodeId,
    pub(crate) transport: Arc<dyn RaftTransport>,
    pub(crate) state: watch::Receiver<Arc<ClusterState>>,
    /// The members as last known, which may be newer than what the library was started with.
    pub(crate) members: RwLock<BTreeMap<u64, Member>>,
    /// The longest pause before an unreachable node is tried again.
    pub(crate) longest_pause: Duration,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("node", &self.node).finish_non_exhaustive()
    }
}

/// Why a call brought nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("no answer in time")]
    TimedOut,
    #[error("the answer makes no sense")]
    Nonsense(#[source] DecodeError),
    #[error("the answer is to another question")]
    Mismatch,
    #[error("the member has no name")]
    Nameless,
    #[error("{0} bytes are too many for one call")]
    TooLarge(usize),
}

impl CallError {
    fn is_unreachable(&self) -> bool {
        matches!(self, Self::Send(SendError::Unreachable(_)))
    }
}

impl Wire {
    /// The member with this number, if known.
    pub(crate) fn member(&self, id: u64) -> Option<Member> {
        self.members.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Replaces what is known of the members.
    pub(crate) fn set_members(&self, members: BTreeMap<u64, Member>) {
        *self.members.write().unwrap_or_else(PoisonError::into_inner) = members;
    }

    /// Asks one node and waits for its answer, at most `ttl`.
    pub(crate) async fn call(
        &self,
        to: &Member,
        request: Request,
        ttl: Duration,
    ) -> Result<Reply, CallError> {
        let node = to.node().ok_or(CallError::Nameless)?;
        let member = self.member(raft_id(&node));
        let addresses: &[LinkUrl] = member.as_ref().map_or(&to.addresses, |m| &m.addresses);
        let cluster = self.state.borrow().cluster().map(|cluster| cluster.id.clone());
        let envelope = Envelope { from: self.node.clone(), to: node.clone(), cluster, request };
        let rpc = Bytes::from(remuda_state::encode(&envelope));
        if rpc.len() > MAX_CALL_BYTES {
            return Err(CallError::TooLarge(rpc.len()));
        }
        let answer = self.transport.send(&node, addresses, rpc, ttl);
        let answer =
            tokio::time::timeout(ttl, answer).await.map_err(|_elapsed| CallError::TimedOut)??;
        remuda_state::decode(&answer).map_err(CallError::Nonsense)
    }
}

/// Makes the callers that the library uses.
#[derive(Debug)]
pub(crate) struct Network(pub(crate) Arc<Wire>);

impl RaftNetworkFactory<Types> for Network {
    type Network = Caller;

    async fn new_client(&mut self, target: u64, node: &Member) -> Caller {
        let longest = self.0.longest_pause;
        let failures = Backoff::new(longest / 16, longest, target);
        Caller { wire: Arc::clone(&self.0), target, member: node.clone(), failures }
    }
}

/// Calls one other replica.
#[derive(Debug)]
pub(crate) struct Caller {
    wire: Arc<Wire>,
    target: u64,
    member: Member,
    /// Slows down calls that fail at once although there is a link.
    failures: Backoff,
}

impl Caller {
    async fn call<E: std::error::Error>(
        &mut self,
        request: Request,
        ttl: Duration,
    ) -> Result<Reply, RpcError<E>> {
        let half = match &request {
            Request::Append(append) => u64::try_from(append.entries.len() / 2).unwrap_or(0),
            _ => 0,
        };
        match self.wire.call(&self.member, request, ttl).await {
            Ok(reply) => {
                self.failures.reset();
                Ok(reply)
            }
            Err(CallError::TooLarge(_)) if half > 0 => {
                Err(PayloadTooLarge::new_entries_hint(half).into())
            }
            Err(error) if error.is_unreachable() => Err(Unreachable::new(&error).into()),
            Err(error) => {
                if !matches!(error, CallError::TimedOut) {
                    // The library repeats at once; it drops this call at its own deadline.
                    tokio::time::sleep(self.failures.next_delay()).await;
                }
                Err(NetworkError::new(&error).into())
            }
        }
    }
}

fn mismatch<E: std::error::Error>() -> RpcError<E> {
    NetworkError::new(&CallError::Mismatch).into()
}

impl RaftNetwork<Types> for Caller {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RpcError> {
        match self.call(Request::Append(rpc), option.hard_ttl()).await? {
            Reply::Append(response) => Ok(response),
            _ => Err(mismatch()),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<u64>,
        option: RPCOption,
    ) -> Result<VoteResponse<u64>, RpcError> {
        match self.call(Request::Vote(rpc), option.hard_ttl()).await? {
            Reply::Vote(response) => Ok(response),
            _ => Err(mismatch()),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: RaftVote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamingError<Types, Fatal<u64>>> {
        tokio::select! {
            biased;
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = self.send_snapshot(vote, snapshot, option.hard_ttl()) => sent,
        }
    }

    fn backoff(&self) -> Pauses {
        let longest = self.wire.longest_pause;
        let mut backoff = Backoff::new(longest / 4, longest, self.target);
        Pauses::new(std::iter::repeat_with(move || backoff.next_delay()))
    }
}

impl Caller {
    async fn send_snapshot(
        &mut self,
        vote: RaftVote,
        snapshot: Snapshot,
        ttl: Duration,
    ) -> Result<SnapshotResponse<u64>, StreamingError<Types, Fatal<u64>>> {
        let state = snapshot.snapshot;
        let bytes = remuda_runtime::blocking(move || remuda_state::encode(&*state)).await;
        let bytes = Bytes::from(bytes.map_err(|error| NetworkError::new(&error))?);
        let checksum = crc32c::crc32c(&bytes);
        let total = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let transfer = fastrand::u64(..);
        let mut offset = 0;
        loop {
            let end = bytes.len().min(offset + PART_BYTES);
            let part = Part {
                vote,
                meta: snapshot.meta.clone(),
                transfer,
                total,
                checksum,
                offset: u64::try_from(offset).unwrap_or(u64::MAX),
                bytes: bytes.slice(offset..end),
            };
            let reply = self.call(Request::Part(part), ttl).await.map_err(streaming)?;
            let Reply::Part(theirs) = reply else {
                return Err(NetworkError::new(&CallError::Mismatch).into());
            };
            offset = end;
            if offset == bytes.len() || theirs > vote {
                return Ok(SnapshotResponse::new(theirs));
            }
        }
    }
}

fn streaming(error: RpcError<Fatal<u64>>) -> StreamingError<Types, Fatal<u64>> {
    match error {
        RPCError::Unreachable(error) => error.into(),
        RPCError::Network(error) => error.into(),
        other => NetworkError::new(&other).into(),
    }
}
