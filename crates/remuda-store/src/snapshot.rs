//! Snapshot files: the state as of one log index, two of them kept.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use remuda_state::ClusterState;

use crate::{
    OpenError,
    disk::Files,
    framed::{self, Form},
    types::Meta,
};

/// The format of a snapshot is the level of its state.
const FORM: Form = Form::first(*b"RMDSNAP\0");
const EXTENSION: &str = "snapshot";
/// The second one helps when the first cannot be read.
const KEPT: usize = 2;

/// The snapshots of one replica.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotDir {
    files: Files,
    path: PathBuf,
    /// Held while a file is written; false once the directory may be somebody else's.
    open: Arc<Mutex<bool>>,
}

/// What the directory held.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The newest readable snapshot.
    pub(crate) snapshot: Option<(Meta, ClusterState)>,
    /// Why the newest file of all was not read.
    pub(crate) damage: Option<OpenError>,
}

impl SnapshotDir {
    /// The directory, made if it does not exist.
    pub(crate) fn open(dir: &Path) -> Result<Self, OpenError> {
        Self::open_in(Files::System, dir)
    }

    /// As [`open`](Self::open), wherever the files lie.
    pub(crate) fn open_in(files: Files, dir: &Path) -> Result<Self, OpenError> {
        files.make_dir(dir).map_err(|source| OpenError::Io { path: dir.into(), source })?;
        Ok(Self { files, path: dir.into(), open: Arc::new(Mutex::new(true)) })
    }

    /// Waits for a snapshot that is being written, and refuses all later ones: a builder may outlive
    /// its replica.
    pub(crate) fn close(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }

    /// Writes a snapshot durably, then forgets the oldest beyond the two that are kept.
    pub(crate) fn write(&self, meta: &Meta, state: &ClusterState) -> io::Result<()> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if !*open {
            return Err(io::Error::other("the replica has stopped"));
        }
        let (index, term) = meta.last_log_id.map_or((0, 0), |id| (id.index, id.leader_id.term));
        let path = self.path.join(format!("{index:020}-{term:020}.{EXTENSION}"));
        let bytes = remuda_state::encode(&(meta, state));
        framed::write_in(&self.files, &path, FORM.at(state.level()), &bytes)?;
        for old in self.newest_first()?.into_iter().skip(KEPT) {
            self.files.remove(&old)?;
        }
        Ok(())
    }

    /// Reads the newest readable snapshot, of at most this level. Files that cannot be read stay
    /// where they are.
    pub(crate) fn load(&self, level: u16) -> Result<Loaded, OpenError> {
        let files = self
            .newest_first()
            .map_err(|source| OpenError::Io { path: self.path.clone(), source })?;
        let mut damage = None;
        for file in files {
            match read(&self.files, &file, level) {
                Ok(snapshot) => return Ok(Loaded { snapshot: Some(snapshot), damage }),
                Err(error @ OpenError::Corrupt { .. }) => {
                    tracing::error!(%error, "cannot read a snapshot, trying an older one");
                    damage.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Loaded { snapshot: None, damage })
    }

    fn newest_first(&self) -> io::Result<Vec<PathBuf>> {
        let mut files = self.files.list(&self.path)?;
        files.retain(|path| path.extension().is_some_and(|extension| extension == EXTENSION));
        files.sort_unstable_by(|a, b| b.cmp(a));
        Ok(files)
    }
}

fn read(files: &Files, file: &Path, level: u16) -> Result<(Meta, ClusterState), OpenError> {
    let corrupt = |what| OpenError::Corrupt { file: file.into(), what };
    let body = framed::read_in(files, file, FORM.at(level))?;
    let body = body.ok_or_else(|| corrupt("it is gone".to_owned()))?;
    let (meta, state): (Meta, ClusterState) = remuda_state::decode(&body)
        .map_err(|error| corrupt(remuda_model::Chain(&error).to_string()))?;
    state.invariants().map_err(corrupt)?;
    Ok((meta, state))
}
