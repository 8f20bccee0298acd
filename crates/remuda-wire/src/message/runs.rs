//! Fan-out runs of another control node.

use remuda_model::{Failure, RunId, run::Record};
use serde::{Deserialize, Serialize};

/// The first message: what is wanted of the control node that coordinates a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    /// All runs that it coordinates.
    List,
    /// One of them.
    Show(RunId),
    /// Begin no more targets.
    Pause(RunId),
    /// Go on.
    Resume(RunId),
    /// Give up what has no record.
    Cancel(RunId),
    /// Forget a run that has ended.
    Remove(RunId),
    /// Records, as they are and as they come.
    Records {
        /// Of this run.
        run: RunId,
        /// Which ones: the filter as JSON.
        filter: Vec<u8>,
        /// Until the run has ended.
        follow: bool,
    },
}

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The [`RunView`](remuda_model::run::RunView)s as a JSON array: of all, of the one, or of the
    /// one after its change.
    Views(Vec<u8>),
    /// Some records, each with its host.
    Records(Vec<Hosted>),
    /// That was all.
    End,
    /// It cannot be answered.
    Failed(Failure),
}

/// A record and whom it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hosted {
    /// The target's host.
    pub host: String,
    /// The target's values of `{{vars.NAME}}`.
    pub vars: Vec<(String, String)>,
    /// What became of it.
    pub record: Record,
}
