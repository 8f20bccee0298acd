//! What a coordinator keeps of a run on disk, in a directory of its own.
//!
//! | file | is |
//! |---|---|
//! | `run.json` | what the run is and where it stands, written whole |
//! | `targets` | its targets, one a line, written once |
//! | `going` | nothing; it is called `cancelled` when the run was and the disk is full |
//! | `secrets.json` | what nobody may read, until the run has ended |
//! | `given` | with `at_most_once`: which contacts were given to workers |
//! | `records` | the records, in the order in which they came |

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use remuda_model::{
    RunId,
    run::{RunSpec, RunState, Secrets, Slow, TroubleKind},
};
use remuda_run::{Summary, Target};
use remuda_wire::message::copy::Growing;
use serde::{Deserialize, Serialize};

use super::records::{RecordsReader, RecordsWriter};

/// How the names of directories begin that are being made or removed. Ids of runs have no such
/// character.
const HIDDEN: &str = "~";

/// The directory of a run.
#[derive(Clone, Debug)]
pub(super) struct RunDir(PathBuf);

/// What a run is and where it stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Saved {
    pub(super) id: RunId,
    /// Tells it from an earlier or later one of the same name, where the state says who keeps it.
    #[serde(default)]
    pub(super) incarnation: Option<u64>,
    pub(super) spec: RunSpec,
    /// The values of the label of `from_each`; one without a name otherwise.
    pub(super) sites: Vec<String>,
    pub(super) targets: u32,
    pub(super) state: RunState,
    pub(super) created_ms: u64,
    pub(super) started_ms: Option<u64>,
    pub(super) ended_ms: Option<u64>,
    /// Why targets without a record are given up, once they are.
    #[serde(default)]
    pub(super) given_up: Option<TroubleKind>,
    /// Once it has ended.
    pub(super) summary: Option<Summary>,
    pub(super) slowest: Vec<Slow>,
}

impl Saved {
    /// It has not ended, whatever was written.
    pub(super) fn resume(&mut self) {
        if self.state.has_ended() {
            self.state = RunState::Running;
            (self.ended_ms, self.summary) = (None, None);
            self.slowest.clear();
        }
    }
}

/// What was found of a run that has not ended.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) targets: Vec<Target>,
    pub(super) secrets: Secrets,
    /// How much of the file of records is whole.
    pub(super) length: u64,
    /// Which contacts were given to workers; only with `at_most_once`.
    pub(super) given: Vec<u32>,
}

impl RunDir {
    /// The directory of this run below that of all runs.
    pub(super) fn of(runs: &Path, id: &RunId) -> Self {
        Self(runs.join(id.as_str()))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Makes it. It appears whole or not at all.
    pub(super) fn create(
        &self,
        saved: &Saved,
        targets: &[Target],
        secrets: &Secrets,
    ) -> io::Result<()> {
        let parent = self.0.parent().ok_or_else(|| io::Error::other("it has a parent"))?;
        fs::create_dir_all(parent)?;
        let hidden = self.hidden()?;
        fs::create_dir(&hidden.0)?;
        let made =
            hidden.fill(saved, targets, secrets).and_then(|()| fs::rename(&hidden.0, &self.0));
        if made.is_err() {
            drop(fs::remove_dir_all(&hidden.0));
        }
        made?;
        let synced = File::open(parent)?.sync_all();
        if synced.is_err() {
            // What was refused must not come back with the next start.
            drop(self.remove());
        }
        synced
    }

    /// A name beside it that no run can have, and nothing under it.
    fn hidden(&self) -> io::Result<Self> {
        let name = self.0.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| io::Error::other("it has a name"))?;
        let hidden = self.0.with_file_name(format!("{HIDDEN}{name}"));
        if hidden.exists() {
            fs::remove_dir_all(&hidden)?;
        }
        Ok(Self(hidden))
    }

    fn fill(&self, saved: &Saved, targets: &[Target], secrets: &Secrets) -> io::Result<()> {
        let mut file = io::BufWriter::new(private(&self.0.join("targets"))?);
        for target in targets {
            writeln!(file, "{}", target.to_line())?;
        }
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        self.note_going()?;
        let mut file = private(&self.0.join("secrets.json"))?;
        file.write_all(&serde_json::to_vec(secrets)?)?;
        file.sync_all()?;
        self.save(saved)
    }

    /// Writes where the run stands.
    pub(super) fn save(&self, saved: &Saved) -> io::Result<()> {
        let temporary = self.0.join("run.tmp");
        let mut file = private(&temporary)?;
        file.write_all(&serde_json::to_vec(saved)?)?;
        file.sync_all()?;
        fs::rename(&temporary, self.0.join("run.json"))?;
        File::open(&self.0)?.sync_all()
    }

    /// Notes that the run was cancelled, which takes no room on the disk.
    pub(super) fn note_cancelled(&self) -> io::Result<()> {
        let cancelled = self.0.join("cancelled");
        match fs::rename(self.0.join("going"), &cancelled) {
            Err(_) if cancelled.exists() => Ok(()),
            renamed => renamed,
        }
    }

    /// Where the run stands.
    pub(super) fn load(&self) -> io::Result<Saved> {
        let mut saved: Saved = serde_json::from_slice(&fs::read(self.0.join("run.json"))?)?;
        if self.0.join("cancelled").exists() {
            saved.given_up.get_or_insert(TroubleKind::Cancelled);
        }
        Ok(saved)
    }

    /// The targets.
    pub(super) fn targets(&self) -> io::Result<Vec<Target>> {
        let text = fs::read_to_string(self.0.join("targets"))?;
        let parse = |line: &str| {
            Target::parse_line(line).map_err(|error| io::Error::other(error.to_string()))
        };
        text.lines().map(parse).collect()
    }

    /// What is there of a run that has not ended; `each` gets its records.
    pub(super) fn find(
        &self,
        mut each: impl FnMut(&remuda_model::run::Record),
    ) -> io::Result<Found> {
        let targets = self.targets()?;
        let secrets = match fs::read(self.0.join("secrets.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Secrets::default(),
            Err(error) => return Err(error),
        };
        let given = self.given()?;
        let end = self.length(Growing::Records)?;
        let mut reader = self.reader();
        while let Some(records) = reader.next(end)? {
            records.iter().for_each(&mut each);
        }
        Ok(Found { targets, secrets, length: reader.length(), given })
    }

    /// What was noted by [`note_given`](Self::note_given).
    fn given(&self) -> io::Result<Vec<u32>> {
        let path = self.0.join("given");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let numbers = bytes.chunks_exact(4);
        // A number that was cut off was not acted upon, and must not shift those that follow.
        let whole = bytes.len() - numbers.remainder().len();
        if whole < bytes.len() {
            OpenOptions::new().write(true).open(&path)?.set_len(whole as u64)?;
        }
        Ok(numbers.map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect())
    }

    /// Reads the records.
    pub(super) fn reader(&self) -> RecordsReader {
        RecordsReader::new(self.0.join("records"))
    }

    /// Adds records, after so many bytes.
    pub(super) fn writer(&self, length: u64) -> io::Result<RecordsWriter> {
        RecordsWriter::open(&self.0.join("records"), length)
    }

    /// Notes, before workers hear of it, that contacts are given to them. Returns how many bytes of
    /// notes there are.
    pub(super) fn note_given(&self, indices: &[u32]) -> io::Result<u64> {
        let mut file =
            OpenOptions::new().create(true).append(true).mode(0o600).open(self.0.join("given"))?;
        let before = file.metadata()?.len();
        let bytes: Vec<u8> = indices.iter().flat_map(|index| index.to_le_bytes()).collect();
        let noted = file.write_all(&bytes).and_then(|()| file.sync_data());
        if let Err(error) = noted {
            // A part of a number would shift those that follow.
            file.set_len(before)?;
            return Err(error);
        }
        Ok(before + bytes.len() as u64)
    }

    /// Removes what nobody needs once the run has ended.
    pub(super) fn tidy(&self) -> io::Result<()> {
        for file in ["secrets.json", "given"] {
            match fs::remove_file(self.0.join(file)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether a run that has ended was confirmed to have: then it has no secrets any more.
    pub(super) fn is_tidy(&self) -> bool {
        !self.0.join("secrets.json").exists()
    }

    /// Makes what [`note_cancelled`](Self::note_cancelled) needs.
    pub(super) fn note_going(&self) -> io::Result<()> {
        private(&self.0.join("going")).map(drop)
    }

    /// Makes it another directory.
    pub(super) fn rename(&self, to: &Self) -> io::Result<()> {
        let parent = to.0.parent().ok_or_else(|| io::Error::other("it has a parent"))?;
        fs::create_dir_all(parent)?;
        fs::rename(&self.0, &to.0)?;
        File::open(parent)?.sync_all()
    }

    /// How many bytes it takes.
    pub(super) fn size(&self) -> u64 {
        let Ok(entries) = fs::read_dir(&self.0) else { return 0 };
        let sizes = entries.flatten().filter_map(|entry| Some(entry.metadata().ok()?.len()));
        sizes.sum()
    }

    /// Removes it. It disappears whole.
    pub(super) fn remove(&self) -> io::Result<()> {
        let hidden = self.hidden()?;
        fs::rename(&self.0, &hidden.0)?;
        fs::remove_dir_all(&hidden.0)
    }
}

/// The runs below a directory, and how many could not be read. Leftovers are removed.
pub(super) fn all(runs: &Path) -> io::Result<(Vec<(RunDir, Saved)>, usize)> {
    let entries = match fs::read_dir(runs) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        Err(error) => return Err(error),
    };
    let (mut found, mut unreadable) = (Vec::new(), 0);
    for entry in entries {
        let path = entry?.path();
        if is_hidden(&path) {
            remove_leftover(&path);
            continue;
        }
        let dir = RunDir(path);
        match dir.load() {
            Ok(saved) => found.push((dir, saved)),
            Err(error) => {
                tracing::warn!(dir = %dir.0.display(), %error, "a run cannot be read");
                unreadable += 1;
            }
        }
    }
    Ok((found, unreadable))
}

/// Whether something is half made or half removed.
pub(super) fn is_hidden(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(HIDDEN))
}

/// Removes what is half made or half removed.
pub(super) fn remove_leftover(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path) {
        tracing::warn!(path = %path.display(), %error, "a leftover stays");
    }
}

/// A new file that only the agent may read.
pub(super) fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(id: &str) -> Saved {
        let spec = serde_json::json!({ "command": { "ping": {} } });
        Saved {
            id: id.parse().expect("an id"),
            incarnation: None,
            spec: serde_json::from_value(spec).expect("a spec"),
            sites: vec![String::new()],
            targets: 1,
            state: RunState::Running,
            created_ms: 1,
            started_ms: None,
            ended_ms: None,
            given_up: None,
            summary: None,
            slowest: Vec::new(),
        }
    }

    #[test]
    fn no_name_of_a_run_is_taken_for_a_leftover() {
        let home = tempfile::tempdir().expect("a directory");
        for id in [".new-a", "..a", "-a", "_a"] {
            let saved = saved(id);
            let dir = RunDir::of(home.path(), &saved.id);
            dir.create(&saved, &[], &Secrets::default()).expect("it is made");
        }
        fs::create_dir(home.path().join("~half")).expect("it is made");
        let (found, unreadable) = all(home.path()).expect("they are read");
        assert_eq!((found.len(), unreadable), (4, 0));
        assert!(!home.path().join("~half").exists());
        for (dir, _) in found {
            dir.remove().expect("it is removed");
        }
        assert_eq!(fs::read_dir(home.path()).expect("it is there").count(), 0);
    }

    #[test]
    fn a_run_is_cancelled_without_room_on_the_disk() {
        let home = tempfile::tempdir().expect("a directory");
        let saved = saved("a");
        let dir = RunDir::of(home.path(), &saved.id);
        dir.create(&saved, &[], &Secrets::default()).expect("it is made");
        assert_eq!(dir.load().expect("it is read").given_up, None);
        for _ in 0..2 {
            dir.note_cancelled().expect("it is noted");
            assert_eq!(dir.load().expect("it is read").given_up, Some(TroubleKind::Cancelled));
        }
    }

    #[test]
    fn what_an_earlier_version_wrote_is_read() {
        let mut json = serde_json::to_value(saved("a")).expect("it is written");
        for added in ["given_up", "incarnation"] {
            json.as_object_mut().expect("an object").remove(added);
        }
        let read: Saved = serde_json::from_value(json).expect("it is read");
        assert_eq!((read.given_up, read.incarnation), (None, None));
    }
}
