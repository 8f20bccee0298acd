//! What the last boot has left: whose records they are, wishes and tasks.

use std::path::{Path, PathBuf};

use remuda_model::{Chain, NodeId};
use remuda_plugin::TwoClasses;
use remuda_wire::{DecodeError, decode};

use crate::{
    status::Wanted,
    store::{Change, Loaded, Store, StoreError},
    tasks::{Stored, WANTED_KEY},
    told,
};

const NODE_KEY: &str = "node";
const FORMAT_KEY: &str = "format";
/// The format of the records; another one is refused.
const FORMAT: &[u8] = b"1";

/// A worker cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be made.
    #[error("cannot make the data directory {dir}")]
    DataDir {
        /// The directory.
        dir: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The records cannot be opened: in use, damaged, or the disk refuses.
    #[error("cannot open the records of this node")]
    Records(#[from] StoreError),
    /// The data directory belongs to another node.
    #[error("the data directory {dir} belongs to node `{found}`, not to `{node}`")]
    Foreign {
        /// The directory.
        dir: PathBuf,
        /// Its node.
        found: String,
        /// This node.
        node: NodeId,
    },
    /// The records were written by a newer version.
    #[error("the records in {dir} have format {found}; this version reads only format 1")]
    Format {
        /// The directory.
        dir: PathBuf,
        /// What was found.
        found: String,
    },
    /// A record is not what this version writes.
    #[error("the {what} of this node cannot be read")]
    Unreadable {
        /// Which records.
        what: &'static str,
        /// Why.
        #[source]
        source: DecodeError,
    },
    /// A directory whose files may be used cannot be opened.
    #[error("cannot open a directory whose files may be used")]
    Files(#[source] std::io::Error),
    /// Two classes have the same name.
    #[error(transparent)]
    TwoClasses(#[from] TwoClasses),
}

impl StartError {
    /// What to try.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::DataDir { .. } => "choose another directory, or make this one writable",
            Self::Records(StoreError::InUse { .. }) => {
                "another agent runs in this data directory: stop it, or use another directory"
            }
            Self::Records(StoreError::Damaged { .. }) | Self::Unreadable { .. } => {
                "move worker.redb away to start without the records of earlier tasks"
            }
            Self::Records(_) => "check the disk and the rights of the data directory",
            Self::Foreign { .. } => "each node needs a data directory of its own",
            Self::Format { .. } => "use the version that wrote them, or a newer one",
            Self::Files(_) => "give directories that exist, without links",
            Self::TwoClasses(_) => "give each job class a name of its own; `node` is taken",
        }
    }
}

/// What the last boot has left.
#[derive(Debug)]
pub(crate) struct LastBoot {
    pub(crate) wanted: Wanted,
    pub(crate) tasks: Vec<Stored>,
}

impl LastBoot {
    /// Reads it, unless the records belong to another node; marks new records as this node's.
    pub(crate) async fn check(
        node: &NodeId,
        dir: &Path,
        loaded: &Loaded,
        store: &Store,
    ) -> Result<Self, StartError> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match loaded.meta(FORMAT_KEY) {
            None | Some(FORMAT) => (),
            Some(found) => {
                return Err(StartError::Format { dir: dir.to_owned(), found: text(found) });
            }
        }
        match loaded.meta(NODE_KEY) {
            Some(found) if found == node.as_str().as_bytes() => (),
            Some(found) => {
                let (dir, found, node) = (dir.to_owned(), text(found), node.clone());
                return Err(StartError::Foreign { dir, found, node });
            }
            None => {
                let marks =
                    vec![Change::meta(FORMAT_KEY, FORMAT), Change::meta(NODE_KEY, node.as_str())];
                store.write(marks).await?;
            }
        }
        let unreadable = |what| move |source| StartError::Unreadable { what, source };
        let wanted = loaded.meta(WANTED_KEY).map(decode).transpose();
        let tasks: Result<_, _> = loaded.tasks.iter().map(|(_, bytes)| decode(bytes)).collect();
        let mut tasks: Vec<Stored> = tasks.map_err(unreadable("tasks"))?;
        let settled = told::settle(loaded, &mut tasks);
        if !settled.is_empty()
            && let Err(error) = store.write(settled).await
        {
            // The marks are still there for the next boot.
            tracing::warn!(error = %Chain(&error), "cannot bring the records of tasks up to date");
        }
        Ok(Self { wanted: wanted.map_err(unreadable("status"))?.unwrap_or_default(), tasks })
    }
}
