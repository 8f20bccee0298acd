//! The multiplexer: many streams on one connection, each with its own credit and priority.

mod config;
mod error;

pub use config::{Config, Priority, Side};
pub use error::{ProtocolError, code};
