//! The pure part of fan-out: what a run is made of, and how its targets are handed out.

mod hand_out;

pub use hand_out::{HandOut, Left};
