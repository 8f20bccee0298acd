//! Schedules of fan-out runs.

use remuda_model::{
    NodeId, RunId, ScheduleId, Selector, TargetListId,
    run::{RunSpec, Secrets},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A schedule that is to be. It has either a `cron` expression or `every_ms`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSchedule {
    /// Its name.
    #[schema(value_type = String)]
    pub name: ScheduleId,
    /// When its runs begin: minute, hour, day of the month, month, day of the week, such as
    /// `0 2 * * *`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// The time zone of `cron`, such as `Europe/Berlin`; `UTC` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// After how many milliseconds its runs begin again and again: whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_ms: Option<u64>,
    /// What its runs do, as in `docs/fanout.md`. Without a name they have that of the schedule.
    #[schema(value_type = Object)]
    pub spec: RunSpec,
    /// To whom.
    pub targets: ScheduleTargets,
    /// What its runs need and nobody may read, as for a run.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schema(value_type = Object)]
    pub secrets: Secrets,
    /// Whether a run begins although the one before has not ended.
    #[serde(default)]
    pub overlap: bool,
    /// Whether it begins nothing until it is resumed.
    #[serde(default)]
    pub paused: bool,
}

fn is_default(secrets: &Secrets) -> bool {
    *secrets == Secrets::default()
}

/// The targets of a schedule, looked up anew for each run. All that is given counts; a host that
/// stands twice is taken once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleTargets {
    /// As in a file of targets; at most 256 KiB.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
    /// Lists that the cluster keeps, by name; at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub saved: Vec<TargetListId>,
    /// The cluster's own nodes that meet this condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub nodes: Option<Selector>,
}

/// A schedule and how it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Schedule {
    /// Its name.
    #[schema(value_type = String)]
    pub name: ScheduleId,
    /// The cron expression, unless it is an interval.
    pub cron: Option<String>,
    /// The time zone of the expression.
    pub timezone: Option<String>,
    /// The interval in milliseconds, unless it is an expression.
    pub every_ms: Option<u64>,
    /// What its runs do: `http`, `ssh`, `tcp` or `ping`.
    pub command: String,
    /// Whether a run begins although the one before has not ended.
    pub overlap: bool,
    /// Whether it begins nothing.
    pub paused: bool,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// When its next run begins, likewise; never when it is paused.
    pub next_ms: Option<u64>,
    /// The run that is about to begin.
    pub pending: Option<ScheduledRun>,
    /// The run that began last.
    pub last: Option<ScheduledRun>,
    /// Whether that goes on, as far as its coordinator has said.
    pub running: bool,
    /// How many runs began.
    pub begun: u64,
    /// How many times were passed over because the run before had not ended.
    pub skipped: u64,
    /// How many times were missed because no control node was there.
    pub missed: u64,
    /// How many times a run could not begin.
    pub failed: u64,
    /// Why the last run could not begin; nothing once one has.
    pub last_error: Option<ScheduleError>,
}

/// A run of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScheduledRun {
    /// Its id: the name of the schedule and the time in UTC, such as `nightly-20261123T020000`.
    #[schema(value_type = String)]
    pub run: RunId,
    /// The time for which it is, in milliseconds since 1970.
    pub due_ms: u64,
    /// The control node that begins and coordinates it.
    #[schema(value_type = String)]
    pub coordinator: NodeId,
}

/// Why a run could not begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScheduleError {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// For people.
    pub message: String,
}

/// All of a schedule but its secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScheduleDetail {
    /// What it is and how it stands.
    pub schedule: Schedule,
    /// What its runs do.
    #[schema(value_type = Object)]
    pub spec: RunSpec,
    /// To whom.
    pub targets: ScheduleTargets,
}

/// The schedules of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Schedules {
    /// Sorted by name.
    pub schedules: Vec<Schedule>,
}
