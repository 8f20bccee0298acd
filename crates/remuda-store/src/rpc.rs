//! What replicas say to each other. Enums only ever grow at the end.

use bytes::Bytes;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest, VoteResponse};
use remuda_model::{ClusterId, NodeId};
use serde::{Deserialize, Serialize};

use crate::types::{Meta, RaftVote, Types};

/// The most bytes of one call.
pub(crate) const MAX_CALL_BYTES: usize = 4 * 1024 * 1024;
/// How many bytes of a snapshot one call carries; the rest is room for what goes with them.
pub(crate) const PART_BYTES: usize = 3 * 1024 * 1024;
/// The largest snapshot that is received.
pub(crate) const MAX_SNAPSHOT_BYTES: u64 = 1024 * 1024 * 1024;

/// One call.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Envelope {
    /// Who calls.
    pub(crate) from: NodeId,
    /// Who is meant; an address may have come to belong to another node.
    pub(crate) to: NodeId,
    /// The caller's cluster, once it knows it.
    pub(crate) cluster: Option<ClusterId>,
    /// What for.
    pub(crate) request: Request,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    Append(AppendEntriesRequest<Types>),
    Vote(VoteRequest<u64>),
    Part(Part),
    /// Are you there, and do you count me in?
    Ping,
    /// From a leader that stops: stand for election.
    Elect,
}

/// One part of a snapshot, in order.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    /// The leader's vote.
    pub(crate) vote: RaftVote,
    pub(crate) meta: Meta,
    /// Chosen by the sender for this transfer.
    pub(crate) transfer: u64,
    /// Bytes in all.
    pub(crate) total: u64,
    /// CRC-32C of all bytes.
    pub(crate) checksum: u32,
    /// Where this part begins.
    pub(crate) offset: u64,
    pub(crate) bytes: Bytes,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    Append(AppendEntriesResponse<u64>),
    Vote(VoteResponse<u64>),
    /// The vote of the receiver, which may be higher than the sender's. After the last part the
    /// snapshot is installed.
    Part(RaftVote),
    Pong {
        /// Whether the caller votes, as far as this node knows.
        is_voter: bool,
    },
    Elect,
}
