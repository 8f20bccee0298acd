//! A new first control node from a backup, without any of the old ones.

use std::path::Path;

use remuda_control::Backup;
use remuda_model::{ClusterId, NodeId, Role};

use super::{
    AgentError,
    data_dir::{DataDir, NodeFile},
    member::keep_certificate,
};

/// What [`restore`] made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The cluster that goes on.
    pub cluster: ClusterId,
    /// Its name, for people.
    pub name: String,
    /// The new control node.
    pub node: NodeId,
    /// The control nodes that there were: they are refused from now on.
    pub removed: Vec<NodeId>,
    /// Nodes that keep their names and certificates.
    pub kept: usize,
    /// The last log index that the backup contains.
    pub applied: u64,
}

/// Makes the data directory of a new first control node from a backup. Start it there with
/// `remuda agent --control`; other control nodes join it, and workers that it reaches, or that know
/// its address, go on with their old certificates.
///
/// # Errors
///
/// When the directory is not empty or cannot be written, or the name of the node was used before;
/// nothing is left in the directory then.
pub async fn restore(
    backup: Backup,
    dir: &Path,
    node: Option<NodeId>,
) -> Result<Restored, AgentError> {
    let dir = dir.to_owned();
    let made = tokio::task::spawn_blocking(move || make(&backup, &dir, node)).await;
    made.unwrap_or_else(|panicked| Err(AgentError::part("the restored node")(panicked)))
}

fn make(backup: &Backup, dir: &Path, node: Option<NodeId>) -> Result<Restored, AgentError> {
    let node = node.unwrap_or_else(NodeId::random);
    let succession = backup.succeed(&node).map_err(AgentError::Backup)?;
    let cluster = backup.cluster().map_err(AgentError::Backup)?;
    let data = DataDir::open_empty(dir)?;
    let put = || {
        let control = data.part("control")?;
        let failed = AgentError::part("the control side of the restored node");
        remuda_control::plant(&control, &node, &succession.state, &backup.authority)
            .map_err(failed)?;
        keep_certificate(&data, &succession.certificate)?;
        // Last: without it the directory is no node's.
        let cluster = cluster.id.clone();
        data.set_node(&NodeFile { node: node.clone(), cluster, role: Role::Control })?;
        Ok::<(), AgentError>(())
    };
    if let Err(error) = put() {
        data.clear();
        return Err(error);
    }
    Ok(Restored {
        cluster: cluster.id.clone(),
        name: cluster.name.clone(),
        kept: succession.state.n_nodes() - 1,
        removed: succession.removed,
        node,
        applied: backup.state.applied(),
    })
}

/// A backup from the data directory of a control node that does not run, for when no majority is
/// left to ask. It contains all that has reached this node, acknowledged or not; what was
/// acknowledged without it is lost.
///
/// # Errors
///
/// When the directory is in use, damaged, or none of a control node.
pub async fn offline_backup(dir: &Path) -> Result<Backup, AgentError> {
    if !dir.join("node.json").exists() {
        return Err(AgentError::NoControlNode { dir: dir.to_owned() });
    }
    let data = DataDir::open(dir)?;
    let file = data.node()?.filter(|file| file.role == Role::Control);
    let file = file.ok_or_else(|| AgentError::NoControlNode { dir: dir.to_owned() })?;
    let salvaged = remuda_control::salvage(&dir.join("control"), &file.node).await;
    salvaged.map_err(AgentError::part("reading the state of this control node"))
}
