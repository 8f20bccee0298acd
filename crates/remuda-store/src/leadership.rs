//! Who leads and who votes, as one replica knows it.

use std::collections::{BTreeMap, BTreeSet};

use remuda_model::{LinkUrl, NodeId};

/// The replication as one replica knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The leader of the term, if known.
    pub leader: Option<NodeId>,
    /// Whether this node leads. An isolated leader does not know that others have elected another.
    pub is_leader: bool,
    /// The term.
    pub term: u64,
    /// The nodes that vote.
    pub voters: BTreeSet<NodeId>,
    /// The nodes that only replicate.
    pub learners: BTreeSet<NodeId>,
    /// The last index in the log of this node.
    pub last_log: u64,
    /// The last index that its state contains.
    pub applied: u64,
    /// Where voters and learners can be dialled.
    pub addresses: BTreeMap<NodeId, Vec<LinkUrl>>,
    /// On the leader: the last index that each other node has on its disk, once it has answered.
    pub matched: BTreeMap<NodeId, u64>,
    /// Why the replica has stopped by itself, such as a disk that failed. It stays stopped.
    pub fault: Option<String>,
}
