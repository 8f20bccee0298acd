//! What a coordinator keeps of a run on disk, in a directory of its own.
//!
//! | file | is |
//! |---|---|
//! | `run.json` | what the run is and where it stands, written whole |
//! | `targets` | its targets, one a line, written once |
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
    run::{RunSpec, RunState, Secrets, Slow},
};
use remuda_run::{Summary, Target};
use serde::{Deserialize, Serialize};

use super::records::{RecordsReader, RecordsWriter};

/// The directory of a run.
#[derive(Clone, Debug)]
pub(super) struct RunDir(PathBuf);

/// What a run is and where it stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Saved {
    pub(super) id: RunId,
    pub(super) spec: RunSpec,
    /// The values of the label of `from_each`; one without a name otherwise.
    pub(super) sites: Vec<String>,
    pub(super) targets: u32,
    pub(super) state: RunState,
    pub(super) created_ms: u64,
    pub(super) started_ms: Option<u64>,
    pub(super) ended_ms: Option<u64>,
    /// Once it has ended.
    pub(super) summary: Option<Summary>,
    pub(super) slowest: Vec<Slow>,
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

    /// Makes it. It appears whole or not at all.
    pub(super) fn create(
        &self,
        saved: &Saved,
        targets: &[Target],
        secrets: &Secrets,
    ) -> io::Result<()> {
        let parent = self.0.parent().ok_or_else(|| io::Error::other("it has a parent"))?;
        fs::create_dir_all(parent)?;
        let hidden = Self(parent.join(format!(".new-{}", saved.id)));
        if hidden.0.exists() {
            fs::remove_dir_all(&hidden.0)?;
        }
        fs::create_dir(&hidden.0)?;
        let made =
            hidden.fill(saved, targets, secrets).and_then(|()| fs::rename(&hidden.0, &self.0));
        if made.is_err() {
            drop(fs::remove_dir_all(&hidden.0));
        }
        made?;
        File::open(parent)?.sync_all()
    }

    fn fill(&self, saved: &Saved, targets: &[Target], secrets: &Secrets) -> io::Result<()> {
        let mut file = io::BufWriter::new(private(&self.0.join("targets"))?);
        for target in targets {
            writeln!(file, "{}", target.to_line())?;
        }
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
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

    /// Where the run stands.
    pub(super) fn load(&self) -> io::Result<Saved> {
        Ok(serde_json::from_slice(&fs::read(self.0.join("run.json"))?)?)
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
        let end = self.records_end()?;
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

    /// How long the file of records is.
    pub(super) fn records_end(&self) -> io::Result<u64> {
        match fs::metadata(self.0.join("records")) {
            Ok(meta) => Ok(meta.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Notes, before workers hear of it, that contacts are given to them.
    pub(super) fn note_given(&self, indices: &[u32]) -> io::Result<()> {
        let mut file =
            OpenOptions::new().create(true).append(true).mode(0o600).open(self.0.join("given"))?;
        let bytes: Vec<u8> = indices.iter().flat_map(|index| index.to_le_bytes()).collect();
        file.write_all(&bytes)?;
        file.sync_data()
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

    /// How many bytes it takes.
    pub(super) fn size(&self) -> u64 {
        let Ok(entries) = fs::read_dir(&self.0) else { return 0 };
        let sizes = entries.flatten().filter_map(|entry| Some(entry.metadata().ok()?.len()));
        sizes.sum()
    }

    /// Removes it.
    pub(super) fn remove(&self) -> io::Result<()> {
        fs::remove_dir_all(&self.0)
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
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(".new-") {
            fs::remove_dir_all(&path)?;
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

/// A new file that only the agent may read.
fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)
}
