//! Finds addresses of control nodes.
//!
//! Discovery only proposes: who answers at an address, the handshake of a link proves. So a poisoned
//! answer costs an attempt and nothing else.

pub mod dns;
mod finder;
pub mod lan;
pub mod tracker;

pub use finder::{Candidate, Finder, MAX_CANDIDATES, Source, Sources};
