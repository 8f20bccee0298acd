//! Job classes as the agent handles them: one object type, messages as bytes.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use remuda_model::{ClassName, Event, EventBody, Failure, TaskId};
use serde::de::DeserializeOwned;

use crate::{JobClass, RawTask, RequestContext, Running, Task};

/// A job class without its types. Implement [`JobClass`] instead, unless the bytes matter.
pub trait Class: Send + Sync + 'static {
    /// See [`JobClass::NAME`].
    fn name(&self) -> ClassName;
    /// See [`JobClass::request`].
    fn request(
        &self,
        context: RequestContext,
        payload: Vec<u8>,
    ) -> BoxFuture<'_, Result<Vec<u8>, Failure>>;
    /// See [`JobClass::start`].
    fn start(&self, task: RawTask, spec: Vec<u8>) -> BoxFuture<'_, Result<Running, Failure>>;
    /// See [`JobClass::recovering`].
    fn recovering<'a>(&'a self, known: &'a [TaskId]) -> BoxFuture<'a, ()>;
    /// See [`JobClass::recover`].
    fn recover(&self, task: RawTask) -> BoxFuture<'_, Result<Running, Failure>>;
    /// See [`JobClass::forget`].
    fn forget<'a>(&'a self, task: &'a TaskId) -> BoxFuture<'a, ()>;
    /// See [`JobClass::event`], [`JobClass::started`] and [`JobClass::ended`]. Called with events
    /// whose body is of this class.
    fn event<'a>(&'a self, event: &'a Event) -> BoxFuture<'a, ()>;
}

/// Makes the object that agents handle.
///
/// # Panics
///
/// When [`JobClass::NAME`] is no valid class name.
pub fn erase<C: JobClass>(class: C) -> Arc<dyn Class> {
    let name = C::NAME.parse().expect("a job class has a valid name");
    Arc::new(Erased { name, class })
}

struct Erased<C> {
    name: ClassName,
    class: C,
}

fn read<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, Failure> {
    // A request without payload means `null`, so that classes with unit types need none.
    let bytes = if bytes.is_empty() { b"null" } else { bytes };
    serde_json::from_slice(bytes)
        .map_err(|error| Failure::invalid(format!("malformed {what}: {error}")))
}

impl<C: JobClass> Class for Erased<C> {
    fn name(&self) -> ClassName {
        self.name.clone()
    }

    fn request(
        &self,
        context: RequestContext,
        payload: Vec<u8>,
    ) -> BoxFuture<'_, Result<Vec<u8>, Failure>> {
        Box::pin(async move {
            let reply = self.class.request(context, read("request", &payload)?).await?;
            serde_json::to_vec(&reply).map_err(|error| Failure::internal(&error))
        })
    }

    fn start(&self, task: RawTask, spec: Vec<u8>) -> BoxFuture<'_, Result<Running, Failure>> {
        Box::pin(async move { self.class.start(Task::new(task), read("spec", &spec)?).await })
    }

    fn recovering<'a>(&'a self, known: &'a [TaskId]) -> BoxFuture<'a, ()> {
        Box::pin(self.class.recovering(known))
    }

    fn recover(&self, task: RawTask) -> BoxFuture<'_, Result<Running, Failure>> {
        Box::pin(self.class.recover(Task::new(task)))
    }

    fn forget<'a>(&'a self, task: &'a TaskId) -> BoxFuture<'a, ()> {
        Box::pin(self.class.forget(task))
    }

    fn event<'a>(&'a self, event: &'a Event) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let node = &event.node;
            match &event.body {
                EventBody::Class { task, payload, .. } => {
                    // What another version of the class says may have another form.
                    if let Ok(body) = serde_json::from_str(payload) {
                        self.class.event(node, task.as_ref(), body).await;
                    }
                }
                EventBody::TaskStarted { task, .. } => self.class.started(node, task).await,
                EventBody::TaskEnded { task, end, .. } => self.class.ended(node, task, end).await,
                EventBody::NodeStatus { .. } | EventBody::Gap { .. } => (),
            }
        })
    }
}
