//! The agent of a node: job classes, tasks, events, status.
#![allow(dead_code, reason = "being built")]
mod caught;
mod epoch;
mod failures;
mod owner;
mod registry;
mod spool;
mod status;
mod store;
mod tasks;
