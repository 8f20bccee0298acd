//! The agent's side of the holder: finds it, starts it, and tells how its tasks go.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use remuda_model::{ErrorKind, Failure, TaskEnd, TaskId};
use remuda_plugin::output::{OutputState, recorded_len};
use remuda_runtime::Supervisor;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    proc,
    protocol::{Op, Spawn},
    record::{Exit, Spawned, task_dir},
};

mod actor;
mod connect;

/// How long a caller waits for the holder.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// How far the output of a task has grown, and how the task ended.
pub(crate) type Progress = watch::Receiver<OutputState>;

type Answer<T> = oneshot::Sender<Result<T, Failure>>;

/// What callers want from the actor.
#[derive(Debug)]
enum Ask {
    /// Starts a task, and the holder when there is none.
    Spawn(Box<Spawn>, Answer<Progress>),
    /// Watches a task that runs; `None` when it does not.
    Adopt(TaskId, Answer<Option<Progress>>),
    /// Which tasks run.
    Running(Answer<Vec<TaskId>>),
    /// Anything else.
    Call(Op, Answer<()>),
}

/// A handle to the holder of one worker. When the last one is dropped, the holder is told to end
/// as soon as no task runs.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    dir: Arc<Path>,
    asks: mpsc::Sender<Ask>,
}

impl Client {
    /// Speaks to the holder that uses `dir`, or will start `program` to be it.
    pub(crate) fn start(dir: PathBuf, program: PathBuf) -> Self {
        let (asks, receiver) = mpsc::channel(256);
        let dir: Arc<Path> = dir.into();
        let supervisor = Supervisor::new();
        let place = connect::Place { dir: dir.clone(), program, supervisor: supervisor.clone() };
        supervisor.spawn("holder client", actor::Actor::new(place, receiver).run());
        Self { dir, asks }
    }

    /// The folder of a task.
    pub(crate) fn task_dir(&self, task: &TaskId) -> PathBuf {
        task_dir(&self.dir, task)
    }

    /// Starts a task.
    pub(crate) async fn spawn(&self, spawn: Spawn) -> Result<Progress, Failure> {
        self.ask(|answer| Ask::Spawn(Box::new(spawn), answer)).await
    }

    /// Watches a task that runs; `None` when it does not.
    pub(crate) async fn adopt(&self, task: &TaskId) -> Result<Option<Progress>, Failure> {
        self.ask(|answer| Ask::Adopt(task.clone(), answer)).await
    }

    /// Which tasks run.
    pub(crate) async fn running(&self) -> Result<Vec<TaskId>, Failure> {
        self.ask(Ask::Running).await
    }

    /// Asks the holder for something about a task.
    pub(crate) async fn call(&self, op: Op) -> Result<(), Failure> {
        self.ask(|answer| Ask::Call(op, answer)).await
    }

    /// Asks the holder for something that may take as long as a task likes. What is asked first
    /// is done first.
    pub(crate) fn begin(&self, op: Op) -> Result<oneshot::Receiver<Result<(), Failure>>, Failure> {
        let (answer, answered) = oneshot::channel();
        match self.asks.try_send(Ask::Call(op, answer)) {
            Ok(()) => Ok(answered),
            Err(mpsc::error::TrySendError::Full(_)) => Err(busy()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(gone()),
        }
    }

    async fn ask<T>(&self, ask: impl FnOnce(Answer<T>) -> Ask) -> Result<T, Failure> {
        let (answer, answered) = oneshot::channel();
        let exchange = async {
            self.asks.send(ask(answer)).await.map_err(|_closed| gone())?;
            answered.await.map_err(|_dropped| gone())?
        };
        tokio::time::timeout(CALL_LIMIT, exchange).await.unwrap_or_else(|_elapsed| {
            Err(Failure::new(ErrorKind::TimedOut, "the holder of the tasks does not answer"))
        })
    }

    /// Removes what is kept of a task that does not run.
    pub(crate) async fn remove(&self, task: &TaskId) {
        remove(self.dir.clone(), task.clone()).await;
    }

    /// What became of a task that does not run. Ends what a dead holder has left of it.
    pub(crate) async fn outcome(&self, task: &TaskId) -> OutputState {
        outcome(self.dir.clone(), task.clone()).await
    }
}

fn gone() -> Failure {
    Failure::new(ErrorKind::Unavailable, "the agent shuts down")
}

fn busy() -> Failure {
    Failure::new(ErrorKind::NoCapacity, "too much is asked of the holder of the tasks at once")
        .hint("try again")
}

async fn remove(dir: Arc<Path>, task: TaskId) {
    let folder = task_dir(&dir, &task);
    let removed = tokio::task::spawn_blocking(move || match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    });
    if let Ok(Err(error)) = removed.await {
        tracing::warn!(%task, %error, "the files of a task could not be removed");
    }
}

async fn outcome(dir: Arc<Path>, task: TaskId) -> OutputState {
    let looked = tokio::task::spawn_blocking(move || look(&task_dir(&dir, &task), &task)).await;
    looked.unwrap_or_else(|error| OutputState {
        len: 0,
        end: Some(TaskEnd::Lost { message: format!("its files cannot be read: {error}") }),
    })
}

fn look(task_dir: &Path, task: &TaskId) -> OutputState {
    if let Some(exit) = Exit::read(task_dir) {
        return OutputState { len: exit.output_len, end: Some(exit.into()) };
    }
    let message = match Spawned::read(task_dir) {
        None => "the holder died when it was to be started",
        Some(spawned) if spawned.boot_id != proc::boot_id() => "the machine restarted",
        Some(spawned) => {
            proc::end_leftovers(task, spawned.pid, spawned.started);
            "the holder died"
        }
    };
    let len = recorded_len(task_dir).unwrap_or_else(|error: io::Error| {
        tracing::warn!(%task, %error, "the output of a lost task cannot be read");
        0
    });
    OutputState { len, end: Some(TaskEnd::Lost { message: message.to_owned() }) }
}
