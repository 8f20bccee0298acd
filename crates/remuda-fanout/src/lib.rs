//! Contacts the targets of fan-out runs, on a worker.

mod attempt;
mod contact;
mod engine;
pub mod policy;
mod resolve;

pub use attempt::{Again, Attempt, Contact};
pub use contact::{Contactor, Shared};
pub use engine::{Admit, DEFAULT_SLOTS, Engine, EngineConfig, Opener};
