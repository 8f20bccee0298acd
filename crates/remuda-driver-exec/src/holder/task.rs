//! One task of the holder: how its process is started, and where it is in its life.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use remuda_model::{ErrorKind, ExitStatus, Failure, TaskId};
use remuda_plugin::output::OutputWriter;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{growth::Growth, input::Input, output::Pump};
use crate::{
    launch::{Fork, spawn_failure},
    proc,
    protocol::Spawn,
    record::{Exit, Spawned},
    spec::Stdin,
};

/// How long a task has between the `SIGTERM` of its time limit and the `SIGKILL`.
const TIMEOUT_GRACE: Duration = Duration::from_secs(10);

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its process runs.
    Running,
    /// Its process has ended; somebody may still write to its pipes.
    Draining(ExitStatus),
    /// Its output is complete; what it left behind is being ended.
    Sweeping(ExitStatus),
    /// Its end is being written down.
    Recording(Exit),
}

/// A task from its start until its end is on disk.
#[derive(Debug)]
pub(super) struct HeldTask {
    pub(super) pid: Pid,
    pub(super) phase: Phase,
    pub(super) input: Option<Input>,
    /// Whether the output is complete.
    pub(super) output_done: bool,
    /// When something has to be done about it, whatever it is in this phase.
    pub(super) deadline: Option<Instant>,
    len: Arc<AtomicU64>,
    /// Cancelled to end the pump and the input.
    finish: CancellationToken,
    /// When its own time limit passes.
    limit: Option<Instant>,
    /// When it is killed.
    kill: Option<Instant>,
    stopped: bool,
    timed_out: bool,
}

impl Drop for HeldTask {
    fn drop(&mut self) {
        self.finish.cancel();
    }
}

impl HeldTask {
    /// Starts a process. On an error nothing is left of it.
    pub(super) fn start(
        dir: &Path,
        spawn: &Spawn,
        fork: Fork,
        growth: &Growth,
        boot_id: &str,
    ) -> Result<(Self, Pump), Failure> {
        match fs::remove_dir_all(dir) {
            // Left by a task that nobody knows any more: the agent never starts a known id again.
            Ok(()) => tracing::warn!(task = %spawn.task, "left-over files were removed"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unwritable(&error)),
        }
        DirBuilder::new().mode(0o700).create(dir).map_err(|error| unwritable(&error))?;
        Self::start_in(dir, spawn, fork, growth, boot_id).inspect_err(|_| {
            drop(fs::remove_dir_all(dir));
        })
    }

    fn start_in(
        dir: &Path,
        spawn: &Spawn,
        fork: Fork,
        growth: &Growth,
        boot_id: &str,
    ) -> Result<(Self, Pump), Failure> {
        let record =
            OutputWriter::open(dir, spawn.max_output_bytes).map_err(|error| unwritable(&error))?;
        let not_started = |error: io::Error| spawn_failure(&spawn.launch, &error);
        let mut command = spawn.launch.command(fork).map_err(not_started)?;
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.stdin(if spawn.stdin == Stdin::None { Stdio::null() } else { Stdio::piped() });
        let mut child = command.spawn().map_err(not_started)?;
        let pid = Pid::from_child(&child);
        let finish = CancellationToken::new();
        let prepare = || -> io::Result<_> {
            let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
            let stderr = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
            let pump = Pump::new(spawn.task.clone(), record, stdout, stderr, growth.clone())?;
            let text = match &spawn.stdin {
                Stdin::None => None,
                Stdin::Open => Some(Vec::new()),
                Stdin::Text(text) => Some(text.clone().into_bytes()),
            };
            let input = child.stdin.take().zip(text);
            let input =
                input.map(|(pipe, text)| Input::start(pipe, text, finish.clone())).transpose()?;
            // With a text, the input ends after it.
            let input = input.filter(|_| spawn.stdin == Stdin::Open);
            let started = proc::stat(pid.as_raw_pid()).map_or(0, |stat| stat.started);
            let spawned = Spawned {
                pid: pid.as_raw_pid(),
                started,
                boot_id: boot_id.to_owned(),
                summary: spawn.summary.clone(),
            };
            spawned.write(dir)?;
            Ok((pump, input))
        };
        let (pump, input) = prepare().map_err(|error| {
            // Nobody could take it up again. It is reaped like an orphan.
            let _ = kill_process_group(pid, Signal::KILL);
            unwritable(&error)
        })?;
        let limit = spawn.timeout_ms.map(Duration::from_millis);
        let limit = limit.and_then(|limit| Instant::now().checked_add(limit));
        let task = Self {
            pid,
            phase: Phase::Running,
            input,
            output_done: false,
            deadline: None,
            len: pump.len(),
            finish,
            limit,
            kill: None,
            stopped: false,
            timed_out: false,
        };
        Ok((task, pump))
    }

    /// When this task needs attention next, by its phase.
    pub(super) fn attention(&self) -> Option<Instant> {
        match self.phase {
            Phase::Running => match (self.limit, self.kill) {
                (Some(limit), Some(kill)) => Some(limit.min(kill)),
                (limit, kill) => limit.or(kill),
            },
            Phase::Draining(_) | Phase::Sweeping(_) | Phase::Recording(_) => self.deadline,
        }
    }

    /// How much of its output may be read.
    pub(super) fn len(&self) -> u64 {
        self.len.load(Ordering::Relaxed)
    }

    /// Cancelled when the pump should take what there is and end.
    pub(super) fn finish(&self) -> &CancellationToken {
        &self.finish
    }

    /// Sends a signal to the process and its group.
    pub(super) fn signal(&self, signal: Signal) -> Result<(), Failure> {
        // Only while the process is not reaped can its number not be used again.
        if self.phase != Phase::Running {
            return Err(ended());
        }
        kill_process_group(self.pid, signal)
            .map_err(|error| Failure::failed(format!("cannot send the signal: {error}")))
    }

    /// Asks it to end within the grace. A later, shorter grace counts; a longer one does not.
    pub(super) fn stop(&mut self, grace: Duration, now: Instant) {
        self.stopped = true;
        if self.phase != Phase::Running {
            // Only left-overs write now.
            self.finish.cancel();
            return;
        }
        let kill = now.checked_add(grace).unwrap_or(now);
        let kill = self.kill.map_or(kill, |earlier| earlier.min(kill));
        self.kill = Some(kill);
        let signal = if kill <= now { Signal::KILL } else { Signal::TERM };
        drop(self.signal(signal));
        if signal == Signal::TERM {
            // What is stopped cannot obey.
            drop(self.signal(Signal::CONT));
        }
    }

    /// Does what is due for a running process.
    pub(super) fn overdue(&mut self, now: Instant) {
        if self.kill.is_some_and(|kill| kill <= now) {
            self.kill = None;
            self.limit = None;
            drop(self.signal(Signal::KILL));
        } else if self.limit.is_some_and(|limit| limit <= now) {
            self.limit = None;
            self.timed_out = true;
            let kill = now + TIMEOUT_GRACE;
            self.kill = Some(self.kill.map_or(kill, |earlier| earlier.min(kill)));
            drop(self.signal(Signal::TERM));
            drop(self.signal(Signal::CONT));
        }
    }

    /// What is written down about its end.
    pub(super) fn exit(&self, status: ExitStatus) -> Exit {
        Exit { status, stopped: self.stopped, timed_out: self.timed_out, output_len: self.len() }
    }
}

/// What is said about a task that does not run.
pub(super) fn ended() -> Failure {
    Failure::new(ErrorKind::Conflict, "the process has ended").code("task_ended")
}

/// What is said when the files of a task cannot be made.
fn unwritable(error: &io::Error) -> Failure {
    Failure::new(
        ErrorKind::NoCapacity,
        format!("the node cannot write the files of the task: {error}"),
    )
    .hint("look at the free space and the rights of the agent's data directory")
}

/// The names of tasks in a folder are ids; what else lies there is none of the holder's.
pub(super) fn unknown(task: &TaskId) -> Failure {
    Failure::not_found(format!("task `{task}` does not run here")).code("task_ended")
}
