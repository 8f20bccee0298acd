//! The data directory of a node: its lock, its name, its boots, its certificate.
//!
//! ```text
//! DIR/lock            held by the running agent
//! DIR/node.json       name, cluster and role of the node
//! DIR/generation      how often it has booted
//! DIR/controls.json   control nodes that the cluster told of
//! DIR/cluster.json    the secrets of a cluster made here (control nodes that bootstrap)
//! DIR/tls/            key.der, certificate.der, ca.der
//! DIR/control/ worker/ holder/    belong to the parts of the same name
//! ```

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use remuda_model::{ClusterId, ErrorKind, Generation, LinkUrl, NodeId, Role};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataDirError {
    /// Another agent runs on it.
    #[error("data directory `{}` is in use by another agent", .0.display())]
    InUse(PathBuf),
    /// It holds something already.
    #[error("`{}` is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// The operating system refuses.
    #[error("cannot use `{}`", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// A file in it cannot be understood.
    #[error("`{}` is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It belongs to another node, cluster or role.
    #[error("data directory `{}` belongs to {kept}, not to {wanted}", dir.display())]
    Foreign {
        /// The directory.
        dir: PathBuf,
        /// Whose it is.
        kept: String,
        /// Who was asked for.
        wanted: String,
    },
}

impl DataDirError {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotEmpty(_) => ErrorKind::Exists,
            Self::InUse(_) | Self::Foreign { .. } => ErrorKind::Conflict,
            Self::Io { .. } => ErrorKind::Invalid,
            Self::Damaged { .. } => ErrorKind::Internal,
        }
    }

    /// What to try.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::InUse(_) => "stop the other agent, or give this one a --data-dir of its own",
            Self::NotEmpty(_) => "choose a directory that is empty or does not exist",
            Self::Foreign { .. } => "use another --data-dir, or the name and role it was made with",
            Self::Io { .. } => {
                "the directory must be writable by this user and have space; choose another with --data-dir"
            }
            Self::Damaged { .. } => {
                "restore the file from a backup, or start with an empty --data-dir and join again"
            }
        }
    }
}

/// A data directory that this process has locked.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    /// Open as long as the directory is in use: the lock ends with it.
    _lock: File,
}

/// Who the node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeFile {
    pub(crate) node: NodeId,
    pub(crate) cluster: ClusterId,
    pub(crate) role: Role,
}

impl DataDir {
    /// Makes the directory when it is missing, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, DataDirError> {
        make_private_dir(path)?;
        let lock_path = path.join("lock");
        let at = |source| DataDirError::Io { path: lock_path.clone(), source };
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options.open(&lock_path).map_err(at)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(DataDirError::InUse(path.to_owned())),
            Err(errno) => Err(at(errno.into())),
        }
    }

    /// As [`open`](Self::open), for a directory that is missing or empty.
    pub(crate) fn open_empty(path: &Path) -> Result<Self, DataDirError> {
        let at = |source| DataDirError::Io { path: path.to_owned(), source };
        match fs::read_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            Err(error) => return Err(at(error)),
            Ok(entries) => {
                for entry in entries {
                    // A file system of its own begins with it.
                    if entry.map_err(at)?.file_name() != "lost+found" {
                        return Err(DataDirError::NotEmpty(path.to_owned()));
                    }
                }
            }
        }
        Self::open(path)
    }

    /// Takes away everything that was put into it, after a failure.
    pub(crate) fn clear(self) {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_name() != "lost+found") {
            let path = entry.path();
            let removed =
                if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            if let Err(error) = removed {
                tracing::warn!(path = %path.display(), %error, "cannot remove");
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A folder for one part of the node.
    pub(crate) fn part(&self, name: &str) -> Result<PathBuf, DataDirError> {
        let path = self.path.join(name);
        make_private_dir(&path)?;
        Ok(path)
    }

    /// Removes a file, if it is there.
    pub(crate) fn forget(&self, file: &Path) -> Result<(), DataDirError> {
        let path = self.path.join(file);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(DataDirError::Io { path, source: error })
            }
            _ => Ok(()),
        }
    }

    /// Who the node was when it last ran.
    pub(crate) fn node(&self) -> Result<Option<NodeFile>, DataDirError> {
        read_json(&self.path.join("node.json"))
    }

    /// Keeps who the node is.
    pub(crate) fn set_node(&self, node: &NodeFile) -> Result<(), DataDirError> {
        write_json(&self.path.join("node.json"), node)
    }

    /// Control nodes that the cluster told of when the node joined or renewed its certificate.
    pub(crate) fn controls(&self) -> Result<Vec<LinkUrl>, DataDirError> {
        Ok(read_json(&self.path.join("controls.json"))?.unwrap_or_default())
    }

    /// Keeps them for later boots: those given on the command line may be gone by then.
    pub(crate) fn set_controls(&self, controls: &[LinkUrl]) -> Result<(), DataDirError> {
        write_json(&self.path.join("controls.json"), &controls)
    }

    /// Counts a boot.
    pub(crate) fn next_generation(&self) -> Result<Generation, DataDirError> {
        let path = self.path.join("generation");
        let last = match read(&path)? {
            None => 0,
            Some(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                text.trim().parse().map_err(|_not_a_number| DataDirError::Damaged {
                    path: path.clone(),
                    reason: "expected a number".to_owned(),
                })?
            }
        };
        let next = Generation(last).next();
        write(&path, next.to_string().as_bytes())?;
        Ok(next)
    }
}

fn make_private_dir(path: &Path) -> Result<(), DataDirError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| DataDirError::Io { path: path.to_owned(), source })
}

/// Reads a file, or says that there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, DataDirError> {
    // Far more than any file of ours, so that a foreign one does not fill the memory.
    const MAX: u64 = 1 << 20;
    let at = |source| DataDirError::Io { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX).read_to_end(&mut bytes).map_err(at)?;
    Ok(Some(bytes))
}

/// Replaces a file whole: a crash leaves the old or the new content, for the owner's eyes only.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), DataDirError> {
    let at = |source| DataDirError::Io { path: path.to_owned(), source };
    let parent = path.parent().expect("files lie in the data directory");
    make_private_dir(parent)?;
    let temporary = path.with_extension("new");
    let mut options = OpenOptions::new();
    let options = options.create(true).truncate(true).write(true).mode(0o600);
    let mut file = options.open(&temporary).map_err(at)?;
    file.write_all(bytes).map_err(at)?;
    file.sync_all().map_err(at)?;
    fs::rename(&temporary, path).map_err(at)?;
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(at)
}

pub(crate) fn read_json<T: serde::de::DeserializeOwned>(
    path: &Path,
) -> Result<Option<T>, DataDirError> {
    let Some(bytes) = read(path)? else { return Ok(None) };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| DataDirError::Damaged { path: path.to_owned(), reason: error.to_string() })
}

pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), DataDirError> {
    let bytes = serde_json::to_vec_pretty(value).expect("our own types are writable");
    write(path, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_agent_at_a_time() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = DataDir::open(dir.path()).expect("free");
        assert!(matches!(DataDir::open(dir.path()), Err(DataDirError::InUse(_))));
        drop(first);
        DataDir::open(dir.path()).expect("free again");
    }

    #[test]
    fn every_boot_has_its_generation() {
        let dir = tempfile::tempdir().expect("a folder");
        for expected in 1..4 {
            let data = DataDir::open(dir.path()).expect("free");
            assert_eq!(data.next_generation().expect("counted"), Generation(expected));
        }
    }

    #[test]
    fn a_damaged_file_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let data = DataDir::open(dir.path()).expect("free");
        for (file, content) in [("generation", "x"), ("node.json", "{\"node\": 1}")] {
            fs::write(dir.path().join(file), content).expect("written");
        }
        let error = data.next_generation().expect_err("damaged");
        assert!(error.to_string().contains("generation` is damaged"), "{error}");
        let error = data.node().expect_err("damaged");
        assert!(error.to_string().contains("node.json` is damaged"), "{error}");
    }

    #[test]
    fn control_nodes_are_remembered() {
        let dir = tempfile::tempdir().expect("a folder");
        let data = DataDir::open(dir.path()).expect("free");
        assert_eq!(data.controls().expect("none yet"), []);
        let controls = ["remuda://a.example".parse().expect("a URL")];
        data.set_controls(&controls).expect("written");
        assert_eq!(data.controls().expect("read"), controls);
    }

    #[test]
    fn files_are_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("part/secret");
        write(&path, b"x").expect("written");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
