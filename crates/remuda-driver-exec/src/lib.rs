//! Processes on a node, kept by a holder that outlives the agent.
//!
//! The job class `exec` runs commands: briefly as a *request*, whose output is captured, or for
//! long as a *task*. Tasks are children of the **holder**, one small process for each worker, so
//! that the agent can crash, restart or be upgraded without a task noticing. The holder pumps the
//! output of tasks to files, enforces their time limits and records how they end, all of which an
//! agent takes up again when it comes back.
//!
//! ```text
//! agent ──socket──► holder ──► task (own session) ──► whatever it starts
//!   ▲                 │
//!   └── files ◄───────┘   DIR/tasks/ID/{spawned, exit, 000….out}
//! ```
//!
//! When the holder is killed, its tasks end with it; they are reported lost.

mod class;
mod client;
mod holder;
mod launch;
mod proc;
mod protocol;
mod quote;
mod record;
mod request;
mod signal;
mod spec;

pub use class::{ExecConfig, ExecError, exec_class};
pub use holder::{HolderError, run_holder};
#[doc(hidden)]
pub use protocol::read_frames;
pub use spec::{ExecCommand, ExecReply, ExecSpec, Stdin};
