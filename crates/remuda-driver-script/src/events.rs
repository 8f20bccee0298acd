//! What tasks report while they run: progress, and whatever else they like to say.
//!
//! ```text
//! task ──lines──► FIFO `events` ──► script-run ──rules──► record/ ──► agent ──► spool of the node
//! ```
//!
//! The process that runs a script reads the lines, so that no task waits for an agent that is away,
//! and keeps what the rules let through in a record on disk, so that nothing is lost by it either.
//! The agent follows the record, and notes how far it has come.

mod record;
mod relay;
mod report;
mod rules;

pub(crate) use record::{Fifo, Recorder};
pub(crate) use relay::relay;
pub use report::Report;
pub(crate) use report::Saying;

/// The longest line, in bytes.
pub(crate) const MAX_LINE: usize = 64 * 1024;
