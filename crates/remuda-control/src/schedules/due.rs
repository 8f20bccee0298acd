//! What is to be done about a schedule at a moment. Pure: the moment is an argument.

use remuda_model::{NodeId, Revision};
use remuda_state::{Firing, ScheduleRecord, Standing};

use super::rhythm::Rhythm;

/// A time that is so far away is not made up for.
const LATE_MS: u64 = 60 * 60 * 1000;

/// Which time of a schedule has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Come {
    /// None; this is the next one, if there is one.
    NotYet(Option<u64>),
    /// This one; those before it are only counted.
    Due { due_ms: u64, missed: u64, is_late: bool },
}

/// Which time has come at a moment, when all up to another moment is decided.
pub(super) fn come(rhythm: &Rhythm, after_ms: u64, now_ms: u64) -> Come {
    let first = match rhythm.next_after(after_ms) {
        Some(first) if first <= now_ms => first,
        next => return Come::NotYet(next),
    };
    // They differ when nobody was there for a while.
    let (due_ms, missed) = rhythm.last_until(first, now_ms);
    Come::Due { due_ms, missed, is_late: now_ms - due_ms >= LATE_MS }
}

/// The clock of one schedule; remembers when the next time comes.
#[derive(Debug)]
pub(super) struct Clock {
    created: Revision,
    rhythm: Option<Rhythm>,
    next: Option<(u64, Option<u64>)>,
}

impl Clock {
    pub(super) fn new(record: &ScheduleRecord) -> Self {
        let rhythm = Rhythm::read(&record.when, record.created_ms);
        if let Err(failure) = &rhythm {
            // A newer version has written what this one cannot read, or time zones have changed.
            tracing::warn!(schedule = %record.id, %failure, "a schedule has no time");
        }
        Self { created: record.created, rhythm: rhythm.ok(), next: None }
    }

    /// Whether it is that of this schedule, and not of an earlier one under the name.
    pub(super) fn is_of(&self, record: &ScheduleRecord) -> bool {
        self.created == record.created
    }

    /// As [`come`].
    pub(super) fn come(&mut self, after_ms: u64, now_ms: u64) -> Come {
        let Some(rhythm) = &self.rhythm else { return Come::NotYet(None) };
        if let Some((after, next)) = self.next
            && after == after_ms
            && next.is_none_or(|next| next > now_ms)
        {
            return Come::NotYet(next);
        }
        let come = come(rhythm, after_ms, now_ms);
        if let Come::NotYet(next) = come {
            self.next = Some((after_ms, next));
        }
        come
    }
}

/// What one control node does about a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// It begins a run that is its own.
    Begin(Firing),
    /// It looks whether its run has ended, and says so.
    End(Firing),
    /// It says, as leader, that a time has come.
    Reach { due_ms: u64, missed: u64, is_late: bool },
}

/// What a control node does about a schedule, when anything, and until when it may rest otherwise,
/// in milliseconds since 1970. `has_ended` says so of a run, as far as it is known here.
pub(super) fn job(
    standing: &Standing,
    (me, leads): (&NodeId, bool),
    has_ended: impl FnOnce(&Firing) -> Option<bool>,
    clock: &mut Clock,
    now_ms: u64,
) -> Result<Job, Option<u64>> {
    let mine = |firing: &&Firing| firing.coordinator == *me;
    if let Some(firing) = standing.pending.as_ref().filter(mine) {
        return Ok(Job::Begin(firing.clone()));
    }
    let mut rest = None;
    if let Some(firing) = standing.last.as_ref().filter(mine).filter(|_| standing.is_running) {
        if has_ended(firing) != Some(false) {
            return Ok(Job::End(firing.clone()));
        }
        rest = Some(now_ms + WATCH_MS);
    }
    if !leads || standing.paused {
        return Err(rest);
    }
    match clock.come(standing.after_ms, now_ms) {
        Come::Due { due_ms, missed, is_late } => Ok(Job::Reach { due_ms, missed, is_late }),
        Come::NotYet(next) => Err([rest, next].into_iter().flatten().min()),
    }
}

/// How often is looked whether a run has ended.
const WATCH_MS: u64 = 250;

#[cfg(test)]
mod tests;
