//! The life of all tasks of a node and of its status, as a pure state machine.
//!
//! A record is on disk before its class starts the work. Attached tasks are requests in the shape
//! of tasks: nobody waits for their record, and they end when nobody follows them.

mod entry;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use remuda_model::{
    ClassName, ErrorKind, EventBody, Failure, Generation, NodeId, NodeStatus, TaskEnd, TaskId,
    TaskRecord, TaskState,
};

pub(crate) use self::entry::Stored;
use self::entry::{Entry, Phase, Start};
use crate::status::{Connection, StatusMachine, Wanted};

/// Tasks that have not ended.
const MAX_LIVE: usize = 10_000;
/// Ended tasks that are remembered.
pub(super) const MAX_ENDED: usize = 1_000;
/// How long they are remembered.
const REMEMBER_MS: u64 = 7 * 24 * 3_600_000;
/// How often the age of ended tasks is looked at.
const PRUNE_EVERY: Duration = Duration::from_hours(1);
/// How long an attached task lives without a follower.
pub(super) const LEASE: Duration = Duration::from_secs(10);
/// The grace of a stop that nobody asked for.
pub(super) const DEFAULT_GRACE: Duration = Duration::from_secs(10);
/// The longest grace.
const MAX_GRACE: Duration = Duration::from_hours(24);
/// Classes end their work by force after the grace themselves and can say how it ended; this is how
/// long they have for that.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(2);

/// Tells callers apart.
pub(super) type CallId = u64;

/// The present: monotonic time since the start of the agent, and the wall clock for records.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Now {
    pub(super) since_start: Duration,
    pub(super) wall_ms: u64,
}

/// What happens.
#[derive(Debug)]
pub(super) enum Input {
    /// Somebody starts a task.
    Start { call: CallId, id: TaskId, class: ClassName, attached: bool },
    /// The record of a new task is on disk, or cannot be.
    Recorded { id: TaskId, outcome: Result<(), Failure> },
    /// The class has started, or taken up, the work; or it refuses.
    Started { id: TaskId, outcome: Result<About, Failure> },
    /// The work has ended.
    WorkEnded { id: TaskId, end: TaskEnd },
    /// The event of the start is on disk.
    StartReported { id: TaskId },
    /// The event of the end is on disk.
    Reported { id: TaskId },
    /// Somebody asks a task to end.
    Stop { call: CallId, id: TaskId, grace: Duration },
    /// Somebody wants an ended task forgotten.
    Forget { call: CallId, id: TaskId },
    /// Somebody begins to follow the output.
    Follow { id: TaskId },
    /// And leaves; perhaps after having seen it all.
    Unfollow { id: TaskId, to_end: bool },
    /// The wish for a status is on disk, or cannot be.
    Wish { call: CallId, wanted: Wanted, outcome: Result<(), Failure> },
    /// The link to the owner is found, or lost.
    Connection(Connection),
    /// The process is about to end.
    Drain,
    /// Time has passed.
    Tick,
}

/// What a class says of the work that it has started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct About {
    pub(super) summary: String,
    /// The folder of its output.
    pub(super) output: Option<std::path::PathBuf>,
}

/// What must be done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Effect {
    /// Write a record; with `answer`, say [`Input::Recorded`] once it is on disk.
    Record { id: TaskId, stored: Box<Stored>, answer: bool },
    /// Remove a record.
    Erase { id: TaskId },
    /// Let the class start the work, then say [`Input::Started`].
    StartClass { id: TaskId },
    /// Let the class take up the work that an earlier boot has started, then say
    /// [`Input::Started`].
    RecoverClass { id: TaskId, class: ClassName },
    /// Run the work that the class has started, then say [`Input::WorkEnded`].
    Run { id: TaskId },
    /// Tell the task to end.
    AskToStop { id: TaskId, grace: Duration },
    /// Drop the work.
    Kill { id: TaskId },
    /// Show followers how the task ended, and let go of its channels.
    Ended { id: TaskId, end: TaskEnd },
    /// Let the class forget what it keeps of the task.
    ForgetClass { id: TaskId, class: ClassName },
    /// Let go of a task that is not remembered.
    Drop { id: TaskId },
    /// Report an event; when it is the start or the end of a task, say [`Input::StartReported`] or
    /// [`Input::Reported`] once it is on disk.
    Report(EventBody),
    /// Answer a caller.
    Reply { call: CallId, outcome: Result<Answer, Failure> },
    /// Answer a caller that it is accepted, once what was written for it is on disk.
    Accept { call: CallId },
    /// Show the status, report it, and tell the tasks.
    ShowStatus(NodeStatus),
    /// Show how many tasks run.
    ShowRunning(u32),
}

/// What a caller learns.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    Started(Box<TaskRecord>),
    /// The class does not start the task.
    Refused(Failure),
    Accepted,
    Status(NodeStatus),
}

/// All tasks of the node, and its status.
#[derive(Debug)]
pub(super) struct Core {
    node: NodeId,
    generation: Generation,
    tasks: BTreeMap<TaskId, Entry>,
    /// When something must be done about a task: exactly the `timer`s of the entries.
    timers: BTreeSet<(Duration, TaskId)>,
    /// Ended tasks by the time of their end.
    ended: BTreeSet<(u64, TaskId)>,
    /// Tasks that have not ended, attached ones included.
    live: usize,
    /// Tasks that have not ended, attached ones excluded.
    running: u32,
    status: StatusMachine,
    prune_at: Duration,
}

impl Core {
    /// The tasks that the last boot has left, and what must be done about them. Every running one
    /// is given to its class.
    pub(super) fn new(
        node: NodeId,
        generation: Generation,
        wanted: Wanted,
        stored: Vec<Stored>,
        now: Now,
    ) -> (Self, Vec<Effect>) {
        let mut core = Self {
            node,
            generation,
            tasks: BTreeMap::new(),
            timers: BTreeSet::new(),
            ended: BTreeSet::new(),
            live: 0,
            running: 0,
            status: StatusMachine::new(wanted),
            prune_at: now.since_start + PRUNE_EVERY,
        };
        let mut out = Vec::new();
        for stored in stored {
            core.reload(now, stored, &mut out);
        }
        core.show(NodeStatus::Launching, 0, &mut out);
        core.check();
        (core, out)
    }

    fn reload(&mut self, now: Now, stored: Stored, out: &mut Vec<Effect>) {
        let (id, class) = (stored.record.id.clone(), stored.record.class.clone());
        let attached = stored.attached;
        let ended = stored.record.end.clone();
        let mut entry = Entry::reload(stored);
        if let Some(end) = ended {
            let reported = entry.reported;
            if !reported {
                out.extend(report_start(&mut entry));
            }
            self.ended.insert((entry.record.ended_ms.unwrap_or(0), id.clone()));
            self.tasks.insert(id.clone(), entry);
            self.time_lease(now, &id);
            if !reported {
                out.push(Effect::Report(EventBody::TaskEnded { class, task: id, end }));
            }
            return;
        }
        let stop = (entry.record.state == TaskState::Stopping).then_some(DEFAULT_GRACE);
        entry.phase = Phase::Starting { call: None, stop };
        self.count(&entry, 1);
        self.tasks.insert(id.clone(), entry);
        if attached {
            // Its follower is gone, and the class ends what it does not find among known tasks.
            let end = TaskEnd::Lost { message: "its agent restarted".to_owned() };
            self.end(now, &id, end, out);
        } else {
            out.push(Effect::RecoverClass { id, class });
        }
    }

    /// What the node shows of one task.
    pub(super) fn task(&self, id: &TaskId) -> Option<&TaskRecord> {
        self.tasks.get(id).filter(|entry| entry.is_shown()).map(|entry| &entry.record)
    }

    /// Whether no task has this id.
    pub(super) fn is_free(&self, id: &TaskId) -> bool {
        !self.tasks.contains_key(id)
    }

    /// Where the output of a task is kept.
    pub(super) fn output_dir(&self, id: &TaskId) -> Option<&std::path::Path> {
        self.tasks.get(id)?.output.as_deref()
    }

    /// What the node shows of all tasks.
    pub(super) fn tasks(&self) -> impl Iterator<Item = &TaskRecord> {
        self.tasks.values().filter(|entry| entry.is_shown()).map(|entry| &entry.record)
    }

    /// When [`Input::Tick`] is due.
    pub(super) fn next_deadline(&self) -> Duration {
        self.timers.first().map_or(self.prune_at, |(at, _)| self.prune_at.min(*at))
    }

    #[must_use]
    pub(super) fn handle(&mut self, now: Now, input: Input) -> Vec<Effect> {
        let mut out = Vec::new();
        let (status, running) = (self.status.status(), self.running);
        match input {
            Input::Start { call, id, class, attached } => match self.admit(&id, attached) {
                Ok(()) => {
                    let record = self.new_record(now, id, class);
                    self.start(call, record, attached, &mut out);
                }
                Err(failure) => out.push(Effect::Reply { call, outcome: Err(failure) }),
            },
            Input::Recorded { id, outcome } => self.recorded(&id, outcome, &mut out),
            Input::Started { id, outcome } => self.started(now, &id, outcome, &mut out),
            Input::WorkEnded { id, end } => self.end(now, &id, end, &mut out),
            Input::StartReported { id } => {
                if let Some(entry) = self.tasks.get_mut(&id)
                    && entry.start == Start::Told
                {
                    entry.start = Start::Kept;
                    out.push(record(entry, false));
                }
            }
            Input::Reported { id } => {
                // It may have been forgotten meanwhile, and its id given to another.
                if let Some(entry) = self.tasks.get_mut(&id)
                    && entry.phase == Phase::Ended
                {
                    entry.reported = true;
                    out.push(record(entry, false));
                }
            }
            Input::Stop { call, id, grace } => {
                let outcome = self.stop(now, &id, grace, &mut out);
                out.push(accepted(call, outcome));
            }
            Input::Forget { call, id } => {
                let outcome = self.forget(&id, &mut out);
                out.push(accepted(call, outcome));
            }
            Input::Follow { id } => {
                if let Some(entry) = self.tasks.get_mut(&id) {
                    entry.followers += 1;
                    self.time_lease(now, &id);
                }
            }
            Input::Unfollow { id, to_end } => self.unfollow(now, &id, to_end, &mut out),
            Input::Wish { call, wanted, outcome } => {
                if outcome.is_ok() {
                    self.status.want(wanted);
                }
                let outcome = outcome.map(|()| Answer::Status(self.status.status()));
                out.push(Effect::Reply { call, outcome });
            }
            Input::Connection(connection) => self.status.connection(connection),
            Input::Drain => self.status.drain(),
            Input::Tick => self.tick(now, &mut out),
        }
        self.show(status, running, &mut out);
        self.check();
        out
    }

    fn admit(&self, id: &TaskId, attached: bool) -> Result<(), Failure> {
        let status = self.status.status();
        if self.tasks.contains_key(id) {
            return Err(Failure::new(ErrorKind::Exists, format!("task `{id}` is known already"))
                .code("already_started")
                .hint("choose another id, or let the node forget the ended task"));
        }
        if !attached && !status.takes_tasks() {
            return Err(not_ready(&self.node, status));
        }
        if self.live >= MAX_LIVE {
            return Err(Failure::new(
                ErrorKind::NoCapacity,
                format!("{MAX_LIVE} tasks run on this node already"),
            )
            .code("too_many_tasks"));
        }
        Ok(())
    }

    fn new_record(&self, now: Now, id: TaskId, class: ClassName) -> TaskRecord {
        TaskRecord {
            id,
            class,
            node: self.node.clone(),
            generation: self.generation,
            state: TaskState::Running,
            end: None,
            summary: String::new(),
            started_ms: now.wall_ms,
            ended_ms: None,
        }
    }

    fn start(&mut self, call: CallId, record: TaskRecord, attached: bool, out: &mut Vec<Effect>) {
        let id = record.id.clone();
        let mut entry = Entry::new(record, attached);
        entry.phase = if attached {
            Phase::Starting { call: Some(call), stop: None }
        } else {
            Phase::Recording { call, stop: None }
        };
        out.push(self::record(&entry, !attached));
        if attached {
            out.push(Effect::StartClass { id: id.clone() });
        }
        self.count(&entry, 1);
        self.tasks.insert(id, entry);
    }

    fn recorded(&mut self, id: &TaskId, outcome: Result<(), Failure>, out: &mut Vec<Effect>) {
        let Some(entry) = self.tasks.get_mut(id) else { return };
        let Phase::Recording { call, stop } = entry.phase else { return };
        entry.phase = Phase::Starting { call: Some(call), stop };
        match outcome {
            Ok(()) => out.push(Effect::StartClass { id: id.clone() }),
            Err(failure) => self.not_started(id, call, Err(failure), out),
        }
    }

    fn started(
        &mut self,
        now: Now,
        id: &TaskId,
        outcome: Result<About, Failure>,
        out: &mut Vec<Effect>,
    ) {
        let Some(entry) = self.tasks.get_mut(id) else { return };
        let Phase::Starting { call, stop } = entry.phase else { return };
        let about = match (outcome, call) {
            (Ok(about), _) => about,
            (Err(failure), Some(call)) => {
                self.not_started(id, call, Ok(Answer::Refused(failure)), out);
                return;
            }
            (Err(failure), None) => {
                self.end(now, id, TaskEnd::Lost { message: failure.message }, out);
                return;
            }
        };
        entry.record.summary = about.summary;
        entry.output = about.output;
        entry.phase = Phase::Running;
        let told = report_start(entry);
        out.push(record(entry, false));
        out.extend(told);
        if let Some(call) = call {
            let record = Box::new(entry.record.clone());
            out.push(Effect::Reply { call, outcome: Ok(Answer::Started(record)) });
        }
        out.push(Effect::Run { id: id.clone() });
        self.time_lease(now, id);
        if let Some(grace) = stop {
            self.ask_to_stop(now, id, grace, out);
        }
    }

    /// Lets go of a task that has not come to be.
    fn not_started(
        &mut self,
        id: &TaskId,
        call: CallId,
        outcome: Result<Answer, Failure>,
        out: &mut Vec<Effect>,
    ) {
        if let Some(entry) = self.tasks.remove(id) {
            self.count(&entry, -1);
        }
        out.push(Effect::Erase { id: id.clone() });
        out.push(Effect::Drop { id: id.clone() });
        out.push(Effect::Reply { call, outcome });
    }

    fn stop(
        &mut self,
        now: Now,
        id: &TaskId,
        grace: Duration,
        out: &mut Vec<Effect>,
    ) -> Result<(), Failure> {
        let entry = self.tasks.get_mut(id).ok_or_else(|| not_found(id))?;
        let grace = grace.min(MAX_GRACE);
        match &mut entry.phase {
            Phase::Ended | Phase::Killed => (),
            Phase::Recording { stop, .. } | Phase::Starting { stop, .. } => {
                *stop = Some(grace);
                // The next boot must know it, too.
                entry.record.state = TaskState::Stopping;
                out.push(record(entry, false));
            }
            Phase::Running | Phase::Stopping => self.ask_to_stop(now, id, grace, out),
        }
        Ok(())
    }

    fn ask_to_stop(&mut self, now: Now, id: &TaskId, grace: Duration, out: &mut Vec<Effect>) {
        let Some(entry) = self.tasks.get_mut(id) else { return };
        let kill_at = now.since_start + grace + LAST_WORDS;
        if entry.phase == Phase::Stopping && entry.timer.is_some_and(|at| at <= kill_at) {
            return;
        }
        let first = entry.phase != Phase::Stopping;
        entry.phase = Phase::Stopping;
        entry.record.state = TaskState::Stopping;
        if first {
            out.push(record(entry, false));
        }
        out.push(Effect::AskToStop { id: id.clone(), grace });
        self.set_timer(id, Some(kill_at));
    }

    fn end(&mut self, now: Now, id: &TaskId, end: TaskEnd, out: &mut Vec<Effect>) {
        let Some(entry) = self.tasks.get_mut(id) else { return };
        if entry.phase == Phase::Ended {
            return;
        }
        entry.phase = Phase::Ended;
        entry.reported = false;
        entry.record.state = TaskState::Ended;
        entry.record.end = Some(end.clone());
        // The wall clock may have been set back meanwhile.
        let ended_ms = now.wall_ms.max(entry.record.started_ms);
        entry.record.ended_ms = Some(ended_ms);
        let class = entry.record.class.clone();
        // An end without a start would be no whole life.
        let told = report_start(entry);
        out.push(record(entry, false));
        out.extend(told);
        out.push(Effect::Ended { id: id.clone(), end: end.clone() });
        out.push(Effect::Report(EventBody::TaskEnded { class, task: id.clone(), end }));
        self.ended.insert((ended_ms, id.clone()));
        let attached = self.tasks.get(id).is_some_and(|entry| entry.attached);
        self.live -= 1;
        self.running -= u32::from(!attached);
        self.set_timer(id, None);
        self.time_lease(now, id);
        while self.ended.len() > MAX_ENDED {
            self.forget_oldest(out);
        }
    }

    fn unfollow(&mut self, now: Now, id: &TaskId, to_end: bool, out: &mut Vec<Effect>) {
        let Some(entry) = self.tasks.get_mut(id) else { return };
        entry.followers = entry.followers.saturating_sub(1);
        if to_end && entry.attached && entry.phase == Phase::Ended && entry.followers == 0 {
            self.forget_ended(id, out);
        } else {
            self.time_lease(now, id);
        }
    }

    /// Starts or stops the lease of an attached task that is not being stopped.
    fn time_lease(&mut self, now: Now, id: &TaskId) {
        let Some(entry) = self.tasks.get(id) else { return };
        if entry.attached && matches!(entry.phase, Phase::Running | Phase::Ended) {
            let alone = entry.followers == 0;
            self.set_timer(id, alone.then_some(now.since_start + LEASE));
        }
    }

    fn forget(&mut self, id: &TaskId, out: &mut Vec<Effect>) -> Result<(), Failure> {
        let entry = self.tasks.get(id).ok_or_else(|| not_found(id))?;
        if entry.phase != Phase::Ended {
            return Err(Failure::new(ErrorKind::Conflict, format!("task `{id}` has not ended"))
                .code("task_runs")
                .hint("stop it first"));
        }
        self.forget_ended(id, out);
        Ok(())
    }

    fn forget_ended(&mut self, id: &TaskId, out: &mut Vec<Effect>) {
        self.set_timer(id, None);
        let Some(entry) = self.tasks.remove(id) else { return };
        self.ended.remove(&(entry.record.ended_ms.unwrap_or(0), id.clone()));
        out.push(Effect::Erase { id: id.clone() });
        out.push(Effect::ForgetClass { id: id.clone(), class: entry.record.class });
        out.push(Effect::Drop { id: id.clone() });
    }

    fn forget_oldest(&mut self, out: &mut Vec<Effect>) {
        if let Some((_, id)) = self.ended.first().cloned() {
            self.forget_ended(&id, out);
        }
    }

    fn tick(&mut self, now: Now, out: &mut Vec<Effect>) {
        while let Some((at, id)) = self.timers.first().cloned()
            && at <= now.since_start
        {
            self.set_timer(&id, None);
            match self.tasks.get_mut(&id).map(|entry| (entry.phase, entry)) {
                Some((Phase::Stopping, entry)) => {
                    entry.phase = Phase::Killed;
                    out.push(Effect::Kill { id });
                }
                Some((Phase::Running, _)) => self.ask_to_stop(now, &id, DEFAULT_GRACE, out),
                Some((Phase::Ended, _)) => self.forget_ended(&id, out),
                Some((Phase::Recording { .. } | Phase::Starting { .. } | Phase::Killed, _))
                | None => (),
            }
        }
        if self.prune_at <= now.since_start {
            self.prune_at = now.since_start + PRUNE_EVERY;
            let old = now.wall_ms.saturating_sub(REMEMBER_MS);
            while self.ended.first().is_some_and(|(ended_ms, _)| *ended_ms < old) {
                self.forget_oldest(out);
            }
        }
    }

    fn set_timer(&mut self, id: &TaskId, at: Option<Duration>) {
        let Some(entry) = self.tasks.get_mut(id) else { return };
        if let Some(before) = entry.timer.take() {
            self.timers.remove(&(before, id.clone()));
        }
        entry.timer = at;
        if let Some(at) = at {
            self.timers.insert((at, id.clone()));
        }
    }

    fn count(&mut self, entry: &Entry, by: i32) {
        self.live = self.live.saturating_add_signed(by as isize);
        if !entry.attached {
            self.running = self.running.saturating_add_signed(by);
        }
    }

    /// Shows what has changed for everybody.
    fn show(&mut self, status: NodeStatus, running: u32, out: &mut Vec<Effect>) {
        self.status.running(self.running);
        if self.running != running {
            out.push(Effect::ShowRunning(self.running));
        }
        if self.status.status() != status {
            out.push(Effect::ShowStatus(self.status.status()));
        }
    }

    fn check(&self) {
        debug_assert_eq!(
            self.live,
            self.tasks.values().filter(|entry| entry.phase != Phase::Ended).count()
        );
        debug_assert_eq!(self.ended.len() + self.live, self.tasks.len());
        debug_assert_eq!(
            self.timers.len(),
            self.tasks.values().filter(|entry| entry.timer.is_some()).count()
        );
    }
}

/// Reports the start of a task, unless that was done. Of an attached task, which no boot takes up,
/// nobody needs to write down that the event is on disk.
fn report_start(entry: &mut Entry) -> Option<Effect> {
    if entry.start != Start::Untold {
        return None;
    }
    entry.start = if entry.attached { Start::Kept } else { Start::Told };
    let TaskRecord { class, id, .. } = entry.record.clone();
    Some(Effect::Report(EventBody::TaskStarted { class, task: id }))
}

fn accepted(call: CallId, outcome: Result<(), Failure>) -> Effect {
    match outcome {
        Ok(()) => Effect::Accept { call },
        Err(failure) => Effect::Reply { call, outcome: Err(failure) },
    }
}

fn record(entry: &Entry, answer: bool) -> Effect {
    let (id, stored) = (entry.record.id.clone(), Box::new(entry.stored()));
    Effect::Record { id, stored, answer }
}

/// No such task.
pub(crate) fn not_found(id: &TaskId) -> Failure {
    Failure::not_found(format!("this node knows no task `{id}`")).code("task_not_found")
}

/// The node takes no tasks, or not even requests.
pub(crate) fn not_ready(node: &NodeId, status: NodeStatus) -> Failure {
    let hint = match status {
        NodeStatus::Launching | NodeStatus::Connecting | NodeStatus::NotConnected => {
            "wait until it has found its cluster".to_owned()
        }
        NodeStatus::Ready | NodeStatus::Standby | NodeStatus::Stopping | NodeStatus::Stopped => {
            format!("`remuda node ready {node}` makes it ready")
        }
    };
    Failure::new(ErrorKind::Unavailable, format!("node `{node}` is not ready: it is {status}"))
        .code("node_not_ready")
        .hint(hint)
}

#[cfg(test)]
mod tests;
