//! The typed trait that authors of job classes implement.

use std::time::Duration;

use remuda_model::{ClassName, Failure, NodeId, TaskEnd, TaskId};
use serde::{Serialize, de::DeserializeOwned};

use crate::{EventSink, Running, Task};

/// An extension of the cluster, named, with callbacks on both sides.
///
/// Handlers are async and belong to the worker's runtime, never to a connection: a slow one delays
/// nobody else, and a lost link ends none. A panic ends the one request or task. Types cross the
/// wire as JSON text, so that REST and the command line can speak to every class.
pub trait JobClass: Send + Sync + 'static {
    /// The name under which the class is addressed; the same on every node.
    const NAME: &'static str;
    /// What a request says.
    type Request: DeserializeOwned + Send;
    /// What its reply says.
    type Reply: Serialize + Send;
    /// What a new task needs to know.
    type Spec: DeserializeOwned + Send;
    /// A message to a running task.
    type Command: DeserializeOwned + Send + 'static;
    /// The answer to a command.
    type CommandReply: Serialize + Send + 'static;
    /// What tasks of this class report.
    type Event: Serialize + DeserializeOwned + Send;

    /// Answers a request, on a worker. Dropped when the caller cancels or its deadline passes.
    fn request(
        &self,
        context: RequestContext,
        request: Self::Request,
    ) -> impl Future<Output = Result<Self::Reply, Failure>> + Send {
        let _ = (context, request);
        std::future::ready(Err(Failure::invalid(format!(
            "class `{}` takes no requests",
            Self::NAME
        ))))
    }

    /// Starts a task, on a worker. The task runs as long as the returned [`Running::work`].
    fn start(
        &self,
        task: Task<Self>,
        spec: Self::Spec,
    ) -> impl Future<Output = Result<Running, Failure>> + Send
    where
        Self: Sized,
    {
        let _ = (task, spec);
        std::future::ready(Err(Failure::invalid(format!("class `{}` runs no tasks", Self::NAME))))
    }

    /// Called once when an agent starts, before any [`recover`](Self::recover), with the tasks of
    /// this class that its records call running. Whatever else the class still runs from before is
    /// not known to anybody and must be ended here.
    fn recovering(&self, known: &[TaskId]) -> impl Future<Output = ()> + Send {
        let _ = known;
        std::future::ready(())
    }

    /// Takes up a task that ran before the agent restarted. An error marks the task lost.
    fn recover(&self, task: Task<Self>) -> impl Future<Output = Result<Running, Failure>> + Send
    where
        Self: Sized,
    {
        let _ = task;
        std::future::ready(Err(Failure::failed("its agent restarted")))
    }

    /// Forgets what is kept about an ended task, such as its output.
    fn forget(&self, task: &TaskId) -> impl Future<Output = ()> + Send {
        let _ = task;
        std::future::ready(())
    }

    /// Sees an event that this class or one of its tasks has emitted, on the control node that owns
    /// the worker. What one node reports comes in order, [`started`](Self::started) and
    /// [`ended`](Self::ended) included; it may come again after a failure, and at another control
    /// node when the worker has moved. A handler has 30 s for each; when it takes longer or
    /// panics, this one is left out for it.
    fn event(
        &self,
        node: &NodeId,
        task: Option<&TaskId>,
        event: Self::Event,
    ) -> impl Future<Output = ()> + Send {
        let _ = (node, task, event);
        std::future::ready(())
    }

    /// Sees that a task of this class runs, where and as [`event`](Self::event) sees events. Only
    /// what [`start`](Self::start) itself emits may come before.
    fn started(&self, node: &NodeId, task: &TaskId) -> impl Future<Output = ()> + Send {
        let _ = (node, task);
        std::future::ready(())
    }

    /// Sees that a task of this class has ended, and how, after what its
    /// [`work`](crate::Running::work) has emitted. An end is missing when an agent dies in the moment
    /// in which the ended task is forgotten.
    fn ended(
        &self,
        node: &NodeId,
        task: &TaskId,
        end: &TaskEnd,
    ) -> impl Future<Output = ()> + Send {
        let _ = (node, task, end);
        std::future::ready(())
    }
}

/// What a request handler may use.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// The node on which it runs.
    pub node: NodeId,
    /// The class that was addressed.
    pub class: ClassName,
    /// How long the caller still waits.
    pub deadline: Duration,
    /// Emits events of the class.
    pub events: EventSink,
}
