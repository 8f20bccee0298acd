//! The second copy of a run, at its standby: written as the coordinator sends it.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use remuda_link::{Link, Stream};
use remuda_model::{ErrorKind, Failure, NodeId, RunId};
use remuda_runtime::blocking;
use remuda_wire::message::copy::{FromStandby, Growing, ToStandby, Whole};
use serde::{Deserialize, Serialize};
use tokio::{sync::Mutex as Turn, time::timeout};

use super::{
    dir::{self, RunDir, Saved, private},
    disk_failure,
};
use crate::Control;

/// How long the first message may take.
const FIRST: Duration = Duration::from_secs(10);
/// The longest message: where a run stands, with its spec.
const MAX_MESSAGE: usize = 64 << 20;
/// The file that says of whom a copy is.
const ORIGIN: &str = "origin.json";

/// The copies that this control node has.
#[derive(Debug)]
pub(super) struct Copies {
    pub(super) dir: PathBuf,
    /// Those that are being written, each with a way to end that.
    open: Mutex<BTreeMap<RunId, Arc<Open>>>,
}

/// A copy that is being written.
#[derive(Debug, Default)]
pub(super) struct Open {
    is_closed: AtomicBool,
    /// Held while something is written.
    turn: Turn<()>,
}

impl Copies {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, open: Mutex::default() }
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<RunId, Arc<Open>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a copy is being written.
    pub(super) fn is_open(&self, run: &RunId) -> bool {
        self.open().contains_key(run)
    }

    /// Waits until nothing is written into a copy any more.
    pub(super) async fn close(&self, run: &RunId) {
        let open = self.open().remove(run);
        if let Some(open) = open {
            open.is_closed.store(true, Ordering::SeqCst);
            drop(open.turn.lock().await);
        }
    }

    /// The directory of a copy, if there is a whole one.
    pub(super) fn found(&self, run: &RunId) -> Option<RunDir> {
        let dir = RunDir::of(&self.dir, run);
        dir.path().join("run.json").exists().then_some(dir)
    }

    /// The runs of which there is a copy, whole or not.
    pub(super) fn all(&self) -> io::Result<Vec<RunId>> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut runs = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name();
            match name.to_str().and_then(|name| name.parse().ok()) {
                Some(run) => runs.push(run),
                None if dir::is_hidden(&entry.path()) => fs::remove_dir_all(entry.path())?,
                None => {}
            }
        }
        Ok(runs)
    }
}

/// Of whom a copy is.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Origin {
    coordinator: NodeId,
    created_ms: u64,
}

impl Control {
    /// Keeps a copy for another control node, as long as it sends.
    pub(crate) async fn serve_copy(&self, link: Link, mut stream: Stream) {
        let coordinator = link.peer().node.clone();
        if self.is_out(link.peer()) {
            return;
        }
        let first = timeout(FIRST, stream.recv::<ToStandby>(MAX_MESSAGE)).await;
        let Ok(Ok(Some(ToStandby::Open { run, created_ms }))) = first else { return };
        let origin = Origin { coordinator, created_ms };
        let copies = &self.shared.runs.copies;
        if let Err(failure) = self.may_keep(&run, &origin) {
            drop(stream.send(&FromStandby::Failed(failure)).await);
            return;
        }
        // Of two streams the newer one writes.
        copies.close(&run).await;
        let open = Arc::new(Open::default());
        copies.open().insert(run.clone(), Arc::clone(&open));
        let dir = RunDir::of(&copies.dir, &run);
        let kept = keep(&mut stream, dir, origin, &open).await;
        {
            let mut all = copies.open();
            if all.get(&run).is_some_and(|present| Arc::ptr_eq(present, &open)) {
                all.remove(&run);
            }
        }
        if let Err(failure) = kept {
            drop(stream.send(&FromStandby::Failed(failure)).await);
        }
    }

    fn may_keep(&self, run: &RunId, origin: &Origin) -> Result<(), Failure> {
        let state = self.shared.replica.state();
        let other = state.run(run).filter(|record| record.coordinator != origin.coordinator);
        if other.is_some() || self.shared.runs.entry(run).is_ok() {
            let text = format!("run `{run}` is carried out by another control node");
            return Err(Failure::new(ErrorKind::Conflict, text).code("run_moved"));
        }
        Ok(())
    }
}

/// Writes what comes, until the stream ends or somebody closes the copy.
async fn keep(
    stream: &mut Stream,
    dir: RunDir,
    origin: Origin,
    open: &Open,
) -> Result<(), Failure> {
    let at = dir.clone();
    let has = in_turn(open, move || begin(&at, &origin)).await?;
    send(stream, &FromStandby::Has(has)).await?;
    loop {
        let Ok(Some(message)) = stream.recv::<ToStandby>(MAX_MESSAGE).await else {
            return Ok(());
        };
        let dir = dir.clone();
        match message {
            ToStandby::Open { .. } => {
                return Err(Failure::invalid("the stream is open already"));
            }
            ToStandby::Append { part, offset, bytes } => {
                in_turn(open, move || dir.append(part, offset, &bytes)).await?;
            }
            ToStandby::Replace { part, bytes } => {
                in_turn(open, move || replace(&dir, part, &bytes)).await?;
            }
            ToStandby::Sync(number) => {
                in_turn(open, move || dir.sync()).await?;
                send(stream, &FromStandby::Kept(number)).await?;
            }
        }
    }
}

async fn send(stream: &mut Stream, message: &FromStandby) -> Result<(), Failure> {
    stream
        .send(message)
        .await
        .map_err(|error| Failure::new(ErrorKind::Unavailable, error.to_string()))
}

/// Writes, unless the copy is closed.
async fn in_turn<T: Send + 'static>(
    open: &Open,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    let _turn = open.turn.lock().await;
    if open.is_closed.load(Ordering::SeqCst) {
        return Err(Failure::new(ErrorKind::Conflict, "the copy is closed").code("run_moved"));
    }
    let done = blocking(work).await.map_err(|error| Failure::internal(&error))?;
    done.map_err(|error| disk_failure(&error))
}

/// Makes room for a copy. Returns what is there of it already.
fn begin(dir: &RunDir, origin: &Origin) -> io::Result<[(u64, u32); 3]> {
    let of = dir.path().join(ORIGIN);
    let is_same = fs::read(&of)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Origin>(&bytes).ok())
        .is_some_and(|present| present == *origin);
    if !is_same {
        if dir.path().exists() {
            dir.remove()?;
        }
        fs::create_dir_all(dir.path())?;
        io::Write::write_all(&mut private(&of)?, &serde_json::to_vec(origin)?)?;
        dir.path().parent().map(fs::File::open).transpose()?.map_or(Ok(()), |at| at.sync_all())?;
    }
    let mut has = [(0, 0); 3];
    for (part, has) in Growing::ALL.into_iter().zip(&mut has) {
        let length = dir.length(part)?;
        *has = (length, dir.check(part, length)?.unwrap_or_default());
    }
    Ok(has)
}

/// Writes a file whole. What nobody needs once the run has ended is removed.
fn replace(dir: &RunDir, part: Whole, bytes: &[u8]) -> io::Result<()> {
    if part == Whole::State {
        let saved: Saved = serde_json::from_slice(bytes)?;
        if dir.path().file_name() != Some(Path::new(saved.id.as_str()).as_os_str()) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is another run"));
        }
        dir.replace(part, bytes)?;
        if saved.state.has_ended() {
            dir.tidy()?;
        }
        return Ok(());
    }
    dir.replace(part, bytes)
}
