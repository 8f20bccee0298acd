//! Whose directory it is: the node, the cluster, and whether the node has ever voted.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use remuda_model::{ClusterId, NodeId};
use serde::{Deserialize, Serialize};

use crate::{
    OpenError,
    disk::Files,
    framed::{self, Form},
};

const FORM: Form = Form::first(*b"RMDMETA\0");

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    node: NodeId,
    /// Known once the state says it.
    cluster: Option<ClusterId>,
    /// Whether the log has held a vote. A node that lost its log must not vote again.
    voted: bool,
}

/// The file `meta` of a replica's directory.
#[derive(Debug)]
pub(crate) struct MetaFile {
    files: Files,
    path: PathBuf,
    content: Mutex<Content>,
}

impl MetaFile {
    /// Reads the file, or makes it in a directory that holds no log yet.
    pub(crate) fn open(dir: &Path, node: &NodeId, log: &Path) -> Result<Self, OpenError> {
        Self::open_in(Files::System, dir, node, log.exists())
    }

    /// As [`open`](Self::open), wherever the file lies.
    pub(crate) fn open_in(
        files: Files,
        dir: &Path,
        node: &NodeId,
        has_log: bool,
    ) -> Result<Self, OpenError> {
        let path = dir.join("meta");
        let content = match framed::read_in(&files, &path, FORM)? {
            Some(body) => remuda_state::decode::<Content>(&body).map_err(|error| {
                let what = remuda_model::Chain(&error).to_string();
                OpenError::Corrupt { file: path.clone(), what }
            })?,
            None if has_log => {
                let what = "it is missing, and there is a log".to_owned();
                return Err(OpenError::Corrupt { file: path, what });
            }
            None => {
                let content = Content { node: node.clone(), cluster: None, voted: false };
                framed::write_in(&files, &path, FORM, &remuda_state::encode(&content))
                    .map_err(|source| OpenError::Io { path: path.clone(), source })?;
                content
            }
        };
        if content.node != *node {
            let (found, expected) = (content.node, node.clone());
            return Err(OpenError::WrongNode { dir: dir.into(), found, expected });
        }
        Ok(Self { files, path, content: Mutex::new(content) })
    }

    /// Whether the node has ever voted.
    pub(crate) fn voted(&self) -> bool {
        self.content.lock().unwrap_or_else(PoisonError::into_inner).voted
    }

    /// The cluster of the directory, once known.
    pub(crate) fn cluster(&self) -> Option<ClusterId> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner).cluster.clone()
    }

    /// Notes durably that the node is about to vote for the first time.
    pub(crate) fn note_vote(&self) -> io::Result<()> {
        self.change(|content| content.voted = true)
    }

    /// Notes durably which cluster the directory belongs to.
    pub(crate) fn note_cluster(&self, cluster: &ClusterId) -> io::Result<()> {
        self.change(|content| content.cluster = Some(cluster.clone()))
    }

    fn change(&self, change: impl FnOnce(&mut Content)) -> io::Result<()> {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = content.clone();
        change(&mut changed);
        if changed != *content {
            framed::write_in(&self.files, &self.path, FORM, &remuda_state::encode(&changed))?;
            *content = changed;
        }
        Ok(())
    }
}
