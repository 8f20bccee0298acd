//! One version of a loaded class.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use remuda_model::{Digest, ErrorKind, Failure};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::{
    files,
    host::{Folder, KeyValue},
    limits::Budget,
    machine::Machine,
    program::Program,
    spec::{Grants, Load, Loaded, Names, Quota, State},
};

/// Requests and calls of one version that wait for their turn.
const WAITING: usize = 1024;

/// A program, once it is compiled; or why there is none.
pub(crate) type Compiled = watch::Receiver<Option<Result<Arc<Program>, Failure>>>;

/// One version of a loaded class. It lives as long as something of it runs.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) names: Names,
    pub(crate) digest: Digest,
    pub(crate) limits: Quota,
    pub(crate) grants: Grants,
    pub(crate) budget: Arc<Budget>,
    pub(crate) machine: Arc<Machine>,
    pub(crate) values: Arc<KeyValue>,
    pub(crate) compiled: Compiled,
    folder: Option<PathBuf>,
    waiting: Semaphore,
    instances: Arc<Semaphore>,
    tasks: Arc<Semaphore>,
}

impl Version {
    pub(crate) fn new(
        names: Names,
        load: &Load,
        machine: &Arc<Machine>,
        values: Arc<KeyValue>,
        folder: &Path,
        compiled: Compiled,
    ) -> Self {
        let at_a_time = |n: u32| Arc::new(Semaphore::new(usize::try_from(n).unwrap_or(1)));
        Self {
            names,
            digest: load.digest.clone(),
            limits: load.quota,
            grants: load.grants.clone(),
            budget: Arc::clone(&machine.budget),
            machine: Arc::clone(machine),
            values,
            compiled,
            folder: load.grants.files.then(|| folder.to_owned()),
            waiting: Semaphore::new(WAITING),
            instances: at_a_time(load.quota.instances),
            tasks: at_a_time(load.quota.tasks),
        }
    }

    /// Its program; waits while it is compiled.
    pub(crate) async fn program(&self) -> Result<Arc<Program>, Failure> {
        let mut compiled = self.compiled.clone();
        let known = compiled.wait_for(Option::is_some).await;
        known.ok().and_then(|known| known.clone()).unwrap_or_else(|| {
            Err(Failure::new(ErrorKind::Unavailable, "the component is not compiled"))
        })
    }

    /// A place for a request or a call; waits for it.
    pub(crate) async fn place(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let crowded = || {
            let text = format!("{WAITING} requests wait for `{}`", self.names.exact());
            Failure::new(ErrorKind::NoCapacity, text).code("too_many_requests")
        };
        let _waiting = self.waiting.try_acquire().map_err(|_full| crowded())?;
        let place = Arc::clone(&self.instances).acquire_owned().await;
        place.map_err(|closed| Failure::internal(&closed))
    }

    /// A place for a task, if there is one.
    pub(crate) fn task_place(&self) -> Result<OwnedSemaphorePermit, Failure> {
        Arc::clone(&self.tasks).try_acquire_owned().map_err(|_full| {
            let text = format!("{} tasks of `{}` run", self.limits.tasks, self.names.exact());
            Failure::new(ErrorKind::NoCapacity, text)
                .code("too_many_tasks")
                .hint("wait for one to end, or raise quota.tasks")
        })
    }

    pub(crate) fn running_tasks(&self) -> u32 {
        let free = u32::try_from(self.tasks.available_permits()).unwrap_or(0);
        self.limits.tasks.saturating_sub(free)
    }

    /// Its folder, if it may use one.
    pub(crate) async fn folder(&self) -> Option<Folder> {
        let (path, quota) = (self.folder.clone()?, self.limits.files_bytes);
        let measured = tokio::task::spawn_blocking(move || {
            let made = std::fs::create_dir_all(&path);
            if let Err(error) = made {
                tracing::error!(path = %path.display(), %error, "the folder of a class cannot be made");
                return None;
            }
            let is_full = files::size(&path, quota) > quota;
            Some(Folder { path: path.into(), is_full })
        });
        measured.await.ok().flatten()
    }

    /// How people see it.
    pub(crate) fn show(&self, current: bool, draining: bool) -> Loaded {
        let program = self.compiled.borrow().clone().and_then(Result::ok);
        let state = match &program {
            _ if draining => State::Draining,
            Some(_) => State::Ready,
            None => State::Compiling,
        };
        Loaded {
            name: self.names.name.clone(),
            version: self.names.version.clone(),
            class: self.names.exact(),
            current,
            state,
            digest: self.digest.clone(),
            exports: program.map(|program| program.exports()).unwrap_or_default(),
            tasks: self.running_tasks(),
            quota: self.limits,
            grants: self.grants.clone(),
        }
    }

    /// How it is loaded again.
    pub(crate) fn load(&self, current: bool) -> Load {
        Load {
            name: self.names.name.clone(),
            version: Some(self.names.version.clone()),
            digest: self.digest.clone(),
            quota: self.limits,
            grants: self.grants.clone(),
            current,
        }
    }
}
