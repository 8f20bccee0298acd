//! Which nodes a selector means.

use remuda::client::Client;
use remuda_model::{ErrorKind, NodeId, Selector};

use crate::error::{Report, Stop};

/// The nodes that meet a condition, or all; those without a link too, which then fail.
pub(super) async fn nodes(client: &Client, on: Option<&Selector>) -> Result<Vec<NodeId>, Stop> {
    let nodes = match on {
        Some(on) => client.nodes_on(on).await?,
        None => client.nodes().await?,
    };
    if nodes.is_empty() {
        let message = match on {
            Some(on) => format!("no node meets `{on}`"),
            None => "the cluster has no nodes".to_owned(),
        };
        let report = Report::new(ErrorKind::NotFound, message);
        return Err(report.hint("`remuda node list` shows the labels of all nodes").into());
    }
    Ok(nodes.into_iter().map(|node| node.id).collect())
}
