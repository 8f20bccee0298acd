//! The output of a task on disk: written by the process that holds the task, read by the agent.
//!
//! The output record is one sequence of frames `[source: u8][length: u32, little endian][bytes]`
//! of at most 64 KiB each. It is kept in segment files of at most 4 MiB, each named by the offset
//! of its first byte, so that the oldest can be dropped when the record grows too long. Offsets
//! count the bytes of the record, frames included, from the start of the task.

use std::{io, path::PathBuf};

use remuda_model::TaskEnd;
use tokio::sync::watch;

mod reader;
mod segment;
mod writer;

pub use reader::{OutputPiece, OutputReader};
pub use segment::{MAX_PIECE, Source, recorded_len};
pub use writer::{DEFAULT_MAX_BYTES, OutputWriter};

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

impl OutputLog {
    /// The record that a task left behind: all that its folder holds, and how the task ended.
    ///
    /// Reads the last segment (at most 4 MiB) and blocks while it does. A folder that does not
    /// exist is a task without output.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    pub fn left_behind(dir: impl Into<PathBuf>, end: TaskEnd) -> io::Result<Self> {
        let dir = dir.into();
        let len = recorded_len(&dir)?;
        let (_, state) = watch::channel(OutputState { len, end: Some(end) });
        Ok(Self { dir, state })
    }

    /// Reads from an offset on; 0 is the oldest that is kept. See [`OutputReader::next`].
    pub fn read_from(&self, offset: u64, follow: bool) -> OutputReader {
        OutputReader::new(self, offset, follow)
    }
}

#[cfg(test)]
mod tests;
