//! From nothing to a cluster whose nodes all answer.

use std::{fs, path::PathBuf, time::Duration};

use remuda::client::{Client, ClientConfig};
use remuda_model::{ErrorKind, LinkUrl, NodeId, NodeStatus, NodeView};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{diagnosis, failed, layout::Layout, nodes::Nodes};
use crate::{
    commands::Ready,
    error::{Report, Stop},
    output::note,
};

/// How long all of it may take.
const LIMIT: Duration = Duration::from_mins(1);
/// How often is looked.
const LOOK: Duration = Duration::from_millis(50);
/// How long the first request to a node may take.
const FIRST_REQUEST: Duration = Duration::from_secs(10);

/// A cluster that answers.
pub(super) struct Running {
    pub(super) api: String,
    pub(super) admin_token: String,
    /// The nodes with what each answered to its first request.
    pub(super) nodes: Vec<(NodeView, Value)>,
}

/// Starts all nodes of a layout and waits until each has answered a request.
pub(super) async fn start(layout: &Layout, nodes: &mut Nodes) -> Result<Running, Stop> {
    let began = Instant::now();
    let deadline = began + LIMIT;
    let all = layout.nodes();
    let (first, _control) = all.first().expect("there is at least one control node").clone();
    // A cluster that comes back needs a majority before its first node answers, and its nodes
    // have their old ports; a new one needs its first node before the others can join.
    let old_links = known_links(layout, &all);
    note(&format!("starting {} nodes in {}", all.len(), layout.root().display()));
    nodes.start(layout, &first, true, None)?;
    let returns = old_links.len() == all.iter().filter(|(_node, control)| *control).count();
    let token = |role: &str| -> PathBuf { layout.dir(&first).join(format!("join-token-{role}")) };
    let controls = |nodes: &mut Nodes, links: &[LinkUrl]| -> Result<(), Report> {
        for (node, _control) in all.iter().skip(1).filter(|(_node, control)| *control) {
            let own = kept_link(layout, node);
            let others: Vec<_> =
                links.iter().filter(|link| Some(*link) != own.as_ref()).cloned().collect();
            nodes.start(layout, node, true, Some((&others, token("control"))))?;
        }
        Ok(())
    };
    if returns {
        controls(nodes, &old_links)?;
    }
    let first_ready = ready(nodes, &first, deadline).await?;
    if !returns {
        controls(nodes, &first_ready.links)?;
    }
    let mut links = Vec::new();
    for (node, _control) in all.iter().filter(|(_node, control)| *control) {
        links.extend(ready(nodes, node, deadline).await?.links);
    }
    for (node, _control) in all.iter().filter(|(_node, control)| !*control) {
        nodes.start(layout, node, false, Some((&links, token("worker"))))?;
    }
    let api = first_ready
        .api
        .ok_or_else(|| Report::new(ErrorKind::Internal, format!("{first} serves no API")))?;
    let api = format!("http://{api}");
    let path = layout.dir(&first).join("admin-token");
    let admin_token = fs::read_to_string(&path)
        .map_err(|error| failed(format!("cannot read `{}`", path.display()), &error))?
        .trim()
        .to_owned();
    let client = Client::new(ClientConfig::new(&api, &admin_token))?;
    let views = all_ready(&client, nodes, all.len(), deadline).await?;
    let nodes = first_requests(&client, views).await?;
    note(&format!("ready after {:.1} s", began.elapsed().as_secs_f32()));
    Ok(Running { api, admin_token, nodes })
}

/// The link addresses that the control nodes had when they last ran.
fn known_links(layout: &Layout, all: &[(NodeId, bool)]) -> Vec<LinkUrl> {
    let link = |(node, control): &(NodeId, bool)| {
        let kept = control.then(|| kept_link(layout, node)).flatten()?;
        Some(kept)
    };
    all.iter().filter_map(link).collect()
}

/// Agents keep their ports, and we keep where that was.
fn kept_link(layout: &Layout, node: &NodeId) -> Option<LinkUrl> {
    let text = fs::read_to_string(layout.dir(node).join("dev-link")).ok()?;
    text.trim().parse().ok()
}

/// Waits for the ready file of a node.
async fn ready(nodes: &mut Nodes, name: &NodeId, deadline: Instant) -> Result<Ready, Report> {
    loop {
        for node in nodes.running() {
            if let Some(dead) = diagnosis::of_dead(node) {
                return Err(dead);
            }
            if node.name() != name {
                continue;
            }
            if let Some(ready) = node.ready() {
                keep_link(node, &ready);
                return Ok(ready);
            }
            if Instant::now() > deadline {
                return Err(diagnosis::of_late(node, Some("starting")));
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Without the file the next start takes the slower way.
fn keep_link(node: &super::child::Node, ready: &Ready) {
    if let (Some(link), Some(dir)) = (ready.links.first(), node.log_path().parent()) {
        let _unkept = fs::write(dir.join("dev-link"), link.to_string()).is_err();
    }
}

/// Waits until the cluster says that every node is ready.
async fn all_ready(
    client: &Client,
    nodes: &mut Nodes,
    n_nodes: usize,
    deadline: Instant,
) -> Result<Vec<NodeView>, Stop> {
    let mut said = 0;
    loop {
        let seen = client.nodes().await;
        let views = seen.as_ref().map(Vec::as_slice).unwrap_or_default();
        let is_ready = |view: &&NodeView| view.status == NodeStatus::Ready;
        let n_ready = views.iter().filter(is_ready).count();
        if n_ready != said {
            said = n_ready;
            note(&format!("{n_ready} of {n_nodes} nodes are ready"));
        }
        if n_ready >= n_nodes {
            return Ok(seen?);
        }
        if let Some(dead) = nodes.running().iter_mut().find_map(diagnosis::of_dead) {
            return Err(dead.into());
        }
        if Instant::now() > deadline {
            seen.as_ref().map_err(|failure| Stop::from(failure.clone()))?;
            let status =
                |name: &NodeId| views.iter().find(|view| view.id == *name).map(|view| view.status);
            let late = nodes.running().iter().find_map(|node| match status(node.name()) {
                Some(NodeStatus::Ready) => None,
                other => Some(diagnosis::of_late(node, other.map(NodeStatus::as_str))),
            });
            let unknown = || Report::new(ErrorKind::TimedOut, "the nodes are not ready");
            return Err(late.unwrap_or_else(unknown).into());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Asks every node for its `info`, so that a table of nodes means nodes that answer.
async fn first_requests(
    client: &Client,
    views: Vec<NodeView>,
) -> Result<Vec<(NodeView, Value)>, Stop> {
    let class = "node".parse().expect("a word is a class name");
    let mut answered = Vec::with_capacity(views.len());
    for view in views {
        let info = client.request(&view.id, &class, json!("info"), Some(FIRST_REQUEST)).await;
        let info = info.map_err(|failure| {
            let message = format!("{} did not answer its first request", view.id);
            Report::new(failure.kind, message).caused_by(&failure)
        })?;
        answered.push((view, info));
    }
    Ok(answered)
}
