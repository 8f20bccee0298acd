//! How a schedule stands: which time it has reached, and what became of the run of that time.

use remuda_model::{NodeId, Revision, RunId, ScheduleId};
use serde::{Deserialize, Serialize};

use super::{Plans, not_after};
use crate::{Outcome, Refusal};

/// A run of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firing {
    /// The time for which it is, in milliseconds since 1970.
    pub due_ms: u64,
    /// Its id.
    pub run: RunId,
    /// The control node that begins and coordinates it.
    pub coordinator: NodeId,
}

/// How a schedule stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Whether it begins nothing.
    pub paused: bool,
    /// The time up to which all is decided, in milliseconds since 1970; never goes back.
    pub after_ms: u64,
    /// The run that is to begin.
    pub pending: Option<Firing>,
    /// The run that began last.
    pub last: Option<Firing>,
    /// Whether that has not ended, as far as its coordinator has said.
    pub is_running: bool,
    /// Runs that began.
    pub begun: u64,
    /// Times at which the run before had not ended.
    pub skipped: u64,
    /// Times at which nobody was there to begin a run.
    pub missed: u64,
    /// Times at which a run could not begin.
    pub failed: u64,
    /// Why the last one could not, and when, in milliseconds since 1970; nothing once one began.
    pub last_error: Option<(u64, String)>,
    /// The log index that changed this last.
    pub modified: Revision,
}

/// The time of a schedule has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// Which.
    pub schedule: ScheduleId,
    /// Only for the standing of this revision.
    pub if_revision: Revision,
    /// The time that has come, in milliseconds since 1970.
    pub due_ms: u64,
    /// How many times before it were missed.
    pub missed: u64,
    /// What is done at this time.
    pub step: Step,
}

/// What is done when the time of a schedule has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// A run is to begin.
    Begin {
        /// Its id.
        run: RunId,
        /// Who begins it.
        coordinator: NodeId,
    },
    /// None is, since the one before has not ended.
    Skip,
    /// None is, since it is too late.
    Miss,
}

/// What has come of a run that was to begin, or has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Settled {
    /// It began.
    Begun,
    /// It could not, for this reason.
    Failed(String),
    /// It has ended.
    Ended,
}

impl Standing {
    pub(super) fn new(now: Revision, paused: bool, after_ms: u64) -> Self {
        Self {
            paused,
            after_ms,
            pending: None,
            last: None,
            is_running: false,
            begun: 0,
            skipped: 0,
            missed: 0,
            failed: 0,
            last_error: None,
            modified: now,
        }
    }

    fn reach(&mut self, reached: &Reached) {
        self.after_ms = reached.due_ms;
        self.missed = self.missed.saturating_add(reached.missed);
        match &reached.step {
            Step::Begin { run, coordinator } => {
                let firing = Firing {
                    due_ms: reached.due_ms,
                    run: run.clone(),
                    coordinator: coordinator.clone(),
                };
                // Whoever was to begin the one before did not come back in time.
                let replaces = self.pending.replace(firing).is_some();
                self.missed = self.missed.saturating_add(u64::from(replaces));
            }
            Step::Skip => self.skipped = self.skipped.saturating_add(1),
            Step::Miss => self.missed = self.missed.saturating_add(1),
        }
    }

    /// Whether that was news.
    fn settle(&mut self, run: &RunId, settled: &Settled, now_ms: u64) -> bool {
        let is_pending = self.pending.as_ref().is_some_and(|pending| pending.run == *run);
        let is_last = self.last.as_ref().is_some_and(|last| last.run == *run);
        match settled {
            Settled::Begun if is_pending => {
                self.last = self.pending.take();
                self.is_running = true;
                self.begun = self.begun.saturating_add(1);
                self.last_error = None;
            }
            Settled::Failed(reason) if is_pending => {
                self.pending = None;
                self.failed = self.failed.saturating_add(1);
                self.last_error = Some((now_ms, reason.clone()));
            }
            Settled::Ended if is_last && self.is_running => self.is_running = false,
            _ => return false,
        }
        true
    }

    pub(super) fn check(&self, name: &ScheduleId, applied: u64) -> Result<(), String> {
        not_after(&format!("schedule `{name}`"), self.modified, applied)?;
        let due = |firing: &Option<Firing>| firing.as_ref().map(|firing| firing.due_ms);
        let (last, pending) = (due(&self.last), due(&self.pending));
        if self.is_running && last.is_none() {
            return Err(format!("schedule `{name}` runs and has no run"));
        }
        if pending.or(last).is_some_and(|due_ms| due_ms > self.after_ms)
            || pending.is_some_and(|pending| last.is_some_and(|last| last >= pending))
        {
            return Err(format!("the times of schedule `{name}` are out of order"));
        }
        Ok(())
    }
}

impl Plans {
    pub(crate) fn pause(
        &mut self,
        now: Revision,
        schedule: &ScheduleId,
        paused: bool,
        now_ms: u64,
    ) -> Result<Outcome, Refusal> {
        let mut standing = self.standing(schedule)?.clone();
        if standing.paused == paused {
            return Ok(Outcome::Unchanged);
        }
        standing.paused = paused;
        standing.after_ms = standing.after_ms.max(now_ms);
        Ok(self.stand(now, schedule, standing))
    }

    pub(crate) fn reach(&mut self, now: Revision, reached: &Reached) -> Result<Outcome, Refusal> {
        let mut standing = self.standing(&reached.schedule)?.clone();
        if standing.modified != reached.if_revision || reached.due_ms <= standing.after_ms {
            return Err(Refusal::ScheduleMoved {
                schedule: reached.schedule.clone(),
                expected: reached.if_revision,
                found: standing.modified,
            });
        }
        standing.reach(reached);
        Ok(self.stand(now, &reached.schedule, standing))
    }

    /// A schedule that was removed meanwhile wants to know nothing any more.
    pub(crate) fn settle(
        &mut self,
        now: Revision,
        (schedule, run): (&ScheduleId, &RunId),
        settled: &Settled,
        now_ms: u64,
    ) -> Outcome {
        let Some(mut standing) = self.standings.get(schedule).cloned() else {
            return Outcome::Unchanged;
        };
        if standing.settle(run, settled, now_ms) {
            self.stand(now, schedule, standing)
        } else {
            Outcome::Unchanged
        }
    }

    fn standing(&self, schedule: &ScheduleId) -> Result<&Standing, Refusal> {
        self.standings.get(schedule).ok_or_else(|| Refusal::UnknownSchedule(schedule.clone()))
    }

    fn stand(&mut self, now: Revision, schedule: &ScheduleId, standing: Standing) -> Outcome {
        let standing = Standing { modified: now, ..standing };
        self.standings.insert_mut(schedule.clone(), standing);
        Outcome::Changed(now)
    }
}
