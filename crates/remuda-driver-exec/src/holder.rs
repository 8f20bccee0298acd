//! The holder: the parent of every task, one small process for each worker.
//!
//! One thread does everything: the kernel ties the life of a task to the *thread* that forked it,
//! and a few hundred kilobytes are enough for all of it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use remuda_model::TaskId;
use rustix::process::{Resource, Rlimit, getpid, getrlimit, setrlimit};
use tokio::{
    net::UnixListener,
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::Instant,
};

use crate::protocol::{FromAgent, with_socket_path};

mod agent;
mod core;
mod growth;
mod input;
mod output;
mod task;

use self::core::Core;

/// How long a new holder waits for an old one that is just ending.
const LOCK_LIMIT: Duration = Duration::from_secs(5);

/// How often the holder looks whether it is still needed.
const TICK: Duration = Duration::from_secs(10);

/// Why there can be no holder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HolderError {
    /// The folder cannot be used.
    #[error("cannot use the folder `{path}`")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// There is one already.
    #[error("another holder uses the folder `{path}`")]
    Locked {
        /// Which.
        path: PathBuf,
    },
    /// The operating system refuses something else.
    #[error("cannot {what}")]
    System {
        /// What.
        what: &'static str,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

impl HolderError {
    fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::System { what, cause }
    }
}

/// Holds the tasks of the worker that uses the folder `dir`, until it is told to end and no task
/// runs, or until no agent has come for ten minutes and no task runs.
///
/// To be called from the main thread of a process of its own: all children of the process are
/// reaped here, and tasks end when the calling thread does.
///
/// # Errors
///
/// When the folder or its socket cannot be used, or another holder uses it.
pub fn run_holder(dir: &Path) -> Result<(), HolderError> {
    let folder = |cause| HolderError::Folder { path: dir.to_owned(), cause };
    DirBuilder::new().recursive(true).mode(0o700).create(dir.join("tasks")).map_err(folder)?;
    let dir = fs::canonicalize(dir).map_err(folder)?;
    // Whatever is sent to the terminal or the group of the agent is not for the tasks. Fails when it
    // leads a group already, because a shell has started it.
    let _ = rustix::process::setsid();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        // For writes that wait for the disk.
        .max_blocking_threads(4)
        .build()
        .map_err(HolderError::system("start the runtime"))?;
    runtime.block_on(async {
        let _lock = lock(&dir).await?;
        hold(&dir).await
    })
}

async fn lock(dir: &Path) -> Result<File, HolderError> {
    let folder = |cause| HolderError::Folder { path: dir.to_owned(), cause };
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(dir.join("holder.lock"))
        .map_err(folder)?;
    let until = Instant::now() + LOCK_LIMIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(cause)) => return Err(folder(cause)),
            Err(TryLockError::WouldBlock) if Instant::now() >= until => {
                return Err(HolderError::Locked { path: dir.to_owned() });
            }
            Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

fn listen(dir: &Path) -> io::Result<UnixListener> {
    with_socket_path(dir, |path| {
        // A holder that was killed leaves its socket behind; the lock says that none lives.
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    })
}

/// Allows as many open files as may be: each task needs four. Returns the former limit, for tasks.
fn raise_open_files() -> Option<Rlimit> {
    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: before.maximum, maximum: before.maximum };
    setrlimit(Resource::Nofile, raised).is_ok().then_some(before)
}

/// Something that happens to the holder.
#[derive(Debug)]
enum Event {
    /// A connection says hello, and gets what is said to it from here.
    Hello(agent::Agent),
    /// A connection says something.
    Said(agent::ConnectionId, FromAgent),
    /// A connection has ended.
    Gone(agent::ConnectionId),
    /// The output of a task is complete, or nobody reads it any more.
    OutputDone(TaskId),
    /// The end of a task is on disk.
    Recorded(TaskId),
}

async fn hold(dir: &Path) -> Result<(), HolderError> {
    let listener = listen(dir).map_err(HolderError::system("listen on the socket"))?;
    rustix::process::set_child_subreaper(Some(getpid()))
        .map_err(|error| HolderError::system("adopt orphans")(error.into()))?;
    let mut child_ended =
        signal(SignalKind::child()).map_err(HolderError::system("watch for signals"))?;
    let mut terminate =
        signal(SignalKind::terminate()).map_err(HolderError::system("watch for signals"))?;
    let (events, mut happened) = mpsc::channel(256);
    let mut core = Core::new(dir.to_owned(), raise_open_files(), events.clone());
    let mut connections = agent::Connections::default();
    let mut tick = tokio::time::interval(TICK);
    tracing::info!(dir = %dir.display(), "the holder is ready");
    loop {
        let deadline = core.next_deadline();
        let alarm = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(event) = happened.recv() => core.handle(event),
            _ = child_ended.recv() => core.reap(),
            () = alarm => core.fire(Instant::now()),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => connections.serve(stream, core.growth(), events.clone()),
                // Out of descriptors, say: those who wait are served later.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
            _ = terminate.recv() => core.stop_all(),
            _ = tick.tick() => core.look_around(Instant::now()),
        }
        if core.may_end() {
            break;
        }
    }
    drop(with_socket_path(dir, |path| fs::remove_file(path)));
    tracing::info!("the holder ends");
    Ok(())
}
