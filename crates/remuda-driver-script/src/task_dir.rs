//! The folder of one task.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, Mode, mkfifoat};
use serde::{Serialize, de::DeserializeOwned};

use crate::sweep::remove;

/// The longest file of our own that is read, in bytes.
const MAX_FILE: u64 = 32 * 1024 * 1024;

/// Where a task works, and what is known of it:
///
/// ```text
/// lock         held by the process that runs the script
/// script.json  what it does
/// work/        where it does so; goes with the task
/// events       the FIFO to which the task writes its events
/// record/      the events that are to be reported
/// bell         the FIFO that tells the agent how long that is
/// cursor       how much of it the agent has reported
/// result.json  what a function has returned
/// summary.json a line for people
/// ```
#[derive(Clone, Debug)]
pub(crate) struct TaskDir(PathBuf);

impl TaskDir {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Makes the folder, and all that a task needs in it. Blocks.
    pub(crate) fn create(&self) -> io::Result<()> {
        // Left by a task that nobody knows: no known id is started twice.
        self.remove()?;
        let mut private = DirBuilder::new();
        private.mode(0o700).create(&self.0)?;
        private.create(self.work())?;
        for fifo in [self.events(), self.bell()] {
            mkfifoat(CWD, fifo, Mode::RUSR | Mode::WUSR)?;
        }
        self.lock_file().map(drop)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.0.join("work")
    }

    pub(crate) fn events(&self) -> PathBuf {
        self.0.join("events")
    }

    pub(crate) fn record(&self) -> PathBuf {
        self.0.join("record")
    }

    pub(crate) fn bell(&self) -> PathBuf {
        self.0.join("bell")
    }

    fn lock_file(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600).open(self.0.join("lock"))
    }

    /// Marks the task as running, as long as the file is open. `None` when it is marked already, or
    /// there is no such folder.
    pub(crate) fn lock(&self) -> io::Result<Option<File>> {
        let file = match self.lock_file() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// How far the events were reported.
    pub(crate) async fn cursor(&self) -> u64 {
        let text = tokio::fs::read_to_string(self.0.join("cursor")).await;
        text.ok().and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    pub(crate) async fn set_cursor(&self, cursor: u64) {
        // Without it some events are reported once more after a restart.
        drop(tokio::fs::write(self.0.join("cursor"), cursor.to_string()).await);
    }

    /// Writes a file such that readers see all of it or nothing. Blocks.
    pub(crate) fn write(&self, name: &str, value: &impl Serialize) -> io::Result<()> {
        let temporary = self.0.join(format!("{name}.new"));
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&serde_json::to_vec(value)?)?;
        fs::rename(temporary, self.0.join(name))
    }

    /// Reads such a file. Blocks.
    pub(crate) fn read<T: DeserializeOwned>(&self, name: &str) -> io::Result<T> {
        let mut text = Vec::new();
        File::open(self.0.join(name))?.take(MAX_FILE).read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// Removes where the task has worked. Blocks.
    pub(crate) fn remove_work(&self) -> io::Result<()> {
        remove(&self.work())
    }

    /// Removes all but the result of a function, which is wanted until the agent has written down
    /// how the task ended. Blocks.
    pub(crate) fn remove_but_result(&self) -> io::Result<()> {
        self.remove_work()?;
        remove(&self.record())?;
        for name in ["script.json", "events", "bell", "cursor", "lock"] {
            match fs::remove_file(self.0.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes everything. Blocks.
    pub(crate) fn remove(&self) -> io::Result<()> {
        remove(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_is_private_and_made_anew() {
        let place = tempfile::tempdir().expect("a folder");
        let dir = TaskDir::new(place.path().join("t"));
        dir.create().expect("made");
        fs::write(dir.work().join("old"), "").expect("written");
        dir.create().expect("made again");
        assert!(!dir.work().join("old").exists());
        for folder in [dir.path(), &dir.work()] {
            let mode = fs::metadata(folder).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
        let lock = dir.lock().expect("a lock").expect("free");
        assert!(dir.lock().expect("a lock").is_none());
        drop(lock);
        assert!(dir.lock().expect("a lock").is_some());
    }
}
