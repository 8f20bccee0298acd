//! The second copy of a run, at its standby: written as the coordinator sends it.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use remuda_link::{Link, Stream};
use remuda_model::{ErrorKind, Failure, NodeId, RunId};
use remuda_runtime::blocking;
use remuda_wire::message::copy::{FromStandby, Growing, ToStandby, Whole};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::Mutex as Turns,
    time::{sleep, timeout},
};

use super::{
    dir::{self, RunDir, Saved, private},
    disk_failure,
};
use crate::Control;

/// How long a message may take to arrive, the first one too, and to be sent.
const FIRST: Duration = Duration::from_secs(10);
/// How long the state may take to be complete.
const AGREE: Duration = Duration::from_secs(3);
/// How often the coordinator hears that something is under way.
const BUSY: Duration = Duration::from_secs(1);
/// The longest message: where a run stands, with its spec.
const MAX_MESSAGE: usize = 64 << 20;
/// The file that says of whom a copy is.
const ORIGIN: &str = "origin.json";

/// The copies that this control node has.
#[derive(Debug)]
pub(super) struct Copies {
    pub(super) dir: PathBuf,
    /// What goes on at each.
    places: Mutex<BTreeMap<RunId, Arc<Place>>>,
}

/// What goes on at a copy.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// Held by whoever writes, removes or moves something.
    pub(super) turn: Arc<Turns<()>>,
    /// The number of the newest stream; older ones write no more.
    newest: AtomicU64,
    /// How many streams there are.
    pub(super) streams: AtomicUsize,
}

impl Copies {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, places: Mutex::default() }
    }

    /// What goes on at a copy.
    pub(super) fn place(&self, run: &RunId) -> Arc<Place> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.retain(|_, place| Arc::strong_count(place) > 1);
        Arc::clone(places.entry(run.clone()).or_default())
    }

    /// The directory of a copy, if there is a whole one.
    pub(super) fn found(&self, run: &RunId) -> Option<RunDir> {
        let dir = RunDir::of(&self.dir, run);
        dir.path().join("run.json").exists().then_some(dir)
    }

    /// The runs of which there is a copy, whole or not. Leftovers are removed.
    pub(super) fn all(dir: &Path) -> io::Result<Vec<RunId>> {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut runs = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name();
            match name.to_str().and_then(|name| name.parse().ok()) {
                Some(run) => runs.push(run),
                None if dir::is_hidden(&entry.path()) => dir::remove_leftover(&entry.path()),
                None => {}
            }
        }
        Ok(runs)
    }
}

/// Of whom a copy is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Origin {
    coordinator: NodeId,
    incarnation: u64,
}

/// Counts a stream, as long as it is there.
struct Counted<'a>(&'a Place);

impl<'a> Counted<'a> {
    fn new(place: &'a Place) -> Self {
        place.streams.fetch_add(1, Ordering::SeqCst);
        Self(place)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Control {
    /// Keeps a copy for another control node, as long as it sends.
    pub(crate) async fn serve_copy(&self, link: Link, mut stream: Stream) {
        let coordinator = link.peer().node.clone();
        if self.is_out(link.peer()) {
            return;
        }
        let first = timeout(FIRST, stream.recv::<ToStandby>(MAX_MESSAGE)).await;
        let Ok(Ok(Some(ToStandby::Open { run, incarnation }))) = first else { return };
        let origin = Origin { coordinator, incarnation };
        if self.may_write(&run, &origin).is_err() {
            // This node may only not have heard yet who keeps the run.
            drop(self.catch_up(AGREE).await);
        }
        let place = self.shared.runs.copies.place(&run);
        let _counted = Counted::new(&place);
        let number = place.newest.fetch_add(1, Ordering::SeqCst) + 1;
        let writer = Writer { control: self, run, origin, place: &place, number };
        if let Err(failure) = writer.keep(&mut stream).await
            && timeout(FIRST, stream.send(&FromStandby::Failed(failure))).await.is_ok()
        {
            drop(stream.finish());
        }
    }

    /// Whether a copy of this run may be written by this control node. One that is held to be lost
    /// may not, so that nothing is promised that a takeover would lack.
    fn may_write(&self, run: &RunId, origin: &Origin) -> Result<(), Failure> {
        let state = self.shared.replica.state();
        let is_its = state.run(run).is_some_and(|record| {
            record.coordinator == origin.coordinator && record.incarnation == origin.incarnation
        });
        let is_active = state.node(&origin.coordinator).is_some_and(|node| node.active);
        if is_its && is_active && self.shared.runs.entry(run).is_err() {
            return Ok(());
        }
        let text = format!("run `{run}` is kept by others, as far as this control node knows");
        Err(Failure::new(ErrorKind::Conflict, text).code("run_moved"))
    }
}

/// Writes a copy.
struct Writer<'a> {
    control: &'a Control,
    run: RunId,
    origin: Origin,
    place: &'a Place,
    number: u64,
}

impl Writer<'_> {
    /// Writes what comes, until the stream ends or somebody else writes.
    async fn keep(&self, stream: &mut Stream) -> Result<(), Failure> {
        let dir = RunDir::of(&self.control.shared.runs.copies.dir, &self.run);
        let (at, origin) = (dir.clone(), self.origin.clone());
        let has = self.in_turn(stream, move || begin(&at, &origin)).await?;
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
                    self.in_turn(stream, move || dir.append(part, offset, &bytes)).await?;
                }
                ToStandby::Replace { part, bytes } => {
                    self.in_turn(stream, move || replace(&dir, part, &bytes)).await?;
                }
                ToStandby::Sync(number) => {
                    self.in_turn(stream, move || dir.sync()).await?;
                    send(stream, &FromStandby::Kept(number)).await?;
                }
            }
        }
    }

    /// Does something to the files, if this stream may, and says that it is at work.
    async fn in_turn<T: Send + 'static>(
        &self,
        stream: &mut Stream,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let done = async {
            let turn = Arc::clone(&self.place.turn).lock_owned().await;
            self.control.may_write(&self.run, &self.origin)?;
            if self.place.newest.load(Ordering::SeqCst) != self.number {
                let text = "a newer stream writes this copy";
                return Err(Failure::new(ErrorKind::Conflict, text).code("run_moved"));
            }
            // The turn lasts as long as the work, also when nobody waits for it any more.
            let done = blocking(move || {
                let done = work();
                drop(turn);
                done
            });
            let done = done.await.map_err(|error| Failure::internal(&error))?;
            done.map_err(|error| disk_failure(&error))
        };
        let mut done = Box::pin(done);
        loop {
            tokio::select! {
                done = &mut done => return done,
                () = sleep(BUSY) => send(stream, &FromStandby::Busy).await?,
            }
        }
    }
}

async fn send(stream: &mut Stream, message: &FromStandby) -> Result<(), Failure> {
    let unavailable = |text: String| Failure::new(ErrorKind::Unavailable, text);
    timeout(FIRST, stream.send(message))
        .await
        .map_err(|elapsed| unavailable(elapsed.to_string()))?
        .map_err(|error| unavailable(error.to_string()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_another_run_of_the_same_name_is_begun_anew() {
        let home = tempfile::tempdir().expect("a directory");
        let dir = RunDir::of(home.path(), &"r".parse().expect("an id"));
        let origin =
            |incarnation| Origin { coordinator: "c1".parse().expect("a name"), incarnation };
        assert_eq!(begin(&dir, &origin(1)).expect("room"), [(0, 0); 3]);
        dir.append(Growing::Given, 0, b"abcd").expect("written");
        let has = begin(&dir, &origin(1)).expect("room");
        assert_eq!(has[1], (4, crc32c::crc32c(b"abcd")));
        assert_eq!(begin(&dir, &origin(2)).expect("room"), [(0, 0); 3]);
    }

    #[test]
    fn a_stream_that_goes_away_is_counted_no_more() {
        let copies = Copies::new(PathBuf::new());
        let run: RunId = "r".parse().expect("an id");
        let place = copies.place(&run);
        let counted = Counted::new(&place);
        assert_eq!(copies.place(&run).streams.load(Ordering::SeqCst), 1);
        drop(counted);
        assert_eq!(copies.place(&run).streams.load(Ordering::SeqCst), 0);
    }
}
