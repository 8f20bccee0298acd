//! Takes up the classes that were loaded when the agent ended.

use std::{
    io,
    sync::{Arc, Weak},
};

use remuda_model::Failure;
use tokio::{runtime::Handle, sync::watch};

use super::Shared;
use crate::{
    files,
    loaded::LoadedClass,
    program::Program,
    read,
    spec::{Load, Names},
    version::Version,
};

type Sender = watch::Sender<Option<Result<Arc<Program>, Failure>>>;

/// Puts them into the table, and compiles them in a thread of their own. Blocks.
pub(super) fn take_up(shared: &Arc<Shared>) -> io::Result<()> {
    let mut waiting = Vec::new();
    for load in shared.store.loads() {
        match announce(shared, &load) {
            Ok(compiled) => waiting.push((load, compiled)),
            Err(failure) => {
                tracing::error!(class = load.name, %failure, "a job class is not loaded again");
            }
        }
    }
    if waiting.is_empty() {
        return Ok(());
    }
    let (shared, runtime) = (Arc::downgrade(shared), Handle::current());
    let compile = move || runtime.block_on(compile(&shared, waiting));
    std::thread::Builder::new().name("wasm reload".to_owned()).spawn(compile).map(drop)
}

/// Requests for it wait from here on.
fn announce(shared: &Shared, load: &Load) -> Result<Sender, Failure> {
    let names = Names::new(&load.name, load.version.as_deref(), &load.digest)?;
    load.quota.check()?;
    load.grants.check()?;
    shared.book().check(&names, &load.digest)?;
    let (sender, compiled) = watch::channel(None);
    let (values, folder) = (shared.values(&names.name), shared.store.folder(&names.name));
    let machine = shared.machine()?;
    let version = Version::new(names.clone(), load, &machine, values, &folder, compiled);
    let version = Arc::new(version);
    shared.config.classes.put(LoadedClass::of(names.exact(), &version))?;
    let first = shared.book().current(&names.name).is_none();
    if load.current || first {
        shared.config.classes.put(LoadedClass::of(names.plain(), &version))?;
    }
    shared.book().add(version, load.current);
    Ok(sender)
}

async fn compile(shared: &Weak<Shared>, waiting: Vec<(Load, Sender)>) {
    for (load, compiled) in waiting {
        // The agent may end meanwhile.
        let Some(shared) = shared.upgrade() else { return };
        let made = one(&shared, &load).await;
        if let Err(failure) = &made {
            tracing::error!(class = load.name, %failure, "a job class is not loaded again");
            give_up(&shared, &load);
        }
        compiled.send_replace(Some(made));
    }
}

async fn one(shared: &Arc<Shared>, load: &Load) -> Result<Arc<Program>, Failure> {
    let (path, digest) = (shared.store.component(&load.digest), load.digest.clone());
    let max = shared.config.max_component_bytes;
    let read = move || read::component(&path, &digest, max);
    let (program, _) = shared.machine()?.compile(load.grants.clone(), read).await?;
    Ok(Arc::new(program))
}

/// Removes a class that cannot be loaded again. It stays in the file until something else changes.
fn give_up(shared: &Shared, load: &Load) {
    let _one = shared.changing.lock();
    let mut book = shared.book().clone();
    for version in book.remove(&load.name, load.version.as_deref()) {
        shared.config.classes.remove(&version.names.exact());
        let plain = version.names.plain();
        match book.current(&load.name) {
            Some(current) => drop(shared.config.classes.put(LoadedClass::of(plain, current))),
            None => drop(shared.config.classes.remove(&plain)),
        }
        files::remove(&shared.store.component(&version.digest));
    }
    *shared.book() = book;
}
