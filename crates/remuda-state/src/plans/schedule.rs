//! What a schedule is: when, what, to whom.

use std::fmt;

use remuda_model::{Revision, ScheduleId, TargetListId};
use serde::{Deserialize, Serialize};

use super::{Plans, Standing, not_after};
use crate::{Limit, Outcome, Refusal};

/// When the runs of a schedule begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum When {
    /// At the times of a cron expression.
    Cron {
        /// The expression.
        expression: String,
        /// The name of the time zone in which it is read.
        timezone: String,
    },
    /// Again and again after so much time, counted from when the schedule was made.
    Every {
        /// In milliseconds.
        every_ms: u64,
    },
}

/// To whom, decided anew for each run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleTargets {
    /// As in a file of targets.
    pub lines: String,
    /// The names of lists.
    pub saved: Vec<TargetListId>,
    /// The cluster's own nodes that meet this condition.
    pub nodes: Option<String>,
}

/// What the runs of a schedule need and nobody may read. `Debug` shows `***`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ScheduleSecrets(Vec<u8>);

impl ScheduleSecrets {
    /// Wraps JSON.
    pub fn new(json: Vec<u8>) -> Self {
        Self(json)
    }

    /// The JSON.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for ScheduleSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a schedule is. It never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleRecord {
    /// Its name.
    pub id: ScheduleId,
    /// When its runs begin.
    pub when: When,
    /// What they do, as JSON: the form of commands may grow, that of records of the state may not.
    pub spec: String,
    /// To whom.
    pub targets: ScheduleTargets,
    /// What they need and nobody may read.
    pub secrets: ScheduleSecrets,
    /// Whether a run begins although the one before has not ended.
    pub overlap: bool,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// The log index that made it. Written by `apply`.
    pub created: Revision,
}

impl ScheduleRecord {
    fn bytes(&self) -> usize {
        self.spec.len() + self.targets.lines.len() + self.secrets.0.len()
    }
}

/// Whether a schedule is small enough to be stored.
pub(crate) fn fits(record: &ScheduleRecord) -> Result<(), Limit> {
    if let When::Cron { expression, timezone } = &record.when {
        Limit::Name.check(expression.len())?;
        Limit::Name.check(timezone.len())?;
    }
    Limit::ScheduleSpec.check(record.spec.len())?;
    Limit::ScheduleSecrets.check(record.secrets.0.len())?;
    Limit::TargetLines.check(record.targets.lines.len())?;
    Limit::ScheduleLists.check(record.targets.saved.len())?;
    Limit::Text.check(record.targets.nodes.as_ref().map_or(0, String::len))
}

impl Plans {
    pub(crate) fn create(
        &mut self,
        now: Revision,
        record: &ScheduleRecord,
        paused: bool,
    ) -> Result<Outcome, Refusal> {
        if self.schedules.contains_key(&record.id) {
            return Err(Refusal::ScheduleExists(record.id.clone()));
        }
        let together = self.schedule_bytes() + record.bytes();
        for (limit, size) in
            [(Limit::Schedules, self.schedules.size() + 1), (Limit::SchedulesTogether, together)]
        {
            limit.check(size).map_err(Refusal::TooMuch)?;
        }
        let record = ScheduleRecord { created: now, ..record.clone() };
        let standing = Standing::new(now, paused, record.created_ms);
        self.standings.insert_mut(record.id.clone(), standing);
        self.schedules.insert_mut(record.id.clone(), record);
        Ok(Outcome::Changed(now))
    }

    pub(crate) fn remove(
        &mut self,
        now: Revision,
        schedule: &ScheduleId,
    ) -> Result<Outcome, Refusal> {
        if !self.schedules.remove_mut(schedule) {
            return Err(Refusal::UnknownSchedule(schedule.clone()));
        }
        self.standings.remove_mut(schedule);
        Ok(Outcome::Changed(now))
    }

    fn schedule_bytes(&self) -> usize {
        self.schedules.values().map(ScheduleRecord::bytes).sum()
    }

    pub(super) fn check_schedules(&self, applied: u64) -> Result<(), String> {
        for (limit, size) in [
            (Limit::Schedules, self.schedules.size()),
            (Limit::SchedulesTogether, self.schedule_bytes()),
        ] {
            limit.check(size).map_err(|limit| format!("more than {limit}"))?;
        }
        if !self.schedules.keys().eq(self.standings.keys()) {
            return Err("some schedules do not stand anyhow".to_owned());
        }
        for (name, record) in &self.schedules {
            if *name != record.id {
                return Err(format!("schedule `{}` is filed under `{name}`", record.id));
            }
            not_after(&format!("schedule `{name}`"), record.created, applied)?;
        }
        self.standings.iter().try_for_each(|(name, standing)| standing.check(name, applied))
    }
}
