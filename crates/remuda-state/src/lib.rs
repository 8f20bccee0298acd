//! The replicated state of a cluster: changes, apply, queries, invariants.
//!
//! Everything here is pure. Control nodes apply the same [`Command`]s in the same order and
//! therefore hold the same [`ClusterState`]; time, ids and random values are fields of the change.

mod authority;
mod batch;
mod certificates;
mod change;
mod codec;
mod invariants;
mod limits;
mod plans;
mod record;
mod refusal;
mod runs;
mod seen;
mod state;

pub mod ownership;
pub mod voters;

#[cfg(test)]
mod testing;

pub use authority::{AuthorityRecord, AuthoritySecrets, AuthorityStep, NewAuthority};
pub use batch::{Batch, Gather};
pub use change::{Change, Command, UnknownChange};
pub use codec::{DecodeError, decode, encode};
pub use limits::{Limit, MAX_COMMAND_BYTES};
pub use plans::{
    Firing, Reached, ScheduleRecord, ScheduleSecrets, ScheduleTargets, Settled, Standing, Step,
    TargetListRecord, When,
};
pub use record::{Certificate, ClusterRecord, NodeRecord, Scope, TokenRecord};
pub use refusal::Refusal;
pub use runs::RunRecord;
pub use seen::window;
pub use state::{Applied, ClusterState, Outcome};
