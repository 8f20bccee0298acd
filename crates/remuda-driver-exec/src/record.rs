//! What the holder writes down about a task, for the agent to find.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use remuda_model::{ExitStatus, TaskEnd, TaskId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The folder of a task. Task ids are no paths by construction.
pub(crate) fn task_dir(dir: &Path, task: &TaskId) -> PathBuf {
    dir.join("tasks").join(task.as_str())
}

/// What was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spawned {
    /// The process, which leads a session and a group of the same number.
    pub(crate) pid: i32,
    /// When it started, in clock ticks since the boot.
    pub(crate) started: u64,
    /// The boot of the machine.
    pub(crate) boot_id: String,
    /// A line for people.
    pub(crate) summary: String,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exit {
    /// What the process returned.
    pub(crate) status: ExitStatus,
    /// Whether somebody had asked it to stop.
    pub(crate) stopped: bool,
    /// Whether its own time limit ended it.
    pub(crate) timed_out: bool,
    /// How long its output record is.
    pub(crate) output_len: u64,
}

impl From<Exit> for TaskEnd {
    fn from(exit: Exit) -> Self {
        Self::Exited { status: exit.status, stopped: exit.stopped, timed_out: exit.timed_out }
    }
}

impl Spawned {
    const FILE: &'static str = "spawned";

    /// Writes it; it need not survive the machine, since the process would not either.
    pub(crate) fn write(&self, task_dir: &Path) -> io::Result<()> {
        write(task_dir, Self::FILE, self, false)
    }

    /// Reads it; `None` when there is none, or none that makes sense.
    pub(crate) fn read(task_dir: &Path) -> Option<Self> {
        read(task_dir, Self::FILE)
    }
}

impl Exit {
    const FILE: &'static str = "exit";

    /// Writes it and waits for the disk.
    pub(crate) fn write(&self, task_dir: &Path) -> io::Result<()> {
        write(task_dir, Self::FILE, self, true)
    }

    /// Reads it; `None` when there is none, or none that makes sense.
    pub(crate) fn read(task_dir: &Path) -> Option<Self> {
        read(task_dir, Self::FILE)
    }
}

/// Writes a file such that readers see all of it or nothing.
fn write(dir: &Path, name: &str, record: &impl Serialize, sync: bool) -> io::Result<()> {
    let temporary = dir.join(format!("{name}.new"));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&serde_json::to_vec(record)?)?;
    if sync {
        file.sync_all()?;
    }
    fs::rename(temporary, dir.join(name))?;
    if sync {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

fn read<T: DeserializeOwned>(dir: &Path, name: &str) -> Option<T> {
    serde_json::from_slice(&fs::read(dir.join(name)).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_back_and_torn_ones_are_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Exit::read(dir.path()), None);
        let exit =
            Exit { status: ExitStatus::Signal(9), stopped: true, timed_out: false, output_len: 17 };
        exit.write(dir.path()).unwrap();
        assert_eq!(Exit::read(dir.path()), Some(exit));
        for len in 0..fs::read(dir.path().join("exit")).unwrap().len() as u64 {
            OpenOptions::new()
                .write(true)
                .open(dir.path().join("exit"))
                .unwrap()
                .set_len(len)
                .unwrap();
            assert_eq!(Exit::read(dir.path()), None);
            exit.write(dir.path()).unwrap();
        }
    }
}
