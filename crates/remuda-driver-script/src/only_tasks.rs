//! Job classes that only run tasks, each of which is a script under the holder.

use futures_util::future::BoxFuture;
use remuda_model::{ClassName, Event, Failure, TaskId};
use remuda_plugin::{Class, RawTask, RequestContext, Running};
use serde::de::DeserializeOwned;

use crate::held::{Held, class_name, read};

/// What tells such classes apart.
pub(crate) trait Scripts: Send + Sync + 'static {
    /// The name of the class.
    const NAME: &'static str;
    /// What a new task needs to know.
    type Spec: DeserializeOwned + Send;

    /// What runs its tasks.
    fn held(&self) -> &Held;

    /// Starts a task.
    fn run(
        &self,
        task: RawTask,
        spec: Self::Spec,
    ) -> impl Future<Output = Result<Running, Failure>> + Send;
}

/// The class of some scripts.
pub(crate) struct OnlyTasks<S>(pub(crate) S);

impl<S: Scripts> Class for OnlyTasks<S> {
    fn name(&self) -> ClassName {
        class_name(S::NAME)
    }

    fn request(
        &self,
        _context: RequestContext,
        _payload: Vec<u8>,
    ) -> BoxFuture<'_, Result<Vec<u8>, Failure>> {
        let refusal = Failure::invalid(format!("class `{}` takes no requests", S::NAME));
        Box::pin(std::future::ready(Err(refusal.hint("start a task of it"))))
    }

    fn start(&self, task: RawTask, spec: Vec<u8>) -> BoxFuture<'_, Result<Running, Failure>> {
        Box::pin(async move { self.0.run(task, read("spec", &spec)?).await })
    }

    fn recovering<'a>(&'a self, known: &'a [TaskId]) -> BoxFuture<'a, ()> {
        Box::pin(self.0.held().recovering(known))
    }

    fn recover(&self, task: RawTask) -> BoxFuture<'_, Result<Running, Failure>> {
        Box::pin(self.0.held().recover(task))
    }

    fn forget<'a>(&'a self, task: &'a TaskId) -> BoxFuture<'a, ()> {
        Box::pin(self.0.held().forget(task))
    }

    fn event<'a>(&'a self, _event: &'a Event) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}
