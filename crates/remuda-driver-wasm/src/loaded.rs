//! A loaded component as the agent handles it.

use std::{future::ready, sync::Arc};

use futures_util::future::BoxFuture;
use remuda_model::{ClassName, Event, Failure, TaskId};
use remuda_plugin::{Class, RawTask, RequestContext, Running};

use crate::{host::Caller, instance::Instance, task, version::Version};

/// A version of a class under one of its names.
pub(crate) struct LoadedClass {
    pub(crate) name: ClassName,
    pub(crate) version: Arc<Version>,
}

impl LoadedClass {
    /// Makes the object that agents handle.
    pub(crate) fn of(name: ClassName, version: &Arc<Version>) -> Arc<dyn Class> {
        Arc::new(Self { name, version: Arc::clone(version) })
    }
}

fn text(what: &str, bytes: Vec<u8>) -> Result<String, Failure> {
    // A request without payload means `null`, as for every class.
    let bytes = if bytes.is_empty() { b"null".to_vec() } else { bytes };
    String::from_utf8(bytes).map_err(|error| Failure::invalid(format!("malformed {what}: {error}")))
}

impl Class for LoadedClass {
    fn name(&self) -> ClassName {
        self.name.clone()
    }

    fn request(
        &self,
        context: RequestContext,
        payload: Vec<u8>,
    ) -> BoxFuture<'_, Result<Vec<u8>, Failure>> {
        Box::pin(async move {
            let payload = text("request", payload)?;
            let _place = self.version.place().await?;
            let RequestContext { node, class, events, .. } = context;
            let caller = Caller { node, class, task: None, events };
            let mut instance = Instance::new(&self.version, caller).await?;
            instance.request(&payload).await.map(String::into_bytes)
        })
    }

    fn start(&self, task: RawTask, spec: Vec<u8>) -> BoxFuture<'_, Result<Running, Failure>> {
        Box::pin(async move {
            let spec = text("spec", spec)?;
            let place = self.version.task_place()?;
            let caller = Caller {
                node: task.node.clone(),
                class: task.class.clone(),
                task: Some(task.id.clone()),
                events: task.events.clone(),
            };
            let mut instance = Instance::new(&self.version, caller).await?;
            instance.start(&spec).await?;
            let names = &self.version.names;
            let summary = format!("{} {}", names.name, names.version);
            Ok(Running::new(summary, task::live(instance, task, place)))
        })
    }

    fn recovering<'a>(&'a self, _: &'a [TaskId]) -> BoxFuture<'a, ()> {
        Box::pin(ready(()))
    }

    /// What a guest had in memory is gone.
    fn recover(&self, _: RawTask) -> BoxFuture<'_, Result<Running, Failure>> {
        Box::pin(ready(Err(Failure::failed("its agent restarted"))))
    }

    fn forget<'a>(&'a self, _: &'a TaskId) -> BoxFuture<'a, ()> {
        Box::pin(ready(()))
    }

    fn event<'a>(&'a self, _: &'a Event) -> BoxFuture<'a, ()> {
        Box::pin(ready(()))
    }
}
