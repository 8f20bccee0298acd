//! How a run stands.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{Outcome, RunSpec};
use crate::{NodeId, RunId};

/// Where a run is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It waits for other runs, or for a worker.
    Waiting,
    /// Targets are contacted.
    Running,
    /// Somebody paused it, or the disk for results is full; what was begun is finished.
    Paused,
    /// Every target has its record.
    Finished,
    /// Somebody cancelled it, or its deadline passed; every target has its record.
    Cancelled,
}

impl RunState {
    /// Whether nothing more happens.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Finished | Self::Cancelled)
    }

    /// The word used in texts and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Finished => "finished",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How many targets ended how; only outcomes that there are.
pub type Counts = BTreeMap<Outcome, u32>;

/// How a run stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunView {
    /// Its id.
    pub id: RunId,
    /// What it does.
    pub spec: RunSpec,
    /// The control node that coordinates it and keeps its results.
    pub coordinator: NodeId,
    /// The control node that has a second copy and takes over when the coordinator is lost.
    #[serde(default)]
    pub standby: Option<NodeId>,
    /// Where it is in its life.
    pub state: RunState,
    /// Why it waits or is paused, for people.
    pub reason: Option<String>,
    /// How many targets it has.
    pub targets: u32,
    /// How many have their record.
    pub done: u32,
    /// How they ended.
    pub counts: Counts,
    /// How many are contacted now.
    pub in_flight: u32,
    /// When it was created, in milliseconds since 1970.
    pub created_ms: u64,
    /// When the first target was handed out.
    pub started_ms: Option<u64>,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// Records a second, over the last seconds while it runs, over all of it afterwards.
    pub rate: f64,
    /// How long targets took that answered, in microseconds: the 50th, 90th, 99th and 100th of 100.
    pub latency_us: Option<[u64; 4]>,
    /// The targets that took longest, the slowest first; at most ten.
    pub slowest: Vec<Slow>,
    /// What each worker does.
    pub workers: BTreeMap<NodeId, WorkerShare>,
}

/// A target that took long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slow {
    /// Its host.
    pub host: String,
    /// How long it took, in microseconds.
    pub duration_us: u64,
}

/// What a worker does for a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerShare {
    /// Whether it takes part now.
    pub connected: bool,
    /// Targets with a record of it.
    pub done: u32,
    /// Targets that it contacts now.
    pub in_flight: u32,
    /// How many it contacts at a time now, at most.
    pub window: u32,
    /// Records a second since it takes part.
    pub rate: f64,
}
