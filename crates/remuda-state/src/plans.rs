//! What the cluster keeps for fan-out: lists of targets under a name, and schedules of runs.
//!
//! A schedule comes in two parts: what it is ([`ScheduleRecord`]), which never changes, and how it
//! stands ([`Standing`]). The leader says when its time has come ([`Reached`]); the control node that
//! is named there begins the run and says what has come of it ([`Settled`]). Each time is reached
//! once, because that change is made only for the standing that it was decided for. When times come
//! is decided by who proposes the change: nothing here reads a clock or knows cron.

mod firing;
mod list;
mod schedule;

use remuda_model::{Revision, ScheduleId, TargetListId};
use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};

use crate::ClusterState;

pub use self::{
    firing::{Firing, Reached, Settled, Standing, Step},
    list::TargetListRecord,
    schedule::{ScheduleRecord, ScheduleSecrets, ScheduleTargets, When},
};

pub(crate) use self::schedule::fits;

/// All target lists and schedules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plans {
    lists: RedBlackTreeMapSync<TargetListId, TargetListRecord>,
    schedules: RedBlackTreeMapSync<ScheduleId, ScheduleRecord>,
    /// Of each schedule; apart from the records, which are large and never change.
    standings: RedBlackTreeMapSync<ScheduleId, Standing>,
}

impl Plans {
    /// Says what is wrong.
    fn check(&self, applied: u64) -> Result<(), String> {
        self.check_lists(applied)?;
        self.check_schedules(applied)
    }
}

impl ClusterState {
    /// All lists of targets, by name.
    pub fn target_lists(&self) -> impl Iterator<Item = (&TargetListId, &TargetListRecord)> {
        self.plans().into_iter().flat_map(|plans| plans.lists.iter())
    }

    /// One list of targets.
    pub fn target_list(&self, list: &TargetListId) -> Option<&TargetListRecord> {
        self.plans()?.lists.get(list)
    }

    /// All schedules, by name, and how they stand.
    pub fn schedules(&self) -> impl Iterator<Item = (&ScheduleRecord, &Standing)> {
        let records = self.plans().into_iter().flat_map(|plans| plans.schedules.values());
        records.filter_map(|record| self.schedule(&record.id))
    }

    /// One schedule, and how it stands.
    pub fn schedule(&self, schedule: &ScheduleId) -> Option<(&ScheduleRecord, &Standing)> {
        let plans = self.plans()?;
        Some((plans.schedules.get(schedule)?, plans.standings.get(schedule)?))
    }

    /// Says what is wrong.
    pub(crate) fn check_plans(&self) -> Result<(), String> {
        self.plans().map_or(Ok(()), |plans| plans.check(self.applied()))
    }
}

/// What is later than the state cannot have happened.
fn not_after(what: &str, revision: Revision, applied: u64) -> Result<(), String> {
    if revision.0 <= applied {
        Ok(())
    } else {
        Err(format!("{what} is of {revision}, later than now"))
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
