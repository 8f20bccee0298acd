//! One task in the table.

use std::{path::PathBuf, time::Duration};

use remuda_model::TaskRecord;
use serde::{Deserialize, Serialize};

use super::CallId;

/// A record as it is kept on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stored {
    /// What everybody may see.
    pub(crate) record: TaskRecord,
    /// Whether it was a request in the shape of a task.
    pub(crate) attached: bool,
    /// Whether the event of its start is on disk.
    pub(crate) start_reported: bool,
    /// Whether the event of its end is on disk.
    pub(crate) reported: bool,
    /// The folder of its output.
    pub(crate) output: Option<PathBuf>,
}

/// How far the event of a start has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Nobody has heard of it.
    Untold,
    /// It is on its way to the disk.
    Told,
    /// It is on disk.
    Kept,
}

/// Where a task is in its life, in more detail than users need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its first record is on its way to the disk.
    Recording { call: CallId, stop: Option<Duration> },
    /// Its class starts the work; without a caller, it takes up work of an earlier boot.
    Starting { call: Option<CallId>, stop: Option<Duration> },
    /// The work runs.
    Running,
    /// It was asked to end; its timer is the time at which the work is dropped.
    Stopping,
    /// The work is being dropped.
    Killed,
    /// It has ended.
    Ended,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) record: TaskRecord,
    pub(super) phase: Phase,
    pub(super) attached: bool,
    pub(super) followers: u32,
    pub(super) start: Start,
    pub(super) reported: bool,
    pub(super) output: Option<PathBuf>,
    pub(super) timer: Option<Duration>,
}

impl Entry {
    pub(super) fn new(record: TaskRecord, attached: bool) -> Self {
        Self {
            record,
            phase: Phase::Running,
            attached,
            followers: 0,
            start: Start::Untold,
            reported: false,
            output: None,
            timer: None,
        }
    }

    pub(super) fn reload(stored: Stored) -> Self {
        let ended = stored.record.end.is_some();
        Self {
            phase: if ended { Phase::Ended } else { Phase::Running },
            start: if stored.start_reported { Start::Kept } else { Start::Untold },
            reported: stored.reported,
            output: stored.output,
            ..Self::new(stored.record, stored.attached)
        }
    }

    pub(super) fn stored(&self) -> Stored {
        Stored {
            record: self.record.clone(),
            attached: self.attached,
            start_reported: self.start == Start::Kept,
            reported: self.reported,
            output: self.output.clone(),
        }
    }

    /// Whether the task is one for users: its class has accepted it, or it once had.
    pub(super) fn is_shown(&self) -> bool {
        let is_new =
            matches!(self.phase, Phase::Recording { .. } | Phase::Starting { call: Some(_), .. });
        !is_new
    }
}
