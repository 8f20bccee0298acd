//! Which files have begun to arrive at their paths, so that none is left half written for ever.
//!
//! Each has a small file of its own, a note, made before anything of the file is written.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use remuda_artifact::{Placing, PlacingError, Roots, digest_of};
use remuda_model::{Digest, Failure};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

/// How long what broke off waits for somebody to go on with it.
const KEPT: Duration = Duration::from_hours(1);
/// How many are remembered: beyond it no file begins to arrive.
const MAX: usize = 10_000;

/// A file that has begun to arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Leftover {
    pub(super) path: String,
    pub(super) digest: Digest,
}

#[derive(Debug)]
pub(crate) struct Leftovers {
    dir: PathBuf,
}

impl Leftovers {
    pub(super) fn open(dir: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        Ok(Self { dir })
    }

    fn note_of(&self, leftover: &Leftover) -> PathBuf {
        let name = digest_of(format!("{}\0{}", leftover.digest, leftover.path).as_bytes());
        self.dir.join(&name.as_str()[..32])
    }

    /// Remembers a file before anything of it is written.
    pub(super) async fn note(&self, leftover: &Leftover) -> Result<(), Failure> {
        let (path, dir) = (self.note_of(leftover), self.dir.clone());
        let json = serde_json::to_vec(leftover).map_err(|error| Failure::internal(&error))?;
        let written = spawn_blocking(move || {
            if fs::read_dir(dir)?.count() >= MAX {
                return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "too many files"));
            }
            fs::write(path, json)
        });
        let written = written.await.map_err(|error| Failure::internal(&error))?;
        written.map_err(|error| PlacingError::from(error).into())
    }

    /// Forgets a file of which nothing is left.
    pub(super) async fn strike(self: &Arc<Self>, leftover: &Leftover) {
        let note = self.note_of(leftover);
        match spawn_blocking(move || fs::remove_file(note)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {}
            other => tracing::debug!(?other, "the note of a file that arrived is left"),
        }
    }

    /// Takes away what broke off over an hour ago and nobody sends just now. Blocks.
    pub(super) fn sweep(&self, roots: &Roots) {
        self.sweep_at(roots, SystemTime::now());
    }

    fn sweep_at(&self, roots: &Roots, now: SystemTime) {
        let notes = match fs::read_dir(&self.dir) {
            Ok(notes) => notes,
            Err(error) => {
                tracing::warn!(%error, "cannot look for files that broke off");
                return;
            }
        };
        for note in notes.filter_map(Result::ok) {
            let path = note.path();
            let Some(noted) = modified(&path) else { continue };
            if is_young(noted, now) {
                continue;
            }
            let read = fs::read(&path).ok();
            let leftover = read.and_then(|json| serde_json::from_slice::<Leftover>(&json).ok());
            if leftover.is_some_and(|leftover| is_wanted(roots, &leftover, now)) {
                continue;
            }
            // Unless somebody has begun again meanwhile.
            if modified(&path) == Some(noted)
                && let Err(error) = fs::remove_file(&path)
            {
                tracing::warn!(%error, "the note of a file that broke off is left");
            }
        }
    }

    /// Takes away what is left of a file that does not come, and forgets it.
    pub(super) async fn give_up(self: &Arc<Self>, roots: &Roots, leftover: &Leftover) {
        let (roots, left) = (roots.clone(), leftover.clone());
        let cleared = spawn_blocking(move || clear(&roots, &left)).await;
        if matches!(cleared, Ok(Ok(()))) {
            self.strike(leftover).await;
        }
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|meta| meta.modified()).ok()
}

fn is_young(at: SystemTime, now: SystemTime) -> bool {
    now.duration_since(at).map_or(true, |age| age < KEPT)
}

/// Whether somebody sends it just now, or did so within the hour; otherwise it is taken away.
fn is_wanted(roots: &Roots, leftover: &Leftover, now: SystemTime) -> bool {
    let Ok(place) = roots.locate(&leftover.path).and_then(|located| located.find_place()) else {
        return false;
    };
    match Placing::last_change(place, &leftover.digest) {
        Err(PlacingError::Busy) => true,
        Ok(Some(at)) if is_young(at, now) => true,
        _ => matches!(clear(roots, leftover), Err(PlacingError::Busy)),
    }
}

fn clear(roots: &Roots, leftover: &Leftover) -> Result<(), PlacingError> {
    let found = roots.locate(&leftover.path).and_then(|located| located.find_place());
    match found {
        Ok(place) => Placing::clear(place, &leftover.digest),
        // Its directory is gone, or out of reach by now.
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_nobody_goes_on_with_is_taken_away_after_an_hour() {
        let home = tempfile::tempdir().expect("a directory");
        let root = home.path().canonicalize().expect("is there").join("root");
        fs::create_dir(&root).expect("makes");
        let roots = Roots::open(std::slice::from_ref(&root), &[]).expect("opens");
        let leftovers = Arc::new(Leftovers::open(home.path().join("notes")).expect("opens"));
        let path = root.join("file").to_str().expect("text").to_owned();
        let leftover = Leftover { path: path.clone(), digest: digest_of(b"whole") };
        leftovers.note(&leftover).await.expect("notes");
        let place = roots.locate(&path).and_then(|at| at.make_place("file")).expect("opens");
        let wanted = remuda_artifact::Wanted {
            digest: leftover.digest.clone(),
            size: 5,
            mode: 0o644,
            overwrite: true,
        };
        let mut placing =
            Placing::begin(place, wanted).await.expect("begins").expect("is not there");
        placing.write("wh".into()).await.expect("is taken");
        placing.flush().await.expect("writes");
        let later = SystemTime::now() + 2 * KEPT;
        leftovers.sweep_at(&roots, later);
        assert_eq!(fs::read_dir(&root).expect("reads").count(), 1, "somebody goes on with it");
        drop(placing);
        leftovers.sweep_at(&roots, SystemTime::now());
        assert_eq!(fs::read_dir(&root).expect("reads").count(), 1, "it is not old");
        leftovers.sweep_at(&roots, later);
        assert_eq!(fs::read_dir(&root).expect("reads").count(), 0);
        assert_eq!(fs::read_dir(home.path().join("notes")).expect("reads").count(), 0);
    }
}
