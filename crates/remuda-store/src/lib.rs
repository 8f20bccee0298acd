//! The replica: Raft over raft-log, state in memory, snapshots in checksummed files.
//!
//! No type of the Raft library is visible outside of this crate.

mod config;
mod error;
mod leadership;
mod replica;
mod transport;

pub use config::{ReplicaConfig, Timing};
pub use error::{BootstrapError, MembershipError, OpenError, ProposeError, WaitError};
pub use leadership::Leadership;
pub use replica::{Committed, Replica};
pub use transport::{RaftTransport, SendError};
