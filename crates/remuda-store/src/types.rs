//! The types that the Raft library works with here.

use openraft::{LogId, SnapshotMeta, StorageIOError, StoredMembership, Vote};
use remuda_model::{LinkUrl, NodeId};
use remuda_state::{Applied, Batch, ClusterState};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::runtime::Runtime;

openraft::declare_raft_types!(
    /// Commands in, outcomes out; a snapshot is the state itself.
    pub(crate) Types:
        D = Batch,
        R = Vec<Applied>,
        NodeId = u64,
        Node = Member,
        Entry = openraft::Entry<Types>,
        SnapshotData = ClusterState,
        AsyncRuntime = Runtime,
);

pub(crate) type Raft = openraft::Raft<Types>;
pub(crate) type RaftLogId = LogId<u64>;
pub(crate) type RaftVote = Vote<u64>;
pub(crate) type Entry = openraft::Entry<Types>;
pub(crate) type Metrics = openraft::RaftMetrics<u64, Member>;
pub(crate) type Meta = SnapshotMeta<u64, Member>;
pub(crate) type Members = StoredMembership<u64, Member>;
pub(crate) type StorageError = openraft::StorageError<u64>;
pub(crate) type IoError = StorageIOError<u64>;
pub(crate) type Snapshot = openraft::Snapshot<Types>;

/// What the replicated membership says about one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    /// Its name. Text, because the library needs a default value.
    name: String,
    /// Where it can be dialled.
    pub(crate) addresses: Vec<LinkUrl>,
}

impl Member {
    pub(crate) fn new(node: &NodeId, addresses: Vec<LinkUrl>) -> Self {
        Self { name: node.to_string(), addresses }
    }

    /// Its name; absent for the default value only.
    pub(crate) fn node(&self) -> Option<NodeId> {
        self.name.parse().ok()
    }
}

/// The number of a node in votes and log ids: the first eight bytes of SHA-256 of its name.
pub(crate) fn raft_id(node: &NodeId) -> u64 {
    let digest: [u8; 32] = Sha256::digest(node.as_str()).into();
    digest.iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raft_ids_never_change() {
        let node: NodeId = "dev1".parse().expect("a node name");
        assert_eq!(raft_id(&node), 0xcf4b_9c1f_5eb3_1deb);
    }
}
