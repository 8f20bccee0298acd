//! `remuda cp`: a file to nodes, from a node, from node to node.

use std::path::{Path, PathBuf};

use remuda::client::{
    Client, LocalFile,
    dto::{self, FileLine, FileSource, SendFile},
};
use remuda_model::{ErrorKind, NodeId};
use serde_json::json;

use super::{
    connect::client,
    select,
    upload::{Bar, upload},
};
use crate::{
    args::{CpArgs, NodePath, Place},
    environment::Environment,
    error::{PARTIAL, Report, Stop},
    output::{Printer, escape_line, note},
};

pub(super) async fn run(args: CpArgs, environment: &Environment) -> Result<(), Stop> {
    let client = client(&args.connect, environment)?;
    match (&args.source, &args.target) {
        (Place::Local(_), Some(Place::Local(_))) => {
            let report = Report::new(ErrorKind::Invalid, "both files are local");
            Err(report.hint("a file on a node is written NODE:/PATH").into())
        }
        (Place::Node(from), Some(Place::Local(to))) => fetch(&client, from, to, &args).await,
        (source, _) => {
            let (nodes, path) = targets(&client, &args).await?;
            send(&client, source, nodes, path, &args).await
        }
    }
}

/// The nodes to which the file goes, and its path there.
async fn targets(client: &Client, args: &CpArgs) -> Result<(Vec<NodeId>, String), Stop> {
    let (selector, path) = match (&args.target, &args.on, &args.all) {
        (Some(Place::Node(to)), _, _) => return Ok((vec![to.node.clone()], to.path.clone())),
        (_, Some(on), _) => (Some(&on.selector), on.path.clone()),
        (_, _, all) => (None, all.clone().unwrap_or_default()),
    };
    let nodes = select::nodes(client, selector).await?;
    Ok((nodes, path))
}

async fn send(
    client: &Client,
    source: &Place,
    nodes: Vec<NodeId>,
    path: String,
    args: &CpArgs,
) -> Result<(), Stop> {
    let (source, name, own_mode) = match source {
        Place::Local(path) => {
            let (file, name) = upload(client, path).await?;
            let LocalFile { digest, size, mode } = file;
            (FileSource::Artifact { digest, size }, Some(name), Some(mode))
        }
        Place::Node(NodePath { node, path }) => {
            let from = dto::NodePath { node: node.clone(), path: path.clone() };
            (FileSource::File(from), None, None)
        }
    };
    let n_nodes = nodes.len();
    let request = SendFile {
        source,
        nodes,
        path: Some(path),
        name,
        mode: args.mode.or(own_mode),
        keep_existing: args.no_clobber,
    };
    let printer = Printer::new(args.format);
    let mut lines = client.send_file(&request).await?;
    let mut bar = None;
    let mut failed = Vec::new();
    while let Some(line) = lines.next().await? {
        if printer.is_json() && !matches!(line, FileLine::Progress { .. }) {
            printer.json_line(&line)?;
        }
        match line {
            FileLine::Source { size, .. } => {
                bar = Some(Bar::new("to nodes", size.saturating_mul(n_nodes as u64)));
            }
            FileLine::Progress { node, held } => {
                if let Some(bar) = &mut bar {
                    bar.held(&node, held);
                }
            }
            FileLine::Done { node, path, was_there } => {
                if let Some(bar) = &mut bar {
                    bar.done(&node, n_nodes);
                }
                if !printer.is_json() {
                    let path = path.unwrap_or_default();
                    let unchanged = if was_there { " (was there)" } else { "" };
                    printer.line(&format!("{node}:{path}{unchanged}"))?;
                }
            }
            FileLine::Failed { node, error } => {
                if let Some(bar) = &mut bar {
                    bar.done(&node, n_nodes);
                }
                failed.push((node, error));
            }
            FileLine::End => {}
        }
    }
    drop(bar);
    match failed.as_slice() {
        [] => Ok(()),
        [(_, error)] if n_nodes == 1 => Err(error.clone().into()),
        failed => {
            for (node, error) in failed {
                note(&format!("{node}: {}", escape_line(&error.message)));
            }
            let n_failed = failed.len();
            note(&format!("{} ok, {n_failed} failed, {n_nodes} nodes", n_nodes - n_failed));
            Err(Stop::Exit(PARTIAL))
        }
    }
}

async fn fetch(client: &Client, from: &NodePath, to: &Path, args: &CpArgs) -> Result<(), Stop> {
    let mut file = client.node_file(&from.node, &from.path).await?;
    if let Some(mode) = args.mode {
        file.mode = mode;
    }
    let target = local_target(from, to);
    let bar = Bar::new("from the node", file.size);
    let told = bar.teller();
    let place = (&from.node, from.path.as_str());
    let was_there = client.fetch_file(place, &file, &target, !args.no_clobber, told).await?;
    drop(bar);
    let printer = Printer::new(args.format);
    if printer.is_json() {
        let done = json!({
            "type": "done",
            "node": from.node,
            "path": target,
            "digest": file.digest,
            "size": file.size,
            "was_there": was_there,
        });
        return Ok(printer.json_line(&done)?);
    }
    let unchanged = if was_there { " (was there)" } else { "" };
    Ok(printer.line(&format!("{}{unchanged}", target.display()))?)
}

/// In a directory the file keeps its name.
fn local_target(from: &NodePath, to: &Path) -> PathBuf {
    let is_dir = to.is_dir() || to.as_os_str().to_string_lossy().ends_with('/');
    match from.path.rsplit('/').find(|part| !part.is_empty()) {
        Some(name) if is_dir => to.join(name),
        _ => to.to_owned(),
    }
}
