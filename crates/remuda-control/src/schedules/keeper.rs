//! Looks at the schedules, and does what is to be done: each in a task of its own, one at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use remuda_model::{ErrorKind, Failure, ScheduleId, run::RunView};
use remuda_runtime::wall_ms;
use remuda_state::{
    Change, ClusterState, Firing, Limit, Reached, ScheduleRecord, Settled, Standing, Step,
};
use tokio::{sync::Notify, time::sleep};

use super::{
    due::{Clock, Job, job},
    run_id, selector,
};
use crate::{
    Control, NewRun,
    proposals::{CHANGE, READ},
};

/// Every entry of the log is news, and each look goes through all schedules: it is made so often at
/// most.
const GATHER: Duration = Duration::from_millis(20);
/// The longest pause while something is due at some time: the clock may be set meanwhile.
const CLOCK: Duration = Duration::from_secs(1);
/// A cluster that is just being upgraded or has no leader is given so long before a run counts as
/// one that could not begin.
const PATIENCE_MS: u64 = 30_000;

/// The schedules about which something is being done.
#[derive(Clone, Debug, Default)]
struct Busy {
    schedules: Arc<Mutex<BTreeSet<ScheduleId>>>,
    done: Arc<Notify>,
}

impl Busy {
    fn schedules(&self) -> std::sync::MutexGuard<'_, BTreeSet<ScheduleId>> {
        self.schedules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody does something about a schedule; however that ends, others may afterwards.
struct Turn(Busy, ScheduleId);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.schedules().remove(&self.1);
        self.0.done.notify_one();
    }
}

impl Control {
    /// Runs for ever; does something only while there are schedules.
    pub(crate) async fn keep_schedules(self) {
        let stop = self.shared.supervisor.token();
        let mut states = self.shared.replica.watch_state();
        let mut leadership = self.shared.replica.leadership();
        let (mut clocks, busy) = (BTreeMap::new(), Busy::default());
        loop {
            let leads = leadership.borrow_and_update().is_leader;
            let state = states.borrow_and_update().clone();
            let pause = self.look_at_schedules(&state, leads, &mut clocks, &busy);
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = sleep(GATHER) => (),
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                changed = states.changed() => if changed.is_err() { return },
                changed = leadership.changed() => if changed.is_err() { return },
                () = busy.done.notified() => (),
                () = sleep(pause) => (),
            }
        }
    }

    /// Begins what is to be done, and says how long nothing else is.
    fn look_at_schedules(
        &self,
        state: &ClusterState,
        leads: bool,
        clocks: &mut BTreeMap<ScheduleId, Clock>,
        busy: &Busy,
    ) -> Duration {
        let now_ms = wall_ms();
        let mut rest = Duration::MAX;
        clocks
            .retain(|id, clock| state.schedule(id).is_some_and(|(record, _)| clock.is_of(record)));
        for (record, standing) in state.schedules() {
            if busy.schedules().contains(&record.id) {
                continue;
            }
            let clock = clocks.entry(record.id.clone()).or_insert_with(|| Clock::new(record));
            let has_ended = |firing: &Firing| self.shared.runs.has_ended(&firing.run);
            match job(standing, (&self.shared.me, leads), has_ended, clock, now_ms) {
                Ok(job) => self.start_job(record.clone(), standing.clone(), job, busy),
                Err(Some(until_ms)) => {
                    let left = Duration::from_millis(until_ms.saturating_sub(now_ms));
                    rest = rest.min(left).min(CLOCK);
                }
                Err(None) => (),
            }
        }
        rest
    }

    fn start_job(&self, record: ScheduleRecord, standing: Standing, job: Job, busy: &Busy) {
        busy.schedules().insert(record.id.clone());
        let turn = Turn(busy.clone(), record.id.clone());
        let (control, stop) = (self.clone(), self.shared.supervisor.token());
        self.shared.supervisor.spawn("schedule", async move {
            let _turn = turn;
            let doing = async {
                let done = match &job {
                    Job::Begin(firing) => control.begin_due(&record, firing).await,
                    Job::End(firing) => control.end_due(&record, firing).await,
                    Job::Reach { due_ms, missed, is_late } => {
                        let step = control.step_due(&record, &standing, *due_ms, *is_late).await;
                        control.reach_due(&record, &standing, (*due_ms, *missed), step).await
                    }
                };
                if let Err(failure) = done {
                    tracing::info!(schedule = %record.id, ?job, %failure, "not done yet");
                    // It is seen and tried again with the next look.
                    sleep(CLOCK).await;
                }
            };
            tokio::select! {
                () = stop.cancelled() => (),
                () = doing => (),
            }
        });
    }

    /// What is done at a time that has come.
    async fn step_due(
        &self,
        record: &ScheduleRecord,
        standing: &Standing,
        due_ms: u64,
        is_late: bool,
    ) -> Result<Step, Failure> {
        if is_late {
            return Ok(Step::Miss);
        }
        if self.in_the_way(record, standing).await.is_some() {
            return Ok(Step::Skip);
        }
        let run = run_id(&record.id, due_ms)?;
        Ok(Step::Begin { run, coordinator: self.shared.me.clone() })
    }

    /// Says that a time has come. Somebody else may have said so already.
    async fn reach_due(
        &self,
        record: &ScheduleRecord,
        standing: &Standing,
        (due_ms, missed): (u64, u64),
        step: Result<Step, Failure>,
    ) -> Result<(), Failure> {
        let reached = Reached {
            schedule: record.id.clone(),
            if_revision: standing.modified,
            due_ms,
            missed,
            step: step?,
        };
        match self.propose(Change::ReachSchedule(Box::new(reached)), CHANGE).await {
            Err(failure) if ["schedule_moved", "unknown_schedule"].contains(&&*failure.code) => {
                Ok(())
            }
            done => done.map(drop),
        }
    }

    /// Begins a run that is this node's own.
    async fn begin_due(&self, record: &ScheduleRecord, firing: &Firing) -> Result<(), Failure> {
        // A node that has been away, or is cut off, may not be meant any more.
        self.catch_up(READ).await?;
        let state = self.shared.replica.state();
        let is_meant = state.schedule(&record.id).is_some_and(|(present, standing)| {
            present.created == record.created && standing.pending.as_ref() == Some(firing)
        });
        if !is_meant {
            return Ok(());
        }
        let settled = match self.create_due(record, firing).await {
            Ok(view) => {
                tracing::info!(schedule = %record.id, run = %view.id, "a scheduled run begins");
                Settled::Begun
            }
            // Before a restart.
            Err(failure) if failure.kind == ErrorKind::Exists => Settled::Begun,
            Err(failure)
                if failure.kind == ErrorKind::Unavailable
                    && wall_ms().saturating_sub(firing.due_ms) < PATIENCE_MS =>
            {
                return Err(failure);
            }
            Err(failure) => {
                tracing::warn!(schedule = %record.id, %failure, "a scheduled run cannot begin");
                Settled::Failed(shortened(failure.to_string()))
            }
        };
        self.settle_due(record, firing, settled).await
    }

    async fn create_due(
        &self,
        record: &ScheduleRecord,
        firing: &Firing,
    ) -> Result<RunView, Failure> {
        let written = |error: serde_json::Error| Failure::internal(&error);
        let spec = serde_json::from_str(&record.spec).map_err(written)?;
        let secrets = serde_json::from_slice(record.secrets.expose()).map_err(written)?;
        let targets = &record.targets;
        let nodes = targets.nodes.as_deref().map(selector).transpose()?;
        let targets =
            self.saved_targets(&targets.saved, targets.lines.clone(), nodes.as_ref()).await?;
        self.create_run(NewRun { id: Some(firing.run.clone()), spec, targets, secrets }).await
    }

    /// Says that a run has ended, once it has.
    async fn end_due(&self, record: &ScheduleRecord, firing: &Firing) -> Result<(), Failure> {
        if !self.is_over(firing).await {
            return Err(Failure::new(ErrorKind::Unavailable, "the run cannot be asked after"));
        }
        self.settle_due(record, firing, Settled::Ended).await
    }

    async fn settle_due(
        &self,
        record: &ScheduleRecord,
        firing: &Firing,
        settled: Settled,
    ) -> Result<(), Failure> {
        let (schedule, run) = (record.id.clone(), firing.run.clone());
        let change = Change::SettleSchedule { schedule, run, settled, now_ms: wall_ms() };
        self.propose(change, CHANGE).await.map(drop)
    }
}

/// As much of a message as the state keeps.
fn shortened(mut message: String) -> String {
    let most = Limit::Text.bound();
    if message.len() > most {
        let end = (0..=most - '…'.len_utf8()).rev().find(|at| message.is_char_boundary(*at));
        message.truncate(end.unwrap_or(0));
        message.push('…');
    }
    message
}
