//! The output of a task on disk.

use std::path::PathBuf;

use remuda_model::TaskEnd;
use tokio::sync::watch;

/// How much output there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputState {
    /// Bytes of the output record that may be read.
    pub len: u64,
    /// How the task ended, once nothing more will come.
    pub end: Option<TaskEnd>,
}

/// The output record of one task: where it is, and how far it has grown.
#[derive(Clone, Debug)]
pub struct OutputLog {
    /// The folder that holds its segments.
    pub dir: PathBuf,
    /// How far it has grown.
    pub state: watch::Receiver<OutputState>,
}
