//! Loads and unloads classes while the node runs.

use std::{io, path::PathBuf, sync::Arc};

use remuda_model::{Digest, ErrorKind, Failure};
use remuda_plugin::RequestContext;
use tokio::{sync::watch, task::spawn_blocking};

use super::Shared;
use crate::{
    book::Book,
    files,
    host::Caller,
    instance::Instance,
    loaded::LoadedClass,
    read,
    spec::{Load, Loaded, Names, Unload},
    version::{Compiled, Version},
};

/// Loads a component as a class.
pub(super) async fn load(
    shared: &Arc<Shared>,
    context: RequestContext,
    load: Load,
) -> Result<Box<Loaded>, Failure> {
    let names = Names::new(&load.name, load.version.as_deref(), &load.digest)?;
    load.quota.check()?;
    load.grants.check()?;
    for name in [names.plain(), names.exact()] {
        if shared.config.classes.is_fixed(&name) {
            let text = format!("job class `{name}` comes with the node and cannot be replaced");
            return Err(Failure::new(ErrorKind::Conflict, text)
                .code("fixed_class")
                .hint("load it under another name"));
        }
    }
    shared.book().check(&names, &load.digest)?;
    let known = shared.book().compiled(&load.digest);
    let (compiled, bytes) = match known {
        Some(known) => (checked(known, &load).await?, None),
        None => compile(shared, &load).await.map(|(compiled, bytes)| (compiled, Some(bytes)))?,
    };
    let (maker, current) = (Arc::clone(shared), load.current);
    let made = spawn_blocking(move || make(&maker, names, &load, compiled)).await;
    let version = made.map_err(|error| Failure::internal(&error))??;
    let class = version.names.exact();
    let events = context.events.of_class(class.clone());
    Instance::try_out(&version, Caller { node: context.node, class, task: None, events }).await?;
    let shared = Arc::clone(shared);
    // A caller that goes away leaves nothing half done.
    let published = spawn_blocking(move || publish(&shared, &version, current, bytes));
    published.await.map_err(|error| Failure::internal(&error))?
}

/// A component that is loaded already, whose new grants must suffice.
async fn checked(mut compiled: Compiled, load: &Load) -> Result<Compiled, Failure> {
    let known = compiled.wait_for(Option::is_some).await;
    let program = known.ok().and_then(|known| known.clone()).unwrap_or_else(|| {
        Err(Failure::new(ErrorKind::Unavailable, "the component is not compiled"))
    });
    program?.check(&load.grants)?;
    Ok(compiled)
}

async fn compile(shared: &Arc<Shared>, load: &Load) -> Result<(Compiled, Vec<u8>), Failure> {
    let machine = shared.machine()?;
    let (digest, reader) = (load.digest.clone(), Arc::clone(shared));
    let read = move || {
        let path = find(&reader, &digest)?;
        read::component(&path, &digest, reader.config.max_component_bytes)
    };
    let (program, bytes) = machine.compile(load.grants.clone(), read).await?;
    let (_, compiled) = watch::channel(Some(Ok(Arc::new(program))));
    Ok((compiled, bytes))
}

fn find(shared: &Shared, digest: &Digest) -> Result<PathBuf, Failure> {
    let found = (shared.config.lookup)(digest);
    found.ok_or_else(|| {
        let text = format!("this node has no content with the digest {}", read::short(digest));
        Failure::not_found(text)
            .code("unknown_content")
            .hint("bring the component to the node first")
    })
}

fn unwritable(error: &io::Error) -> Failure {
    Failure::failed(format!("what is loaded cannot be written down: {error}")).code("disk")
}

/// Blocks.
fn make(
    shared: &Shared,
    names: Names,
    load: &Load,
    compiled: Compiled,
) -> Result<Arc<Version>, Failure> {
    let (values, folder) = (shared.values(&names.name), shared.store.folder(&names.name));
    let machine = shared.machine()?;
    Ok(Arc::new(Version::new(names, load, &machine, values, &folder, compiled)))
}

/// Writes down that a version is loaded, then lets it be seen. Blocks.
fn publish(
    shared: &Shared,
    version: &Arc<Version>,
    current: bool,
    bytes: Option<Vec<u8>>,
) -> Result<Box<Loaded>, Failure> {
    let (names, digest) = (&version.names, &version.digest);
    let _one = shared.changing.lock();
    let mut book = shared.book().clone();
    book.check(names, digest)?;
    book.add(Arc::clone(version), current);
    if let Some(bytes) = bytes {
        let path = shared.store.component(digest);
        files::write(&path, &bytes).map_err(|error| unwritable(&error))?;
    }
    shared.store.keep(&book.loads()).map_err(|error| unwritable(&error))?;
    let current = book.current(&names.name).is_some_and(|current| Arc::ptr_eq(current, version));
    shared.config.classes.put(LoadedClass::of(names.exact(), version))?;
    show_current(shared, &book, names)?;
    *shared.book() = book;
    tracing::info!(class = %names.exact(), digest = read::short(digest), "a job class is loaded");
    Ok(Box::new(version.show(current, false)))
}

/// Lets the plain name mean what it means now.
fn show_current(shared: &Shared, book: &Book, names: &Names) -> Result<(), Failure> {
    let Some(version) = book.current(&names.name) else {
        shared.config.classes.remove(&names.plain());
        return Ok(());
    };
    shared.config.classes.put(LoadedClass::of(names.plain(), version))
}

/// Unloads versions of a class.
pub(super) async fn unload(shared: &Arc<Shared>, unload: Unload) -> Result<Vec<Loaded>, Failure> {
    let shared = Arc::clone(shared);
    let done = spawn_blocking(move || withdraw(&shared, &unload));
    done.await.map_err(|error| Failure::internal(&error))?
}

/// Writes down that versions are not loaded any more, then lets nothing new begin. Blocks.
fn withdraw(shared: &Shared, unload: &Unload) -> Result<Vec<Loaded>, Failure> {
    let _one = shared.changing.lock();
    let mut book = shared.book().clone();
    let gone = book.remove(&unload.name, unload.version.as_deref());
    let Some(names) = gone.first().map(|version| version.names.clone()) else {
        let version =
            unload.version.as_deref().map_or(String::new(), |version| format!(".v{version}"));
        return Err(Failure::not_found(format!("no class `{}{version}` is loaded", unload.name))
            .code("unknown_class"));
    };
    let runs = gone.iter().any(|version| version.running_tasks() > 0);
    if unload.purge
        && (runs || book.current(&names.name).is_some() || shared.book().is_leaving(&names.name))
    {
        let text = format!("class `{}` is still in use", names.name);
        return Err(Failure::new(ErrorKind::Conflict, text)
            .code("class_in_use")
            .hint("purge with the last version, when its tasks have ended"));
    }
    shared.store.keep(&book.loads()).map_err(|error| unwritable(&error))?;
    for version in &gone {
        shared.config.classes.remove(&version.names.exact());
        tracing::info!(class = %version.names.exact(), "a job class is unloaded");
    }
    show_current(shared, &book, &names)?;
    for version in gone.iter().filter(|version| !book.uses(&version.digest)) {
        files::remove(&shared.store.component(&version.digest));
    }
    *shared.book() = book;
    if unload.purge {
        if let Err(error) = shared.values(&names.name).purge() {
            tracing::warn!(class = names.name, %error, "the values of a class cannot be removed");
        }
        files::remove(&shared.store.folder(&names.name));
    }
    Ok(gone.iter().map(|version| version.show(false, version.running_tasks() > 0)).collect())
}
