//! Fan-out runs as the API describes them.

use std::collections::BTreeMap;

use utoipa::ToSchema;

use super::RunSpec;

/// A fan-out run.
#[derive(ToSchema)]
pub(crate) struct Run {
    /// Its id.
    id: String,
    /// What it does.
    spec: RunSpec,
    /// The control node that coordinates it and keeps its results.
    coordinator: String,
    /// The control node that has a second copy and takes over when the coordinator is lost.
    #[schema(required = true)]
    standby: Option<String>,
    state: RunState,
    /// Why it waits or is paused, for people.
    #[schema(required = true)]
    reason: Option<String>,
    /// How many targets it has; with `from_each`, times the sites.
    targets: u32,
    /// How many have their record.
    done: u32,
    /// How they ended: a number for each outcome that there is.
    counts: BTreeMap<String, u32>,
    /// How many are contacted now.
    in_flight: u32,
    /// When it was created, in milliseconds since 1970.
    created_ms: u64,
    /// When the first target was handed out.
    #[schema(required = true)]
    started_ms: Option<u64>,
    /// When it ended.
    #[schema(required = true)]
    ended_ms: Option<u64>,
    /// Records a second, over the last seconds while it runs, over all of it afterwards.
    rate: f64,
    /// How long targets took that answered, in microseconds: the 50th, 90th, 99th and 100th of 100.
    #[schema(required = true, min_items = 4, max_items = 4)]
    latency_us: Option<Vec<u64>>,
    /// The targets that took longest, the slowest first; at most ten.
    slowest: Vec<Slow>,
    /// What each worker does, by its name.
    workers: BTreeMap<String, WorkerShare>,
}

/// A target that took long.
#[derive(ToSchema)]
pub(crate) struct Slow {
    /// Its host.
    host: String,
    /// How long it took, in microseconds.
    duration_us: u64,
}

/// Where a run is in its life.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum RunState {
    Waiting,
    Running,
    Paused,
    Finished,
    Cancelled,
}

/// What a worker does for a run.
#[derive(ToSchema)]
pub(crate) struct WorkerShare {
    /// Whether it takes part now.
    connected: bool,
    /// Targets with a record of it.
    done: u32,
    /// Targets that it contacts now.
    in_flight: u32,
    /// How many it contacts at a time now, at most.
    window: u32,
    /// Records a second since it takes part.
    rate: f64,
}

/// How a target ended.
///
/// `unexpected` answered otherwise than expected; `blocked` was not contacted because the policy of
/// the worker forbids it; `unknown` may have been contacted, its answer is lost.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Ok,
    Unexpected,
    Failed,
    TimedOut,
    Blocked,
    Cancelled,
    Unknown,
}

/// A header of an answer.
#[derive(ToSchema)]
#[schema(as = AnswerHeader)]
pub(crate) struct Header {
    name: String,
    value: String,
}

/// What went wrong at a target.
#[derive(ToSchema)]
pub(crate) struct Trouble {
    kind: TroubleKind,
    /// For people.
    message: String,
}

/// What sort of trouble.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum TroubleKind {
    Dns,
    Refused,
    Unreachable,
    ConnectTimeout,
    Timeout,
    Tls,
    HostKey,
    Auth,
    Protocol,
    Closed,
    Redirect,
    Status,
    Exit,
    Mismatch,
    Job,
    Stuck,
    Policy,
    Template,
    WorkerLost,
    Cancelled,
    Deadline,
    Internal,
}

/// Groups of targets, the largest first.
#[derive(ToSchema)]
pub(crate) struct Groups {
    list: Vec<Group>,
    /// How many targets are in none of them, since there are too many groups.
    other: u32,
    /// How many targets were grouped.
    total: u32,
}

/// Targets that have something in common.
#[derive(ToSchema)]
#[schema(as = ResultGroup)]
pub(crate) struct Group {
    /// What they have in common; nothing where there is no such thing.
    #[schema(required = true)]
    value: Option<String>,
    /// The first line of the bodies, when they are grouped by these.
    #[schema(required = true)]
    line: Option<String>,
    /// How many there are.
    count: u32,
    /// Some of them.
    hosts: Vec<String>,
}

/// What is different between two runs. Every target of either is counted once.
#[derive(ToSchema)]
#[schema(as = RunDiff)]
pub(crate) struct Diff {
    /// Hosts that only the earlier run has.
    only_before: ListedHosts,
    /// Hosts that only the later run has.
    only_after: ListedHosts,
    /// Targets that ended otherwise.
    outcome: ListedChanges,
    /// Targets that ended alike, with another trouble.
    trouble: ListedChanges,
    /// Targets that have another status.
    status: ListedChanges,
    /// Targets whose answer only is another.
    answer: ListedChanges,
    /// How many targets did the same.
    unchanged: u64,
}

/// How many there are, and the first ones.
#[derive(ToSchema)]
pub(crate) struct ListedHosts {
    count: u64,
    first: Vec<String>,
}

/// How many there are, and the first ones.
#[derive(ToSchema)]
pub(crate) struct ListedChanges {
    count: u64,
    first: Vec<ChangedTarget>,
}

/// A target that did something else.
#[derive(ToSchema)]
pub(crate) struct ChangedTarget {
    host: String,
    before: Side,
    after: Side,
}

/// What a target did in a run.
#[derive(ToSchema)]
#[schema(as = SideOfRun)]
pub(crate) struct Side {
    outcome: Outcome,
    #[schema(required = true)]
    trouble: Option<TroubleKind>,
    /// The status or exit code.
    #[schema(required = true)]
    status: Option<i32>,
}
