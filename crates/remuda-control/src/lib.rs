//! The control side of a node: replica, node proxies, ownership, use cases.
//!
//! [`Control`] answers every use case from any control node: reads from its copy of the replicated
//! state, work by way of the control node that owns the worker.
//!
//! | module | does |
//! |---|---|
//! | `peers` | links to the other control nodes |
//! | `raft` | the replica's messages over those links |
//! | `proposals` | changes and reads by way of the leader |
//! | `membership` | who replicates, who votes, who owns workers; on the leader |
//! | `announce`, `session`, `proxies` | workers: where they belong, what they say |
//! | `ownership` | what moves when the control nodes change |
//! | `streams`, `relay` | streams to workers, also for those that their owner cannot reach |
//! | `backup` | what a new first control node can be made of |
//! | `metrics` | what is counted, for Prometheus |
//! | `authority`, `rotation` | the CA and the join secrets, and how they are exchanged |
//! | `runs` | fan-out runs: who contacts which target, and what came of it |
//! | `target_lists`, `schedules` | lists of targets by name, and runs that begin by the clock |
//! | `work`, `output`, `files`, `tasks`, `nodes`, `removal`, `events`, `cluster`, `tokens` | the use cases |

mod adding;
mod admission;
mod announce;
mod authority;
mod backup;
mod cluster;
mod control;
mod dialback;
mod events;
mod files;
mod handlers;
mod level;
mod membership;
mod metrics;
mod nodes;
mod output;
mod ownership;
mod peers;
mod proposals;
mod proxies;
mod raft;
mod relay;
mod removal;
mod rotation;
mod runs;
mod schedules;
mod session;
#[doc(hidden)]
pub mod sim;
mod streams;
mod target_lists;
mod tasks;
mod tokens;
mod work;

#[cfg(test)]
mod tests;

pub use authority::AuthorityFileError;
pub use backup::{Backup, BackupError, SalvageError, Succession, plant, salvage};
pub use cluster::{ClusterView, ControlView, Problem};
pub use control::{Control, ControlConfig, OpenError};
pub use events::EventStream;
pub use files::{Fetch, FileStream, Sent};
pub use nodes::Consistency;
pub use output::OutputStream;
pub use remuda_state::{
    AuthorityStep, Firing, ScheduleRecord, ScheduleTargets, Scope, Standing, TokenRecord, When,
};
pub use remuda_wire::message::control::Health;
pub use rotation::AuthorityView;
pub use runs::{FoundRuns, NewRun, RecordStream, RunChange, RunProgress};
pub use schedules::{NewSchedule, ScheduleView};
pub use target_lists::TargetListView;
pub use tasks::{TaskFilter, Tasks};
pub use tokens::{ApiToken, ParseApiTokenError, Principal};
