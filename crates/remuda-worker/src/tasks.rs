//! The tasks of a node: a handle for whoever starts, commands and stops them.

mod actor;
mod core;
mod live;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use remuda_model::{
    EventBody, Failure, Generation, NodeId, NodeStatus, TaskEnd, TaskId, TaskRecord,
};
use remuda_plugin::{Class, RawInput, output::OutputLog};
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) use self::{
    actor::{Actor, WANTED_KEY},
    core::{Stored, not_ready},
};
use self::{
    actor::{Message, ReplyTo},
    core::{Answer, not_found},
};
use crate::{
    failures,
    status::{Connection, Wanted},
    store::Store,
};

/// Messages that wait for the actor; a full queue holds back callers.
const QUEUE: usize = 1024;

/// Whose tasks they are, and where they are kept.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) node: NodeId,
    pub(crate) generation: Generation,
    pub(crate) store: Store,
    pub(crate) events: mpsc::Sender<EventBody>,
}

/// A handle to the tasks and the status of the node; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Tasks {
    node: NodeId,
    messages: mpsc::Sender<Message>,
    status: watch::Receiver<NodeStatus>,
    running: watch::Receiver<u32>,
}

/// What the node has of one task at present.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) record: TaskRecord,
    inbox: Option<mpsc::Sender<RawInput>>,
    /// Its output, unless it keeps none.
    pub(crate) output: Option<Output>,
    /// How it ended, once it has.
    pub(crate) ended: watch::Receiver<Option<TaskEnd>>,
}

/// The output of a task.
#[derive(Debug)]
pub(crate) enum Output {
    /// Of one that runs, or ended in this boot.
    Log(OutputLog),
    /// Of one that ended in an earlier boot.
    LeftBehind {
        /// Where it is.
        dir: PathBuf,
        /// How the task ended.
        end: TaskEnd,
    },
}

impl Output {
    /// Gets ready to read it.
    pub(crate) async fn open(self) -> io::Result<OutputLog> {
        match self {
            Self::Log(log) => Ok(log),
            Self::LeftBehind { dir, end } => {
                tokio::task::spawn_blocking(move || OutputLog::left_behind(dir, end)).await?
            }
        }
    }
}

impl Tasks {
    /// Starts a task; its record is on disk before its class starts the work, unless it is
    /// attached. The inner failure is the class's.
    pub(crate) async fn start(
        &self,
        class: Arc<dyn Class>,
        id: TaskId,
        spec: Vec<u8>,
        attached: bool,
    ) -> Result<Result<Box<TaskRecord>, Failure>, Failure> {
        let start = |reply| Message::Start { class, id, spec, attached, reply };
        match self.ask(start).await? {
            Answer::Started(record) => Ok(Ok(record)),
            Answer::Refused(failure) => Ok(Err(failure)),
            other => unreachable!("a start is answered with {other:?}"),
        }
    }

    /// Says something to a running task and waits for its answer, however long that takes. The
    /// inner failure is the task's.
    pub(crate) async fn command(
        &self,
        id: &TaskId,
        payload: Vec<u8>,
    ) -> Result<Result<Vec<u8>, Failure>, Failure> {
        let found = self.find(id).await?;
        let ended = || {
            Failure::new(remuda_model::ErrorKind::Conflict, format!("task `{id}` has ended"))
                .code("task_ended")
        };
        let inbox = found.inbox.ok_or_else(ended)?;
        let (reply, answer) = oneshot::channel();
        inbox.send(RawInput::Command(payload, reply)).await.map_err(|_ended| ended())?;
        Ok(answer.await.unwrap_or_else(|_dropped| {
            Err(Failure::failed(format!("task `{id}` has not answered the command"))
                .code("no_answer"))
        }))
    }

    /// Asks a task to end, and ends it by force after the grace. A task that has ended is no error.
    pub(crate) async fn stop(&self, id: TaskId, grace: Duration) -> Result<(), Failure> {
        self.ask(|reply| Message::Stop { id, grace, reply }).await.map(drop)
    }

    /// Forgets an ended task and its output.
    pub(crate) async fn forget(&self, id: TaskId) -> Result<(), Failure> {
        self.ask(|reply| Message::Forget { id, reply }).await.map(drop)
    }

    /// All tasks, ended ones included.
    pub(crate) async fn list(&self) -> Result<Vec<TaskRecord>, Failure> {
        let (reply, answer) = oneshot::channel();
        self.tell(Message::List { reply }).await?;
        answer.await.map_err(|_gone| failures::shutting_down())
    }

    /// One task.
    pub(crate) async fn find(&self, id: &TaskId) -> Result<Found, Failure> {
        self.look(id, false).await
    }

    /// One task whose output somebody begins to follow: [`unfollow`](Self::unfollow) must be called
    /// in the end.
    pub(crate) async fn follow(&self, id: &TaskId) -> Result<Found, Failure> {
        self.look(id, true).await
    }

    async fn look(&self, id: &TaskId, follow: bool) -> Result<Found, Failure> {
        let (reply, answer) = oneshot::channel();
        self.tell(Message::Find { id: id.clone(), follow, reply }).await?;
        let found = answer.await.map_err(|_gone| failures::shutting_down())?;
        found.map(|found| *found).ok_or_else(|| not_found(id))
    }

    /// Somebody follows no more; `to_end` when all output and the end were sent.
    pub(crate) async fn unfollow(&self, id: TaskId, to_end: bool) {
        // After a shutdown nobody counts followers.
        drop(self.tell(Message::Unfollow { id, to_end }).await);
    }

    /// Wishes a status; the wish is on disk before it is answered.
    pub(crate) async fn want(&self, wanted: Wanted) -> Result<NodeStatus, Failure> {
        match self.ask(|reply| Message::Want { wanted, reply }).await? {
            Answer::Status(status) => Ok(status),
            other => unreachable!("a wish is answered with {other:?}"),
        }
    }

    /// The link to the owner is found, or lost; the status shows it when this returns.
    pub(crate) async fn connection(&self, connection: Connection) {
        let (done, shown) = oneshot::channel();
        // After a shutdown nobody shows a status.
        if self.tell(Message::Connection(connection, done)).await.is_ok() {
            drop(shown.await);
        }
    }

    /// Takes no more tasks, and waits until none runs or `limit` has passed.
    pub(crate) async fn drain(&self, limit: Duration) -> bool {
        let mut running = self.running.clone();
        let drained = async {
            self.tell(Message::Drain).await.is_err() || running.wait_for(|n| *n == 0).await.is_ok()
        };
        tokio::time::timeout(limit, drained).await.unwrap_or(false)
    }

    /// What the node shows.
    pub(crate) fn status(&self) -> watch::Receiver<NodeStatus> {
        self.status.clone()
    }

    /// How many tasks run, attached ones excluded.
    pub(crate) fn running(&self) -> watch::Receiver<u32> {
        self.running.clone()
    }

    /// Refuses requests while the node has not found its cluster.
    pub(crate) fn check_takes_requests(&self) -> Result<(), Failure> {
        let status = *self.status.borrow();
        if status.takes_requests() { Ok(()) } else { Err(not_ready(&self.node, status)) }
    }

    async fn ask(&self, message: impl FnOnce(ReplyTo) -> Message) -> Result<Answer, Failure> {
        let (reply, answer) = oneshot::channel();
        self.tell(message(reply)).await?;
        answer.await.unwrap_or_else(|_gone| Err(failures::cut_off()))
    }

    async fn tell(&self, message: Message) -> Result<(), Failure> {
        self.messages.send(message).await.map_err(|_gone| failures::shutting_down())
    }
}

/// Makes a handle whose messages wait until [`Actor::start`]; what must know the handle can so be
/// made before the actor is.
pub(crate) fn handle(setup: &Setup) -> (Tasks, actor::Inbox) {
    let (messages, receiver) = mpsc::channel(QUEUE);
    let (status_sender, status) = watch::channel(NodeStatus::Launching);
    let (running_sender, running) = watch::channel(0);
    let tasks = Tasks { node: setup.node.clone(), messages: messages.clone(), status, running };
    (tasks, actor::Inbox { messages, receiver, status: status_sender, running: running_sender })
}
