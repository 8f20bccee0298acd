//! Faults of real processes, each under a name, repeatable, with promises checked from outside.
//!
//! A [`Scenario`] does one thing to a cluster of real nodes, each in a network namespace of its own,
//! while clients change and read the control state, send requests to workers and watch running
//! tasks. When the fault is over, everything must come back within a minute, and the [`Round`] is
//! judged: no acknowledged change is lost, what clients saw has one order, requests were done at most
//! once, tasks never noticed, and all replicas show the same.

mod catalogue;
mod crash;
mod disk;
mod events;
mod field;
mod load;
mod long;
mod network;
mod proof;
mod requests;
mod run;
mod shim;
mod time;
mod verdict;
mod witness;
mod world;

pub use catalogue::{Scenario, all, find, proofs};
pub use field::{Field, Round};
pub use load::{Load, Pace, Reads, Story};
pub use long::NAME as LINEARIZABILITY;
pub use run::{Options, Report, run};
pub use verdict::judge;
pub use world::World;
