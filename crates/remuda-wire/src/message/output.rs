//! The output of a task, as a stream of bulk priority.

use remuda_model::{Epoch, TaskEnd, TaskId};
use serde::{Deserialize, Serialize};

/// The first message: what to send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the word of the command line")]
pub struct Follow {
    /// Under which ownership it is asked; reading is no command, so workers answer any.
    pub epoch: Epoch,
    /// Whose output.
    pub task: TaskId,
    /// From which byte of the output record on; 0 is the oldest that is kept.
    pub offset: u64,
    /// Whether to wait for more until the task has ended.
    pub follow: bool,
}

/// Which of the two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Chunk {
    /// Bytes, at most 64 KiB.
    Data {
        /// Which output.
        source: Source,
        /// The bytes.
        bytes: Vec<u8>,
        /// Where to go on: the `offset` of a later [`Follow`].
        next: u64,
    },
    /// Output was dropped here, because the task wrote more than is kept.
    Dropped {
        /// How many bytes of the output record.
        bytes: u64,
    },
    /// The task has ended and this was all.
    End(TaskEnd),
    /// All that there is for now; only without `follow`.
    UpToDate,
    /// The output cannot be sent.
    Failed(remuda_model::Failure),
}
