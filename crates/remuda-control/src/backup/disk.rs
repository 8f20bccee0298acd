//! The control side of a data directory, written before its node has ever run, or read after it has
//! stopped.

use std::path::Path;

use remuda_link::Authority;
use remuda_model::{Failure, NodeId};
use remuda_state::ClusterState;

use super::Backup;
use crate::{OpenError, authority};

/// The directory of a control node gives no backup.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SalvageError {
    /// It cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The node never received the cluster's authority.
    #[error("it holds no authority of a cluster")]
    NoAuthority,
    /// The authority in the state cannot be used.
    #[error("the authority in its state cannot be used")]
    Authority(#[source] Failure),
    /// The node belongs to no cluster.
    #[error("it holds no state of a cluster")]
    NoCluster,
}

/// Makes the control side of a node that has never run: its replica and the cluster's authority.
///
/// # Errors
///
/// When the directory cannot be written or holds a replica already.
pub fn plant(
    dir: &Path,
    node: &NodeId,
    state: &ClusterState,
    authority: &Authority,
) -> Result<(), OpenError> {
    authority::save(dir, authority)?;
    Ok(remuda_store::plant(&dir.join("replica"), node, state)?)
}

/// Reads the control side of a node that does not run. See
/// [`remuda_store::salvage`] for what the state contains.
///
/// # Errors
///
/// When it is in use, damaged or incomplete.
pub async fn salvage(dir: &Path, node: &NodeId) -> Result<Backup, SalvageError> {
    let authority = authority::load(dir).map_err(OpenError::from)?;
    let authority = authority.ok_or(SalvageError::NoAuthority)?;
    let state = remuda_store::salvage(&dir.join("replica"), node).await;
    let state = state.map_err(OpenError::from)?;
    if state.cluster().is_none() {
        return Err(SalvageError::NoCluster);
    }
    // Exchanged since the file was written.
    let newer = super::signing(&state).map_err(SalvageError::Authority)?;
    Ok(Backup::new(state, newer.unwrap_or(authority)))
}
