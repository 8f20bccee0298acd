//! What a replica needs to know before it starts.

use std::{path::PathBuf, time::Duration};

use remuda_model::{LinkUrl, NodeId};

/// How one replica runs.
#[derive(Clone, Debug)]
pub struct ReplicaConfig {
    /// Its directory, for it alone: `meta`, `log/` and `snapshots/` are made in it.
    pub dir: PathBuf,
    /// The node that it runs on.
    pub node: NodeId,
    /// Where other control nodes dial this one.
    pub addresses: Vec<LinkUrl>,
    /// Periods and limits.
    pub timing: Timing,
}

/// Periods of the replication, equal on all control nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How often the leader shows that it lives. One round trip must be shorter. At least 1 ms.
    pub heartbeat: Duration,
    /// The shortest time without a heartbeat after which a voter may stand for election, on top of
    /// `election_max`. More than `heartbeat`.
    pub election_min: Duration,
    /// The longest such time, and how long a heartbeat forbids votes for others. More than
    /// `election_min`.
    pub election_max: Duration,
    /// After how many log entries a snapshot is written. At least 1.
    pub snapshot_after: u64,
}

impl Timing {
    /// For a local network: 100 ms, 500 ms to 1 s, every 5,000 entries. A leader that dies is
    /// replaced in about two seconds.
    pub const LAN: Self = Self {
        heartbeat: Duration::from_millis(100),
        election_min: Duration::from_millis(500),
        election_max: Duration::from_secs(1),
        snapshot_after: 5000,
    };
}

impl Default for Timing {
    fn default() -> Self {
        Self::LAN
    }
}
