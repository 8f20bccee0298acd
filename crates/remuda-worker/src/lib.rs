//! The agent of a node: job classes, tasks, events, status.
//!
//! [`Worker`] opens the records of the node, finds the control node that owns it, keeps a session
//! with it, and answers its calls. Everything that decides is a pure state machine in a module
//! `core`; an `actor` beside it performs what was decided.

mod agent;
mod boot;
mod caught;
mod epoch;
mod failures;
mod files;
mod labels;
mod metrics;
mod node_class;
mod owner;
mod serve;
mod session;
#[doc(hidden)]
pub mod sim;
mod spool;
mod status;
mod store;
mod tasks;
mod told;
mod worker;

pub use boot::StartError;
pub use files::FilesConfig;
pub use node_class::{Call, NodeInfo, NodeReply, NodeRequest, StatFile, WriteFile};
pub use store::StoreError;
pub use worker::{Worker, WorkerConfig};

#[cfg(test)]
mod tests;
