//! The documented HTTP APIs of Distributed REST Commander, for programs that were written for it.
//!
//! A [`Catalogue`] is what its configuration files say: commands, groups of nodes, rules of
//! aggregation, headers. [`Face`] answers its calls in its JSON shapes, by way of fan-out runs:
//!
//! ```text
//! call ─► face ─► plan ─► NewRun ─► Control
//!           ◄── job, node_data, aggregate ◄── RunView, records
//! ```
//!
//! Whoever serves the [router](Face::into_router) authenticates callers before, by [`scope_of`].
//! What is supported is said in `docs/compat/rest-commander.md`. Its words stay in this crate.

mod aggregate;
mod catalogue;
mod conf;
mod endpoint;
mod face;
mod job;
mod node_data;
mod params;
mod plan;
mod substitute;
mod time;

pub use catalogue::{Catalogue, CatalogueError};
pub use conf::WrongLine;
pub use endpoint::scope_of;
pub use face::Face;
