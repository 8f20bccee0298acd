//! What a job class sees of a task, and what it gives back.

use std::{fmt, marker::PhantomData, time::Duration};

use futures_util::future::BoxFuture;
use remuda_model::{ClassName, EventBody, Failure, NodeId, NodeStatus, TaskEnd, TaskId};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::{JobClass, output::OutputLog};

/// A task as its class sees it, without types: messages as bytes.
#[derive(Debug)]
pub struct RawTask {
    /// Its id.
    pub id: TaskId,
    /// Its class.
    pub class: ClassName,
    /// The node on which it runs.
    pub node: NodeId,
    /// What comes for it. When the other end is gone, the agent shuts down and the task should
    /// leave behind what can be recovered.
    pub inbox: mpsc::Receiver<RawInput>,
    /// Emits its events.
    pub events: EventSink,
}

/// Something that comes for a task, without types.
#[derive(Debug)]
pub enum RawInput {
    /// A command: bytes, and where the answer goes.
    Command(Vec<u8>, oneshot::Sender<Result<Vec<u8>, Failure>>),
    /// The node has another status.
    Status(NodeStatus),
    /// End within this time; afterwards the work is dropped.
    Stop(Duration),
}

/// A task as its class sees it.
#[derive(Debug)]
pub struct Task<C: JobClass> {
    raw: RawTask,
    class: PhantomData<fn() -> C>,
}

/// Something that comes for a task.
#[derive(Debug)]
pub enum Input<C: JobClass> {
    /// Somebody says something and awaits an answer.
    Command(Command<C>),
    /// The node has another status.
    Status(NodeStatus),
    /// End within this time; afterwards the work is dropped.
    Stop(Duration),
}

/// A command and the way to answer it.
pub struct Command<C: JobClass> {
    /// What it says.
    pub body: C::Command,
    /// Where the answer goes.
    pub reply: Reply<C::CommandReply>,
}

impl<C: JobClass> fmt::Debug for Command<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command").finish_non_exhaustive()
    }
}

/// Answers one command; dropping it tells the caller that the handler gave no answer.
pub struct Reply<R> {
    sender: oneshot::Sender<Result<Vec<u8>, Failure>>,
    reply: PhantomData<fn(R)>,
}

impl<R> fmt::Debug for Reply<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").finish_non_exhaustive()
    }
}

impl<R: Serialize> Reply<R> {
    /// Sends the answer. The caller may have stopped waiting.
    pub fn send(self, answer: Result<R, Failure>) {
        let bytes = answer.and_then(|reply| {
            serde_json::to_vec(&reply).map_err(|error| Failure::internal(&error))
        });
        drop(self.sender.send(bytes));
    }
}

impl<C: JobClass> Task<C> {
    /// Gives types to a task.
    pub fn new(raw: RawTask) -> Self {
        Self { raw, class: PhantomData }
    }

    /// Its id.
    pub fn id(&self) -> &TaskId {
        &self.raw.id
    }

    /// The node on which it runs.
    pub fn node(&self) -> &NodeId {
        &self.raw.node
    }

    /// The next thing that comes for it, or `None` when the agent shuts down.
    ///
    /// A command that cannot be read is answered here and never seen.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Input<C>> {
        loop {
            match self.raw.inbox.recv().await? {
                RawInput::Status(status) => return Some(Input::Status(status)),
                RawInput::Stop(grace) => return Some(Input::Stop(grace)),
                RawInput::Command(bytes, sender) => match serde_json::from_slice(&bytes) {
                    Ok(body) => {
                        let reply = Reply { sender, reply: PhantomData };
                        return Some(Input::Command(Command { body, reply }));
                    }
                    Err(error) => {
                        let failure = Failure::invalid(format!("malformed command: {error}"));
                        drop(sender.send(Err(failure)));
                    }
                },
            }
        }
    }

    /// Reports an event; waits while the spool of the node is busy.
    pub async fn emit(&self, event: &C::Event) {
        self.raw.events.emit(Some(self.raw.id.clone()), event).await;
    }
}

/// The life of a task: it ends when the future does.
pub type Work = BoxFuture<'static, TaskEnd>;

/// A task that has been started.
pub struct Running {
    /// A line for people.
    pub summary: String,
    /// Its output, when it keeps any.
    pub output: Option<OutputLog>,
    /// Its life.
    pub work: Work,
}

impl Running {
    /// A task without output that ends when `work` does.
    pub fn new(
        summary: impl Into<String>,
        work: impl Future<Output = TaskEnd> + Send + 'static,
    ) -> Self {
        Self { summary: summary.into(), output: None, work: Box::pin(work) }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("summary", &self.summary).finish_non_exhaustive()
    }
}

/// Emits events of one class on one node.
#[derive(Clone, Debug)]
pub struct EventSink {
    class: ClassName,
    spool: mpsc::Sender<EventBody>,
}

impl EventSink {
    /// A sink that writes to the spool of the node.
    pub fn new(class: ClassName, spool: mpsc::Sender<EventBody>) -> Self {
        Self { class, spool }
    }

    /// A sink of another class that writes to the same spool.
    pub fn of_class(&self, class: ClassName) -> Self {
        Self { class, spool: self.spool.clone() }
    }

    /// Reports an event of the class, or of one of its tasks; waits while the spool is busy.
    ///
    /// # Panics
    ///
    /// When the event cannot be written as JSON, which is a bug of the class.
    pub async fn emit<E: Serialize>(&self, task: Option<TaskId>, event: &E) {
        let payload = serde_json::to_string(event).expect("events of a class are writable");
        self.emit_json(task, payload).await;
    }

    /// Reports an event that is JSON already; waits while the spool is busy.
    pub async fn emit_json(&self, task: Option<TaskId>, payload: String) {
        let body = EventBody::Class { class: self.class.clone(), task, payload };
        // The spool ends only when the agent does.
        drop(self.spool.send(body).await);
    }
}
