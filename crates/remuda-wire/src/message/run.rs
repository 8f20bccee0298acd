//! The share of a worker in a fan-out run, as one stream for as long as it takes part.
//!
//! The worker asks for targets ([`FromWorker::Want`]) and gets at most as many. Each target that it
//! got comes back as a record, unless the stream breaks: then the control node gives what has no
//! record to others, and the worker lets go of it.

use remuda_model::{Epoch, Failure, RunId, run::Record};
use serde::{Deserialize, Serialize};

/// From the control node that coordinates the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToWorker {
    /// The first message.
    Open(Open),
    /// Contact these.
    Targets(Vec<Given>),
    /// How much of the run's width this worker has now.
    Share(Share),
    /// Begin with no more targets, or go on again.
    Hold(bool),
    /// No more targets come; say [`FromWorker::Finished`] when the last record is sent.
    Finish,
}

/// What the run is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// Under which ownership.
    pub epoch: Epoch,
    /// Its id.
    pub run: RunId,
    /// The [`RunSpec`](remuda_model::run::RunSpec) as JSON.
    pub spec: Vec<u8>,
    /// The [`Secrets`](remuda_model::run::Secrets) as JSON.
    pub secrets: Vec<u8>,
    /// How much of its width this worker has at first.
    pub share: Share,
    /// Whether it is paused.
    pub hold: bool,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open")
            .field("epoch", &self.epoch)
            .field("run", &self.run)
            .finish_non_exhaustive()
    }
}

/// How much of a run's width a worker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// How many targets at a time.
    pub concurrency: u32,
    /// How many targets are begun in 1,000 seconds.
    pub rate_milli: Option<u64>,
}

/// One target for a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// Its place in the run.
    pub index: u32,
    /// Its host: a name or an address.
    pub host: String,
    /// Its own values of `{{vars.NAME}}`.
    pub vars: Vec<(String, String)>,
}

/// From the worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromWorker {
    /// It takes part.
    Welcome {
        /// How many targets it contacts at a time, over all runs.
        slots: u32,
    },
    /// It takes so many more targets.
    Want(u32),
    /// These targets are done.
    Records(Vec<Record>),
    /// How it goes; told from time to time.
    Pace {
        /// Targets at a time, at most.
        window: u32,
        /// Targets that are contacted now.
        in_flight: u32,
    },
    /// All that was given is done.
    Finished,
    /// It takes no part, or no more.
    Failed(Failure),
}
