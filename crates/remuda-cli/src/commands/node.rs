//! `remuda node`.

use remuda::client::Client;
use remuda_model::{NodeId, NodeStatus, NodeView};
use serde_json::json;

use super::{connect::client, each::each, select};
use crate::{
    args::{Format, NodeCommand, StatusArgs},
    environment::Environment,
    error::{PARTIAL, PrintError, Stop},
    output::{Printer, Table, bytes, fields, note},
};

pub(super) async fn run(command: NodeCommand, environment: &Environment) -> Result<(), Stop> {
    match command {
        NodeCommand::List { on, stale, format, connect } => {
            let client = reading(client(&connect, environment)?, stale);
            let nodes = match &on {
                Some(on) => client.nodes_on(on).await?,
                None => client.nodes().await?,
            };
            Ok(print_list(Printer::new(format), &nodes)?)
        }
        NodeCommand::Show { node, stale, format, connect } => {
            let node = reading(client(&connect, environment)?, stale).node(&node).await?;
            Ok(Printer::new(format).value(&node, describe)?)
        }
        NodeCommand::Ready(args) => set_status(args, NodeStatus::Ready, environment).await,
        NodeCommand::Standby(args) => set_status(args, NodeStatus::Standby, environment).await,
        NodeCommand::Stop(args) => set_status(args, NodeStatus::Stopped, environment).await,
        NodeCommand::Remove { node, force, format, connect } => {
            client(&connect, environment)?.remove_node(&node, force).await?;
            Ok(done(
                format,
                &json!({ "node": node, "removed": true }),
                &format!("{node} is removed"),
            )?)
        }
        NodeCommand::Label { node, update, remove, format, connect } => {
            let client = client(&connect, environment)?;
            let labels = if update.is_none() && remove.is_empty() {
                client.node(&node).await?.labels
            } else {
                client.set_labels(&node, &update.unwrap_or_default(), &remove).await?
            };
            let printer = Printer::new(format);
            if printer.is_json() {
                return Ok(printer.json(&json!({ "node": node, "labels": labels }))?);
            }
            Ok(printer.line(&labels.to_string())?)
        }
        NodeCommand::Renew { node, format, connect } => {
            client(&connect, environment)?.renew_certificate(&node).await?;
            let words = format!("{node} has a new certificate");
            Ok(done(format, &json!({ "node": node, "renewed": true }), &words)?)
        }
        NodeCommand::Add { url, format, connect } => {
            let node = client(&connect, environment)?.add_node(&url).await?;
            added(format, &node)
        }
    }
}

/// Says which node was added.
pub(super) fn added(format: Format, node: &NodeId) -> Result<(), Stop> {
    let printer = Printer::new(format);
    if printer.is_json() {
        return Ok(printer.json(&json!({ "node": node }))?);
    }
    Ok(printer.line(node.as_str())?)
}

/// A command has had its effect: data for machines, a note for people.
pub(super) fn done(
    format: Format,
    data: &serde_json::Value,
    words: &str,
) -> Result<(), PrintError> {
    let printer = Printer::new(format);
    if printer.is_json() {
        return printer.json(data);
    }
    note(words);
    Ok(())
}

pub(super) fn reading(client: Client, stale: bool) -> Client {
    if stale { client.stale() } else { client }
}

/// Changes one node after the other; with several, a failure does not keep the rest waiting.
async fn set_status(
    args: StatusArgs,
    status: NodeStatus,
    environment: &Environment,
) -> Result<(), Stop> {
    let client = client(&args.connect, environment)?;
    if args.many.is_asked() {
        return set_status_of_many(&client, &args, status).await;
    }
    let (mut changed, mut failed) = (Vec::new(), 0);
    for node in &args.nodes {
        match client.set_status(node, status).await {
            Ok(()) => changed.push(json!({ "node": node, "asked": status })),
            Err(failure) if args.nodes.len() == 1 => return Err(failure.into()),
            Err(failure) => {
                failed += 1;
                note(&format!("{node}: {}", crate::output::escape_line(&failure.message)));
                changed.push(json!({ "node": node, "error": failure }));
            }
        }
    }
    let n_nodes = args.nodes.len();
    let words = match args.nodes.as_slice() {
        [node] => format!("asked {node} to be {status}"),
        _ => format!("asked {} of {n_nodes} nodes to be {status}", n_nodes - failed),
    };
    done(args.format, &json!(changed), &words)?;
    if failed > 0 { Err(Stop::Exit(PARTIAL)) } else { Ok(()) }
}

/// Changes the nodes that are chosen, side by side.
async fn set_status_of_many(
    client: &Client,
    args: &StatusArgs,
    status: NodeStatus,
) -> Result<(), Stop> {
    let nodes = select::nodes(client, args.many.on.as_ref()).await?;
    let printer = Printer::new(args.format);
    let ask = |node| async move { client.set_status(&node, status).await };
    each(&nodes, args.many.parallel, printer, ask, |node, ()| {
        if printer.is_json() {
            return printer.json_line(&json!({ "node": node, "asked": status }));
        }
        printer.line(&format!("{node} | asked to be {status}"))
    })
    .await
}

/// Nodes as a table, or as a JSON list.
pub(crate) fn print_list(printer: Printer, nodes: &[NodeView]) -> Result<(), PrintError> {
    if printer.is_json() {
        return printer.json(nodes);
    }
    let mut table =
        Table::new(["NODE", "ROLES", "STATUS", "VERSION", "ADDRESS", "TASKS", "LABELS"]);
    for node in nodes {
        table.row([
            node.id.to_string(),
            node.roles.to_string(),
            node.status.to_string(),
            node.version.clone(),
            node.addresses.first().map(ToString::to_string).unwrap_or_default(),
            node.running_tasks.to_string(),
            node.labels.to_string(),
        ]);
    }
    printer.table(table)
}

fn describe(node: &NodeView) -> String {
    let list = |urls: &[remuda_model::LinkUrl]| {
        urls.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let stats = node.stats.as_ref();
    let attribute = |(key, value): (&String, &String)| format!("{key}={value}");
    let attributes: Vec<_> = node.attributes.iter().map(attribute).collect();
    fields([
        ("node", Some(node.id.to_string())),
        ("roles", Some(node.roles.to_string())),
        ("status", Some(node.status.to_string())),
        ("version", Some(node.version.clone())),
        ("boots", Some(node.generation.to_string())),
        ("addresses", Some(list(&node.addresses))),
        ("labels", Some(node.labels.to_string())),
        ("owner", node.owner.as_ref().map(ToString::to_string)),
        ("via", node.via.as_ref().map(ToString::to_string)),
        ("round trip", node.rtt_us.map(|us| format!("{us} µs"))),
        ("running tasks", Some(node.running_tasks.to_string())),
        ("cpus", stats.map(|stats| stats.cpus.to_string())),
        ("load", stats.map(|s| s.load.map(|load| format!("{load:.2}")).join(" "))),
        ("memory", stats.map(|s| free_of(s.mem_available, s.mem_total))),
        ("disk", stats.map(|s| free_of(s.disk_available, s.disk_total))),
        ("agent memory", stats.map(|s| bytes(s.agent_rss))),
        ("attributes", Some(attributes.join(", "))),
    ])
}

fn free_of(free: u64, total: u64) -> String {
    format!("{} free of {}", bytes(free), bytes(total))
}
