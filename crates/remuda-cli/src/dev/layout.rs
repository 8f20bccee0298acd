//! Where a local cluster lives, and what it consists of.

use std::{
    fs::{self, File, TryLockError},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use remuda_model::{ErrorKind, NodeId};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::failed;
use crate::{args::DevArgs, error::Report};

/// How temporary directories are called.
const PREFIX: &str = "remuda-dev-";
/// The file whose lock says that a directory is in use.
const LOCK: &str = "dev.lock";

/// The directory of the cluster, and how many nodes it has.
#[derive(Debug)]
pub(super) struct Layout {
    root: PathBuf,
    /// Locked as long as the directory is in use.
    _lock: File,
    /// Present unless the user wants to keep the cluster; removed with everything in it.
    temporary: Option<TempDir>,
    shape: Shape,
}

/// How many nodes; kept in the directory for the next time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    controls: u16,
    workers: u16,
}

impl Layout {
    pub(super) fn open(args: &DevArgs) -> Result<Self, Report> {
        let (root, temporary) = if let Some(dir) = &args.data_dir {
            (kept_dir(dir)?, None)
        } else {
            sweep(&std::env::temp_dir());
            temporary_dir().map(|(root, dir)| (root, Some(dir)))?
        };
        let lock = lock(&root)?;
        let path = root.join("dev.json");
        let kept = match fs::read(&path) {
            Ok(bytes) => Some(serde_json::from_slice(&bytes).map_err(|error| {
                Report::new(ErrorKind::Invalid, format!("`{}` is damaged", path.display()))
                    .caused_by(&error)
            })?),
            Err(_absent) => None,
        };
        let shape = shape(args.controls, args.workers, kept)?;
        let text = serde_json::to_vec(&shape).expect("numbers are writable");
        fs::write(&path, text)
            .map_err(|error| failed(format!("cannot write `{}`", path.display()), &error))?;
        Ok(Self { root, _lock: lock, temporary, shape })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the cluster is still there afterwards.
    pub(super) fn is_kept(&self) -> bool {
        self.temporary.is_none()
    }

    /// The data directory of a node.
    pub(super) fn dir(&self, node: &NodeId) -> PathBuf {
        self.root.join(node.as_str())
    }

    /// The names of all nodes, control nodes first, and whether each is one.
    pub(super) fn nodes(&self) -> Vec<(NodeId, bool)> {
        let name = |number: u16| {
            format!("dev{number}").parse::<NodeId>().expect("a word and a number are a name")
        };
        let Shape { controls, workers } = self.shape;
        (1..=controls + workers).map(|number| (name(number), number <= controls)).collect()
    }

    /// Removes what shall not be kept.
    pub(super) fn close(self) -> Result<(), Report> {
        let Some(temporary) = self.temporary else { return Ok(()) };
        let path = temporary.path().to_owned();
        temporary
            .close()
            .map_err(|error| failed(format!("cannot remove `{}`", path.display()), &error))
    }
}

fn kept_dir(dir: &Path) -> Result<PathBuf, Report> {
    let at = |error| failed(format!("cannot use `{}`", dir.display()), &error);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(at)?;
    dir.canonicalize().map_err(at)
}

fn lock(root: &Path) -> Result<File, Report> {
    let path = root.join(LOCK);
    let at = |error| failed(format!("cannot use `{}`", path.display()), &error);
    let file = File::options().create(true).append(true).open(&path).map_err(at)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::Error(error)) => Err(at(error)),
        Err(TryLockError::WouldBlock) => {
            let message = format!("another `remuda dev` uses `{}`", root.display());
            Err(Report::new(ErrorKind::Conflict, message)
                .hint("stop it, or use another --data-dir"))
        }
    }
}

/// Removes what a killed `remuda dev` of this user has left in `dir`.
fn sweep(dir: &Path) {
    let own = nix::unistd::geteuid().as_raw();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry.metadata().is_ok_and(|data| data.is_dir() && data.uid() == own);
        // One without the file is just being made.
        let Ok(file) = File::open(entry.path().join(LOCK)) else { continue };
        if is_ours && file.try_lock().is_ok() {
            // What cannot be removed is left to the system.
            let _stays = fs::remove_dir_all(entry.path()).is_err();
        }
    }
}

fn temporary_dir() -> Result<(PathBuf, TempDir), Report> {
    let at = |error| failed("cannot make a temporary directory", &error);
    let dir = tempfile::Builder::new().prefix(PREFIX).tempdir().map_err(at)?;
    Ok((dir.path().canonicalize().map_err(at)?, dir))
}

/// What is asked for, else what is kept, else three and two.
fn shape(
    controls: Option<u16>,
    workers: Option<u16>,
    kept: Option<Shape>,
) -> Result<Shape, Report> {
    let Some(kept) = kept else {
        return Ok(Shape { controls: controls.unwrap_or(3), workers: workers.unwrap_or(2) });
    };
    if controls.is_some_and(|controls| controls != kept.controls) {
        let n = kept.controls;
        // Numbers follow the control nodes, so workers would change their names too.
        return Err(Report::new(
            ErrorKind::Conflict,
            format!("the cluster in this directory has {n} control nodes"),
        )
        .hint(format!("leave --controls out or say {n}, or use another --data-dir")));
    }
    Ok(Shape { workers: workers.unwrap_or(kept.workers), ..kept })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_decides_unless_asked_otherwise() {
        let some = |controls, workers| Shape { controls, workers };
        let kept = Some(some(1, 4));
        for (controls, workers, kept, expected) in [
            (None, None, None, some(3, 2)),
            (Some(1), Some(0), None, some(1, 0)),
            (None, None, kept, some(1, 4)),
            (Some(1), Some(7), kept, some(1, 7)),
        ] {
            assert_eq!(shape(controls, workers, kept).unwrap(), expected);
        }
        assert!(shape(Some(3), None, kept).is_err());
    }

    #[test]
    fn only_what_nobody_uses_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            fs::create_dir(dir.path().join(name)).unwrap();
            dir.path().join(name)
        };
        let (dead, live) = (make("remuda-dev-a"), make("remuda-dev-b"));
        let (fresh, other) = (make("remuda-dev-c"), make("else"));
        drop(lock(&dead).unwrap());
        drop(lock(&other).unwrap());
        let held = lock(&live).unwrap();
        assert!(lock(&live).is_err());
        sweep(dir.path());
        assert_eq!([dead, live, fresh, other].map(|path| path.exists()), [false, true, true, true]);
        drop(held);
    }

    #[test]
    fn a_temporary_cluster_leaves_nothing() {
        let args = DevArgs {
            controls: Some(1),
            workers: Some(1),
            data_dir: None,
            labels: Vec::new(),
            fanout_allow_loopback: false,
            format: crate::args::Format::default(),
            command: Vec::new(),
        };
        let layout = Layout::open(&args).unwrap();
        let root = layout.root().to_owned();
        let names: Vec<_> = layout.nodes().iter().map(|(node, _)| node.to_string()).collect();
        assert_eq!(names, ["dev1", "dev2"]);
        assert!(root.join("dev.json").exists());
        layout.close().unwrap();
        assert!(!root.exists());
    }
}
