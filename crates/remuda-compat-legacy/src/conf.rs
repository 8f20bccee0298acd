//! The configuration files as they were written for REST Commander. Pure; every error names its
//! file and line.

mod aggregation;
mod command;
mod group;
mod header;
mod lines;

pub(crate) use aggregation::{Rule, aggregations};
pub(crate) use command::{Command, GLOBAL_HEADERS, Protocol, commands};
pub(crate) use group::{Group, groups};
pub(crate) use header::headers;
use lines::Lines;

/// A line of a configuration file cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}, line {line}: {reason}")]
pub struct WrongLine {
    /// The name of the file.
    pub file: &'static str,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub reason: String,
}

impl WrongLine {
    pub(crate) fn new(file: &'static str, line: usize, reason: impl Into<String>) -> Self {
        Self { file, line, reason: reason.into() }
    }
}
