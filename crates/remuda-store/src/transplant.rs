//! The state of a cluster without the nodes that replicated it: taken from the directory of one that
//! does not run, and put into the directory of one that has never run.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use openraft::{CommittedLeaderId, EntryPayload, LogId, Membership, RaftLogReader};
use remuda_model::{NodeId, Release};
use remuda_state::ClusterState;

use crate::{
    OpenError,
    log::LogStore,
    meta::MetaFile,
    snapshot::{Loaded, SnapshotDir},
    types::{Entry, Member, Members, Meta, raft_id},
};

/// Makes the directory of a replica whose one voter is this node and which begins with this state,
/// at the index that the state has. Open it with [`Replica::open`](crate::Replica::open).
///
/// # Errors
///
/// When the directory cannot be written, or holds a replica already.
pub fn plant(dir: &Path, node: &NodeId, state: &ClusterState) -> Result<(), OpenError> {
    let at = |source| OpenError::Io { path: dir.into(), source };
    std::fs::create_dir_all(dir).map_err(at)?;
    let snapshots = SnapshotDir::open(&dir.join("snapshots"))?;
    if snapshots.load(Release::CURRENT.protocol)?.snapshot.is_some() {
        let what = "it holds a replica already".to_owned();
        return Err(OpenError::Corrupt { file: dir.into(), what });
    }
    // Before any term: whoever is elected is later than the state.
    let last = LogId::new(CommittedLeaderId::new(0, 0), state.applied());
    let id = raft_id(node);
    let voters = vec![BTreeSet::from([id])];
    let members = BTreeMap::from([(id, Member::new(node, Vec::new()))]);
    let membership = Members::new(Some(last), Membership::new(voters, members));
    let snapshot_id = last.to_string();
    let meta = Meta { last_log_id: Some(last), last_membership: membership, snapshot_id };
    snapshots.write(&meta, state).map_err(at)?;
    let file = MetaFile::open(dir, node, &dir.join("log"))?;
    if let Some(cluster) = state.cluster() {
        file.note_cluster(&cluster.id).map_err(at)?;
    }
    crate::framed::sync_dir(dir).map_err(at)
}

/// Reads the state from the directory of a replica that does not run: the newest snapshot and the
/// whole log behind it, also entries of which this node does not know that they were committed. So
/// nothing is missing that was acknowledged and has reached this node; something may be in it that
/// nobody acknowledged.
///
/// # Errors
///
/// When the directory is in use or damaged, or a newer version has written it.
pub async fn salvage(dir: &Path, node: &NodeId) -> Result<ClusterState, OpenError> {
    let log_dir = dir.join("log");
    if !log_dir.exists() {
        let what = "it holds no log of a control node".to_owned();
        return Err(OpenError::Corrupt { file: dir.into(), what });
    }
    let meta = MetaFile::open(dir, node, &log_dir)?;
    let mut log = LogStore::open(&log_dir, meta.into())?;
    let read = read(dir, &mut log).await;
    log.close();
    read
}

async fn read(dir: &Path, log: &mut LogStore) -> Result<ClusterState, OpenError> {
    let Loaded { snapshot, damage } =
        SnapshotDir::open(&dir.join("snapshots"))?.load(Release::CURRENT.protocol)?;
    let mut state = snapshot.map(|(_, state)| state).unwrap_or_default();
    let next = state.applied().saturating_add(1);
    if let Some(purged) = log.purged().filter(|purged| *purged >= next) {
        let gap = OpenError::Gap { dir: dir.into(), from: next, to: purged };
        return Err(damage.unwrap_or(gap));
    }
    let replay = |what| OpenError::Replay { dir: dir.into(), what };
    let entries = log.try_get_log_entries(0..).await;
    for entry in entries.map_err(|error| replay(error.to_string()))? {
        let Entry { log_id, payload } = entry;
        if log_id.index < next {
            continue;
        }
        match payload {
            EntryPayload::Blank | EntryPayload::Membership(_) => state.advance(log_id.index),
            EntryPayload::Normal(batch) => {
                let understood = batch.understood_by(Release::CURRENT.protocol);
                understood.map_err(|error| replay(error.to_string()))?;
                state.apply_batch(log_id.index, &batch);
            }
        }
    }
    Ok(state)
}
