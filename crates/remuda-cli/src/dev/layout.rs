//! Where a local cluster lives, and what it consists of.

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use remuda_model::{ErrorKind, NodeId};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::failed;
use crate::{args::DevArgs, error::Report};

/// The directory of the cluster, and how many nodes it has.
#[derive(Debug)]
pub(super) struct Layout {
    root: PathBuf,
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
        let (root, temporary) = match &args.data_dir {
            Some(dir) => (kept_dir(dir)?, None),
            None => temporary_dir().map(|(root, dir)| (root, Some(dir)))?,
        };
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
        Ok(Self { root, temporary, shape })
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

fn temporary_dir() -> Result<(PathBuf, TempDir), Report> {
    let at = |error| failed("cannot make a temporary directory", &error);
    let dir = tempfile::Builder::new().prefix("remuda-dev-").tempdir().map_err(at)?;
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
    fn a_temporary_cluster_leaves_nothing() {
        let args = DevArgs {
            controls: Some(1),
            workers: Some(1),
            data_dir: None,
            labels: Vec::new(),
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
