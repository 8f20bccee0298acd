//! Members of the cluster.

use std::collections::BTreeMap;

use remuda_control::Consistency;
use remuda_model::{Failure, NodeStatus, NodeView};

use super::{Face, Reply, Wrong};
use crate::params::Call;

impl Face {
    /// All nodes with their addresses, in lists side by side.
    pub(super) async fn cluster_list(&self) -> Result<Reply, Wrong> {
        let members = self.members().await?;
        let leader = self.control.cluster(Consistency::Stale).await?.leader;
        let leader = leader.and_then(|leader| members.iter().find(|view| view.id == leader));
        let list =
            |of: fn(&NodeView) -> String| -> Vec<String> { members.iter().map(of).collect() };
        let lists: BTreeMap<&str, Vec<String>> = BTreeMap::from([
            ("masterUrl", leader.map(address).into_iter().collect()),
            ("url", list(address)),
            ("state", list(|view| (view.status != NodeStatus::NotConnected).to_string())),
            ("enable", list(|view| is_enabled(view).to_string())),
        ]);
        Reply::json(&lists)
    }

    /// Makes a node ready, or puts it on standby, in which it takes no part in runs.
    pub(super) async fn set_member(&self, call: &Call, enable: bool) -> Result<Reply, Wrong> {
        let (url, port) = (call.need("url")?, call.need("port")?);
        let member = format!("{url}:{port}");
        let members = self.members().await?;
        let of_name = |view: &&NodeView| view.id.as_str() == url;
        let found = members.iter().find(|view| address(view) == member);
        let node = found.or_else(|| members.iter().find(of_name)).ok_or_else(|| {
            let shown: String = member.chars().take(128).collect();
            Failure::not_found(format!("no member {shown:?}"))
                .hint("getClusterList shows the members; a node's name is taken too")
        })?;
        let status = if enable { NodeStatus::Ready } else { NodeStatus::Standby };
        self.control.set_status(&node.id, status).await?;
        let done = if enable { "enabled" } else { "disabled" };
        Ok(Reply::Text(format!("{member} has been {done}.")))
    }

    pub(super) async fn members(&self) -> Result<Vec<NodeView>, Failure> {
        self.control.nodes(Consistency::Stale).await
    }
}

/// Host and port of a node; one that only dials has its name and no port.
fn address(view: &NodeView) -> String {
    match view.addresses.first() {
        Some(url) => format!("{}:{}", url.host, url.port),
        None => format!("{}:0", view.id),
    }
}

/// Whether a node takes part in runs, once it is connected.
fn is_enabled(view: &NodeView) -> bool {
    !matches!(view.status, NodeStatus::Standby | NodeStatus::Stopping | NodeStatus::Stopped)
}
