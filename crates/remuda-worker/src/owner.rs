//! x
mod core;
