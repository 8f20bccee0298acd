//! Finds addresses of control nodes.
//!
//! Discovery only proposes: who answers at an address, the handshake of a link proves. So a poisoned
//! answer costs an attempt and nothing else.

pub mod dns;
mod finder;

pub use finder::{Finder, MAX_CANDIDATES, Sources};
