//! A node of a cluster, inside this process.
//!
//! [`Agent::start`] does what `remuda agent` does: it locks the data directory, joins or makes the
//! cluster, listens, and runs work. Programs embed it to bring job classes of their own.

mod advertise;
mod awaiting;
mod cluster_file;
mod compose;
mod config;
mod credentials;
mod data_dir;
mod error;
mod listeners;
mod live_links;
mod lookout;
mod member;
mod ports;
mod restore;
mod subnet;

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use remuda_control::Control;
use remuda_link::{Endpoint, Link};
use remuda_model::{Failure, LinkUrl, NodeId, NodeStatus, Role};
use remuda_runtime::Supervisor;
use remuda_worker::Worker;
use tokio::sync::watch;

pub use cluster_file::InitReport;
pub use config::{
    AgentConfig, ApiListen, Cidr, Diagnosis, FanoutConfig, LanUse, RestCommander, RouterSetup,
};
pub use data_dir::DataDirError;
pub use error::AgentError;
pub use remuda_control::{Backup, BackupError};
pub use remuda_fanout::policy::{cidr, ports};
pub use restore::{Restored, offline_backup, restore};

use cluster_file::ClusterFile;
use data_dir::DataDir;
use live_links::LiveLinks;

/// How long the parts of a node have to end once they were told to.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A running node. Dropping it ends the node without ceremony; see [`shutdown`](Self::shutdown).
#[derive(Debug)]
pub struct Agent {
    node: NodeId,
    endpoint: Endpoint,
    worker: Worker,
    control: Option<Control>,
    listening: Vec<LinkUrl>,
    links: LiveLinks,
    api: Option<SocketAddr>,
    rest_commander: Option<SocketAddr>,
    drain_limit: Duration,
    supervisor: Supervisor,
    /// Unlocks the directory when everything else has ended.
    _data: Arc<DataDir>,
}

impl Agent {
    /// Starts a node. A node that joins waits for its cluster, with back-off and log lines, until
    /// it has a certificate.
    ///
    /// # Errors
    ///
    /// See [`AgentError`]; each knows a hint.
    pub async fn start(config: AgentConfig) -> Result<Self, AgentError> {
        compose::start(config).await
    }

    /// Its name.
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// Where its API listens.
    pub fn api_address(&self) -> Option<SocketAddr> {
        self.api
    }

    /// Where it answers as REST Commander did.
    pub fn rest_commander_address(&self) -> Option<SocketAddr> {
        self.rest_commander
    }

    /// Where it listens for links, with real ports.
    pub fn link_addresses(&self) -> &[LinkUrl] {
        &self.listening
    }

    /// Its status.
    pub fn status(&self) -> watch::Receiver<NodeStatus> {
        self.worker.status()
    }

    /// Wishes to be ready, standby or stopped, as `remuda node` does from elsewhere: the node so takes
    /// itself out, and in again. Returns what it shows now: `stopping` while tasks run, `connecting`
    /// while it looks for its owner. The wish is kept over restarts.
    ///
    /// # Errors
    ///
    /// [`Invalid`](remuda_model::ErrorKind::Invalid) for another status; what the disk says, or that
    /// the agent ends.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the wish may have been taken or not.
    pub async fn set_status(&self, status: NodeStatus) -> Result<NodeStatus, Failure> {
        self.worker.set_status(status).await
    }

    /// Its control side, when it is a control node: every use case of the cluster, in process.
    pub fn control(&self) -> Option<&Control> {
        self.control.as_ref()
    }

    /// Dials and listens as this node, for programs with protocols of their own.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Its live links, whoever dialled them.
    pub fn links(&self) -> Vec<Link> {
        self.links.all()
    }

    /// The token with which further nodes join, when this is a control node.
    pub fn join_token(&self, role: Role) -> Option<String> {
        self.control.as_ref()?.join_token(role).ok()
    }

    /// Drains (no new tasks; waits for running ones up to the configured limit), leaves the cluster
    /// and ends. Tasks that still run and can be recovered go on without the agent. Boxed for the
    /// same reason as the start.
    pub fn shutdown(self) -> BoxFuture<'static, ()> {
        Box::pin(self.drain_and_leave())
    }

    async fn drain_and_leave(self) {
        if !self.drain_limit.is_zero() && !self.worker.drain(self.drain_limit).await {
            tracing::info!("tasks go on without the agent");
        }
        if let Some(control) = &self.control {
            control.leave().await;
        }
        self.stop().await;
    }

    /// Ends without draining and without handing over, as when the whole cluster is stopped. The
    /// next start goes on from the disk.
    pub async fn stop(self) {
        if !self.supervisor.shutdown(STOP_LIMIT).await {
            tracing::warn!("some parts did not end in time");
        }
    }
}

/// Makes a cluster in a data directory, for `agent --control --bootstrap` to start.
///
/// # Errors
///
/// When the directory is in use or cannot be written, or holds a cluster already.
pub fn init_cluster(dir: &Path, name: &str) -> Result<InitReport, AgentError> {
    let data = DataDir::open(dir)?;
    if ClusterFile::read(data.path())?.is_some() {
        return Err(AgentError::ClusterExists { dir: dir.to_owned() });
    }
    Ok(ClusterFile::create(data.path(), name, None)?.report())
}

#[cfg(test)]
mod tests;
