//! What the holder knows and decides.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
    time::Duration,
};

use remuda_model::{ErrorKind, ExitStatus, Failure, TaskId};
use rustix::process::{
    Pid, Rlimit, Signal, WaitOptions, WaitStatus, getpid, getsid, kill_process, wait,
};
use tokio::{sync::mpsc, time::Instant};

use super::{
    Event,
    agent::{Agent, ConnectionId},
    growth::Growth,
    input,
    task::{HeldTask, Phase, ended, unknown},
};
use crate::{
    launch::Fork,
    proc,
    protocol::{FromAgent, FromHolder, Op, Spawn},
    record::task_dir,
};

/// How long after the end of a process somebody else may still write to its pipes.
const DRAIN: Duration = Duration::from_secs(2);

/// How long killed left-overs may take to be gone before nobody waits for them any more.
const SWEEP: Duration = Duration::from_secs(2);

/// How long tasks have when the holder itself is told to end by a signal.
const LAST_GRACE: Duration = Duration::from_secs(10);

/// How long a holder without tasks waits for an agent.
const IDLE: Duration = Duration::from_mins(10);

/// The state of the holder. Nothing here waits.
#[derive(Debug)]
pub(super) struct Core {
    dir: PathBuf,
    boot_id: String,
    fork: Fork,
    events: mpsc::Sender<Event>,
    growth: Growth,
    agent: Option<Agent>,
    tasks: BTreeMap<TaskId, HeldTask>,
    by_pid: HashMap<Pid, TaskId>,
    /// The deadlines of all tasks that have one.
    deadlines: BTreeSet<(Instant, TaskId)>,
    /// How many tasks are being swept: those who look at every orphan that is reaped.
    sweeping: BTreeSet<TaskId>,
    leaving: bool,
    last_needed: Instant,
}

impl Core {
    pub(super) fn new(
        dir: PathBuf,
        open_files: Option<Rlimit>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self {
            dir,
            boot_id: proc::boot_id(),
            fork: Fork { die_with: Some(getpid()), open_files },
            events,
            growth: Growth::default(),
            agent: None,
            tasks: BTreeMap::new(),
            by_pid: HashMap::new(),
            deadlines: BTreeSet::new(),
            sweeping: BTreeSet::new(),
            leaving: false,
            last_needed: Instant::now(),
        }
    }

    pub(super) fn growth(&self) -> Growth {
        self.growth.clone()
    }

    /// When [`fire`](Self::fire) should be called next.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Whether nothing is left to do.
    pub(super) fn may_end(&self) -> bool {
        self.leaving && self.tasks.is_empty()
    }

    pub(super) fn handle(&mut self, event: Event) {
        match event {
            Event::Hello(agent) => self.welcome(agent),
            Event::Said(from, FromAgent::Call { id, op }) => self.call(from, id, op),
            // A second greeting says nothing.
            Event::Said(_, FromAgent::Hello { .. }) => {}
            Event::Gone(id) => {
                if self.agent.as_ref().is_some_and(|agent| agent.id == id) {
                    self.agent = None;
                    self.last_needed = Instant::now();
                }
            }
            Event::OutputDone(id) => {
                if let Some(task) = self.tasks.get_mut(&id) {
                    task.output_done = true;
                    self.advance(&id);
                }
            }
            Event::Recorded(id) => self.recorded(&id),
        }
    }

    fn welcome(&mut self, agent: Agent) {
        if let Some(old) = self.agent.take() {
            old.replace();
        }
        self.leaving = false;
        let runs = self.tasks.iter();
        let runs = runs.map(|(id, task)| FromHolder::Runs { task: id.clone(), len: task.len() });
        let roll_call = runs.chain([FromHolder::Ready]).collect();
        self.agent = agent.say(roll_call).then_some(agent);
    }

    fn tell(&mut self, message: FromHolder) {
        if let Some(agent) = &self.agent
            && !agent.say(vec![message])
        {
            tracing::warn!("the agent does not listen and is disconnected");
            self.agent = None;
            self.last_needed = Instant::now();
        }
    }

    fn call(&mut self, from: ConnectionId, id: u32, op: Op) {
        let Some(agent) = self.agent.as_ref().filter(|agent| agent.id == from) else { return };
        let answer = agent.answer(id);
        let now = Instant::now();
        let result = match op {
            Op::Spawn(spawn) => self.spawn(&spawn),
            Op::Signal { task, signal } => self.running(&task).and_then(|task| {
                let signal = Signal::from_named_raw(signal);
                task.signal(signal.ok_or_else(|| Failure::invalid("no such signal"))?)
            }),
            Op::Stop { task, grace_ms } => {
                let stopped = self.running(&task).map(|held| {
                    held.stop(Duration::from_millis(grace_ms), now);
                });
                self.note_deadline(&task);
                stopped
            }
            Op::Stdin { task, bytes } => {
                match self.running(&task).map(|task| task.input.as_ref()) {
                    // It answers when the bytes are written.
                    Ok(Some(input)) => return input.write(bytes, answer),
                    Ok(None) => Err(input::closed()),
                    Err(failure) => Err(failure),
                }
            }
            Op::CloseStdin { task } => self.running(&task).map(|task| task.input = None),
            Op::Leave => {
                self.leaving = true;
                Ok(())
            }
        };
        answer.send(result);
    }

    fn running(&mut self, id: &TaskId) -> Result<&mut HeldTask, Failure> {
        let task = self.tasks.get_mut(id).ok_or_else(|| unknown(id))?;
        if matches!(task.phase, Phase::Recording(_)) { Err(ended()) } else { Ok(task) }
    }

    fn spawn(&mut self, spawn: &Spawn) -> Result<(), Failure> {
        let id = spawn.task.clone();
        if self.tasks.contains_key(&id) {
            return Err(Failure::new(ErrorKind::Exists, format!("task `{id}` runs already")));
        }
        let dir = task_dir(&self.dir, &id);
        let (task, pump) = HeldTask::start(&dir, spawn, self.fork, &self.growth, &self.boot_id)?;
        self.leaving = false;
        let (events, finish, done) = (self.events.clone(), task.finish().clone(), id.clone());
        tokio::spawn(async move {
            pump.run(finish).await;
            drop(events.send(Event::OutputDone(done)).await);
        });
        self.by_pid.insert(task.pid, id.clone());
        self.tasks.insert(id.clone(), task);
        self.note_deadline(&id);
        Ok(())
    }

    /// Keeps the list of deadlines true after a task has changed.
    fn note_deadline(&mut self, id: &TaskId) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        let attention = task.attention();
        if let Some(before) = task.deadline.take() {
            self.deadlines.remove(&(before, id.clone()));
        }
        task.deadline = attention;
        if let Some(deadline) = attention {
            self.deadlines.insert((deadline, id.clone()));
        }
    }

    fn set_phase(&mut self, id: &TaskId, phase: Phase, deadline: Option<Instant>) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        if let Some(before) = task.deadline.take() {
            self.deadlines.remove(&(before, id.clone()));
        }
        task.phase = phase;
        task.deadline = deadline;
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, id.clone()));
        }
        if matches!(phase, Phase::Sweeping(_)) {
            self.sweeping.insert(id.clone());
        } else {
            self.sweeping.remove(id);
        }
    }

    /// Does what is due.
    pub(super) fn fire(&mut self, now: Instant) {
        while let Some((deadline, id)) = self.deadlines.first().cloned()
            && deadline <= now
        {
            let Some(task) = self.tasks.get_mut(&id) else {
                self.deadlines.remove(&(deadline, id));
                continue;
            };
            match task.phase {
                Phase::Running => {
                    task.overdue(now);
                    self.note_deadline(&id);
                }
                Phase::Draining(status) => {
                    task.finish().cancel();
                    self.set_phase(&id, Phase::Draining(status), None);
                }
                Phase::Sweeping(status) => self.record(&id, status),
                Phase::Recording(exit) => self.set_phase(&id, Phase::Recording(exit), None),
            }
        }
    }

    /// Asks how children have ended, orphans of tasks included.
    pub(super) fn reap(&mut self) {
        let mut orphans = false;
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let Some(id) = self.by_pid.remove(&pid) else {
                orphans = true;
                continue;
            };
            let phase = Phase::Draining(exit_status(status));
            self.set_phase(&id, phase, Some(Instant::now() + DRAIN));
            self.advance(&id);
        }
        if orphans {
            for id in self.sweeping.clone() {
                self.advance(&id);
            }
        }
    }

    /// Takes a task that has ended as far as it can go now.
    fn advance(&mut self, id: &TaskId) {
        let Some(task) = self.tasks.get(id) else { return };
        let (session, output_done) = (task.pid, task.output_done);
        let status = match task.phase {
            Phase::Draining(status) if output_done => status,
            Phase::Sweeping(status) => status,
            Phase::Running | Phase::Draining(_) | Phase::Recording(_) => return,
        };
        if self.sweep(session) {
            self.record(id, status);
        } else if !self.sweeping.contains(id) {
            self.set_phase(id, Phase::Sweeping(status), Some(Instant::now() + SWEEP));
        }
    }

    /// Kills what is left of the session of an ended task. Tells whether nothing is.
    ///
    /// When its leader has ended, the processes of a session become children of the holder, one
    /// generation after the other; nobody else can be hit, because a child that is not reaped
    /// keeps its number. What has left the session on purpose is a daemon, and stays.
    fn sweep(&self, session: Pid) -> bool {
        // Of a number that is used again, nothing can be left of the session that had it first.
        if self.by_pid.contains_key(&session) {
            return true;
        }
        let Ok(children) = proc::children() else { return true };
        let mut clean = true;
        for pid in children.into_iter().filter_map(Pid::from_raw) {
            if !self.by_pid.contains_key(&pid) && getsid(Some(pid)) == Ok(session) {
                let _ = kill_process(pid, Signal::KILL);
                clean = false;
            }
        }
        clean
    }

    fn record(&mut self, id: &TaskId, status: ExitStatus) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        task.input = None;
        let exit = task.exit(status);
        self.set_phase(id, Phase::Recording(exit), None);
        let (dir, events, id) = (task_dir(&self.dir, id), self.events.clone(), id.clone());
        tokio::spawn(async move {
            let written = tokio::task::spawn_blocking(move || exit.write(&dir)).await;
            if !matches!(written, Ok(Ok(()))) {
                // The agent is told, and keeps a record of its own.
                tracing::error!(task = %id, "the end of a task could not be written down");
            }
            drop(events.send(Event::Recorded(id)).await);
        });
    }

    fn recorded(&mut self, id: &TaskId) {
        let Some(task) = self.tasks.remove(id) else { return };
        self.growth.forget(id);
        self.last_needed = Instant::now();
        if let Phase::Recording(exit) = task.phase {
            self.tell(FromHolder::Exited { task: id.clone(), exit });
        }
    }

    /// Ends all tasks, and then the holder.
    pub(super) fn stop_all(&mut self) {
        self.leaving = true;
        let now = Instant::now();
        let ids: Vec<_> = self.tasks.keys().cloned().collect();
        for id in ids {
            if let Some(task) = self.tasks.get_mut(&id) {
                task.stop(LAST_GRACE, now);
            }
            self.note_deadline(&id);
        }
    }

    /// Looks whether anybody needs the holder.
    pub(super) fn look_around(&mut self, now: Instant) {
        if self.agent.is_some() || !self.tasks.is_empty() {
            self.last_needed = now;
            return;
        }
        let reachable = self.dir.join("holder.sock").exists();
        if !reachable || now.duration_since(self.last_needed) >= IDLE {
            self.leaving = true;
        }
    }
}

fn exit_status(status: WaitStatus) -> ExitStatus {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => ExitStatus::Code(code),
        (None, Some(signal)) => ExitStatus::Signal(signal),
        // Cannot be: only ended children are asked for.
        (None, None) => ExitStatus::Code(255),
    }
}
