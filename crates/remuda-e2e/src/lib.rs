//! A laboratory for tests: nodes as real processes of the real binary, on loopback, each with a
//! directory of its own, killed for real.

mod binary;
mod lab;
mod node;
mod processes;
mod wait;
mod work;

pub use binary::{Finished, remuda, run};
pub use lab::Lab;
pub use node::Node;
pub use processes::processes;
pub use wait::{PATIENCE, eventually, within};
pub use work::{command, detach, exec, id, info, whole_output};
