//! Schedules of fan-out runs: kept in the replicated state, carried out by control nodes.
//!
//! The leader says when a time has come and names itself as the one who begins the run; that is
//! committed once for each time. Whoever is named there creates the run, under an id that is made of
//! the schedule and the time: somebody who was restarted in between finds that it exists already.
//!
//! | module | does |
//! |---|---|
//! | `rhythm` | when times come: cron expressions, intervals |
//! | `due` | what is to be done at a moment |
//! | `keeper` | looks, and does it |

mod due;
mod keeper;
mod rhythm;

use std::time::Duration;

use jiff::Timestamp;
use remuda_model::{
    ErrorKind, Failure, RunId, ScheduleId, Selector,
    run::{RunSpec, RunView, Secrets},
};
use remuda_run::{check, check_targets};
use remuda_runtime::{blocking, wall_ms};
use remuda_state::{
    Change, ClusterState, Firing, Reached, Refusal, ScheduleRecord, ScheduleSecrets,
    ScheduleTargets, Standing, Step, When,
};
use tokio::time::timeout;

use self::rhythm::Rhythm;
use crate::{Consistency, Control, proposals::CHANGE};

/// How long the run of a schedule that somebody wants now may take to begin.
const NOW: Duration = Duration::from_mins(1);
/// How often that is tried when others change the schedule at the same moment.
const TRIES: usize = 5;
/// A run that cannot be asked after is taken for one that has ended after so long.
const FORGOTTEN_MS: u64 = 60 * 60 * 1000;

/// A schedule that is to be.
#[derive(Debug)]
pub struct NewSchedule {
    /// Its name.
    pub id: ScheduleId,
    /// When its runs begin.
    pub when: When,
    /// What they do. Without a name they take that of the schedule.
    pub spec: RunSpec,
    /// To whom.
    pub targets: ScheduleTargets,
    /// What they need and nobody may read.
    pub secrets: Secrets,
    /// Whether a run begins although the one before has not ended.
    pub overlap: bool,
    /// Whether it begins nothing until it is resumed.
    pub paused: bool,
}

/// A schedule, and how it stands.
#[derive(Clone, Debug)]
pub struct ScheduleView {
    /// What it is.
    pub record: ScheduleRecord,
    /// How it stands.
    pub standing: Standing,
    /// When its next run begins, in milliseconds since 1970; never when it is paused.
    pub next_ms: Option<u64>,
}

impl ScheduleView {
    fn new((record, standing): (&ScheduleRecord, &Standing)) -> Self {
        let rhythm = Rhythm::read(&record.when, record.created_ms);
        let rhythm = rhythm.ok().filter(|_| !standing.paused);
        let next_ms = rhythm.and_then(|rhythm| rhythm.next_after(standing.after_ms.max(wall_ms())));
        Self { record: record.clone(), standing: standing.clone(), next_ms }
    }

    /// What its runs do.
    ///
    /// # Errors
    ///
    /// [`Internal`](ErrorKind::Internal) when a newer version has written what this one cannot read.
    pub fn spec(&self) -> Result<RunSpec, Failure> {
        serde_json::from_str(&self.record.spec).map_err(|error| Failure::internal(&error))
    }
}

impl Control {
    /// Makes a schedule. Its first run begins at its first time.
    ///
    /// # Errors
    ///
    /// - [`Invalid`](ErrorKind::Invalid) names what is wrong with the times, the spec or the targets;
    /// - [`NotFound`](ErrorKind::NotFound) names a list of targets that is not there;
    /// - [`Exists`](ErrorKind::Exists) when there is a schedule of this name;
    /// - [`NoCapacity`](ErrorKind::NoCapacity) for more than 256 KiB of lines, 128 KiB of spec, 64 KiB
    ///   of secrets, 16 lists, 1,000 schedules, or 16 MiB of all schedules together;
    /// - [`Conflict`](ErrorKind::Conflict) while a control node of an older version may be there;
    /// - when the change cannot be committed.
    ///
    /// # Cancel safety
    ///
    /// The schedule may be made when the future is dropped; never a part of it.
    pub async fn create_schedule(&self, new: NewSchedule) -> Result<ScheduleView, Failure> {
        let NewSchedule { id, when, mut spec, targets, secrets, overlap, paused } = new;
        // All times are whole seconds, so that each has a run id of its own.
        let created_ms = whole_second(wall_ms());
        Rhythm::read(&when, created_ms)?;
        spec.name.get_or_insert_with(|| id.to_string());
        let checked = check(&spec, &secrets)?;
        if let Some(on) = &targets.nodes {
            selector(on)?;
        }
        let has_list = !targets.lines.trim().is_empty() || !targets.saved.is_empty();
        if !has_list && targets.nodes.is_none() {
            return Err(Failure::invalid("targets: there are none")
                .hint("give lines, saved lists, or a condition on the cluster's own nodes"));
        }
        let record = ScheduleRecord {
            id: id.clone(),
            when,
            spec: serde_json::to_string(&spec).map_err(|error| Failure::internal(&error))?,
            targets,
            secrets: ScheduleSecrets::new(
                serde_json::to_vec(&secrets).map_err(|error| Failure::internal(&error))?,
            ),
            overlap,
            created_ms,
            created: remuda_model::Revision(0),
        };
        let change = Change::CreateSchedule { record: Box::new(record.clone()), paused };
        change.fits().map_err(Refusal::TooMuch)?;
        if has_list {
            // What is wrong with them now would be wrong at night, when nobody looks.
            let ScheduleTargets { saved, lines, .. } = record.targets;
            let found = self.saved_targets(&saved, lines, None).await?;
            let fits = blocking(move || check_targets(&checked, &found)).await;
            fits.map_err(|error| Failure::internal(&error))??;
        }
        self.propose(change, CHANGE).await?;
        self.schedule(&id).await
    }

    /// The schedules, by name.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) without a leader.
    pub async fn schedules(&self) -> Result<Vec<ScheduleView>, Failure> {
        self.freshen(Consistency::Linearizable).await?;
        let state = self.shared.replica.state();
        Ok(state.schedules().map(ScheduleView::new).collect())
    }

    /// One schedule.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound); [`Unavailable`](ErrorKind::Unavailable) without a leader.
    pub async fn schedule(&self, schedule: &ScheduleId) -> Result<ScheduleView, Failure> {
        self.freshen(Consistency::Linearizable).await?;
        let state = self.shared.replica.state();
        known(&state, schedule).map(ScheduleView::new)
    }

    /// Lets a schedule begin nothing any more, or go on from now on. Its runs are left alone.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound); when the change cannot be committed.
    pub async fn pause_schedule(
        &self,
        schedule: &ScheduleId,
        paused: bool,
    ) -> Result<ScheduleView, Failure> {
        let now_ms = whole_second(wall_ms());
        let change = Change::PauseSchedule { schedule: schedule.clone(), paused, now_ms };
        self.propose(change, CHANGE).await?;
        self.schedule(schedule).await
    }

    /// Forgets a schedule. Its runs are left alone.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound); when the change cannot be committed.
    pub async fn remove_schedule(&self, schedule: &ScheduleId) -> Result<(), Failure> {
        self.propose(Change::RemoveSchedule(schedule.clone()), CHANGE).await.map(drop)
    }

    /// Begins a run of a schedule now, also of one that is paused. This control node coordinates it.
    ///
    /// # Errors
    ///
    /// - [`NotFound`](ErrorKind::NotFound);
    /// - [`Conflict`](ErrorKind::Conflict) while another of its runs goes on, unless they may overlap;
    /// - [`Failed`](ErrorKind::Failed) says why the run cannot begin, which the schedule keeps too;
    /// - [`TimedOut`](ErrorKind::TimedOut) after a minute; it may begin all the same;
    /// - when the change cannot be committed.
    ///
    /// # Cancel safety
    ///
    /// The run may begin when the future is dropped.
    pub async fn run_schedule(&self, schedule: &ScheduleId) -> Result<RunView, Failure> {
        let mut tries = 0;
        let run = loop {
            self.freshen(Consistency::Linearizable).await?;
            let state = self.shared.replica.state();
            let (record, standing) = known(&state, schedule)?;
            if let Some(run) = self.in_the_way(record, standing).await {
                let text = format!("run `{run}` of schedule `{schedule}` has not ended");
                return Err(Failure::new(ErrorKind::Conflict, text)
                    .code("schedule_running")
                    .hint(format!("`remuda fanout cancel {run}` ends it")));
            }
            // The present second, or the next one when this has its run already.
            let due_ms = whole_second(wall_ms()).max(whole_second(standing.after_ms) + 1000);
            let run = run_id(schedule, due_ms)?;
            let step = Step::Begin { run: run.clone(), coordinator: self.shared.me.clone() };
            let reached = Reached {
                schedule: schedule.clone(),
                if_revision: standing.modified,
                due_ms,
                missed: 0,
                step,
            };
            match self.propose(Change::ReachSchedule(Box::new(reached)), CHANGE).await {
                Ok(_) => break run,
                Err(failure) if failure.code == "schedule_moved" && tries < TRIES => tries += 1,
                Err(failure) => return Err(failure),
            }
        };
        timeout(NOW, self.due_begun(schedule, &run)).await.map_err(|_elapsed| {
            let text = format!("run `{run}` has not begun within a minute");
            Failure::new(ErrorKind::TimedOut, text)
                .hint(format!("`remuda fanout schedule show {schedule}` says what becomes of it"))
        })??;
        self.run(&run).await
    }

    /// Waits until the run that is to begin has begun.
    async fn due_begun(&self, schedule: &ScheduleId, run: &RunId) -> Result<(), Failure> {
        let mut states = self.shared.replica.watch_state();
        loop {
            {
                let state = states.borrow_and_update().clone();
                let (_, standing) = known(&state, schedule)?;
                let is = |firing: &Option<Firing>| {
                    firing.as_ref().is_some_and(|firing| firing.run == *run)
                };
                match &standing.last_error {
                    _ if is(&standing.pending) => (),
                    Some((_, reason)) if !is(&standing.last) => {
                        return Err(Failure::failed(reason.clone()).code("schedule_failed"));
                    }
                    _ => return Ok(()),
                }
            }
            states.changed().await.map_err(|error| Failure::internal(&error))?;
        }
    }

    /// The run because of which another one of the schedule may not begin.
    async fn in_the_way(&self, record: &ScheduleRecord, standing: &Standing) -> Option<RunId> {
        if let Some(pending) = &standing.pending
            && self.shared.peers.linked().contains(&pending.coordinator)
        {
            return Some(pending.run.clone());
        }
        let last = standing.last.as_ref().filter(|_| standing.is_running && !record.overlap)?;
        (!self.is_over(last).await).then(|| last.run.clone())
    }

    /// Whether a run of a schedule has ended. One whose coordinator is away contacts nobody; after an
    /// hour it is not waited for any more.
    async fn is_over(&self, firing: &Firing) -> bool {
        match self.run(&firing.run).await {
            Ok(view) => view.state.has_ended(),
            Err(failure) if failure.kind == ErrorKind::NotFound => true,
            Err(_) => wall_ms().saturating_sub(firing.due_ms) > FORGOTTEN_MS,
        }
    }
}

fn known<'a>(
    state: &'a ClusterState,
    schedule: &ScheduleId,
) -> Result<(&'a ScheduleRecord, &'a Standing), Failure> {
    let found = state.schedule(schedule);
    found.ok_or_else(|| Refusal::UnknownSchedule(schedule.clone()).into())
}

fn selector(on: &str) -> Result<Selector, Failure> {
    on.parse().map_err(|error| Failure::invalid(format!("targets: nodes: {error}")))
}

fn whole_second(ms: u64) -> u64 {
    ms / 1000 * 1000
}

/// The id of the run of a schedule at a time: `nightly-20261123T020000`, in UTC.
fn run_id(schedule: &ScheduleId, due_ms: u64) -> Result<RunId, Failure> {
    let second = i64::try_from(due_ms / 1000).map_err(|error| Failure::internal(&error))?;
    let due = Timestamp::from_second(second).map_err(|error| Failure::internal(&error))?;
    let id = format!("{schedule}-{}", due.strftime("%Y%m%dT%H%M%S"));
    id.parse().map_err(|error| Failure::internal(&error))
}

#[cfg(test)]
mod tests;
