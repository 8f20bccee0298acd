//! The replica: Raft over raft-log, state in memory, snapshots in checksummed files.
//!
//! No type of the Raft library is visible outside of this crate.

mod config;
pub mod disk;
mod error;
mod framed;
mod fuzzing;
mod guard;
mod incoming;
mod leadership;
mod log;
mod machine;
mod meta;
mod network;
mod replica;
mod rpc;
mod runtime;
mod snapshot;
mod transplant;
mod transport;
mod types;

#[cfg(test)]
mod tests;

pub use config::{ReplicaConfig, Timing};
pub use error::{BootstrapError, MembershipError, OpenError, ProposeError, WaitError};
pub use fuzzing::{read_records, sample_record};
pub use leadership::Leadership;
pub use replica::{Committed, Replica};
pub use transplant::{plant, salvage};
pub use transport::{RaftTransport, SendError};
