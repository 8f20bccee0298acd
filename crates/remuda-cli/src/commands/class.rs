//! `remuda class`: WebAssembly components on nodes.

use futures_util::StreamExt as _;
use remuda::client::{Client, dto::ExecFile};
use remuda_model::{ClassName, Failure, NodeId};
use serde_json::{Map, Value, json};

use super::{connect::client, select, upload};
use crate::{
    args::{ClassCommand, ClassNodes, Grant},
    environment::Environment,
    error::{PARTIAL, Stop},
    output::{Printer, Table, escape_line, note},
};

/// On how many nodes at once.
const PARALLEL: usize = 16;
/// How long a node may compile.
const COMPILING: std::time::Duration = std::time::Duration::from_mins(3);

pub(super) async fn run(command: ClassCommand, environment: &Environment) -> Result<(), Stop> {
    match command {
        ClassCommand::Load { name, component, version, beside, grants, quotas, nodes } => {
            let client = client(&nodes.connect, environment)?;
            let all = targets(&client, &nodes).await?;
            let ExecFile { digest, .. } = upload::to_run(&client, &component, &all).await?;
            let mut load = json!({ "name": name, "digest": digest, "current": !beside });
            if let Some(version) = version {
                load["version"] = version.into();
            }
            if !grants.is_empty() {
                load["grants"] = granted(grants);
            }
            if !quotas.is_empty() {
                let quotas = quotas.into_iter().map(|(name, number)| (name, number.into()));
                load["quota"] = Value::Object(quotas.collect());
            }
            ask(&client, all, &json!({ "load_class": load }), &nodes).await
        }
        ClassCommand::List { nodes } => {
            let client = client(&nodes.connect, environment)?;
            let all = targets(&client, &nodes).await?;
            ask(&client, all, &json!("classes"), &nodes).await
        }
        ClassCommand::Unload { name, version, purge, nodes } => {
            let client = client(&nodes.connect, environment)?;
            let all = targets(&client, &nodes).await?;
            let mut unload = json!({ "name": name, "purge": purge });
            if let Some(version) = version {
                unload["version"] = version.into();
            }
            ask(&client, all, &json!({ "unload_class": unload }), &nodes).await
        }
    }
}

async fn targets(client: &Client, nodes: &ClassNodes) -> Result<Vec<NodeId>, Stop> {
    match &nodes.node {
        Some(node) => Ok(vec![node.clone()]),
        None => select::nodes(client, nodes.on.as_ref()).await,
    }
}

fn granted(grants: Vec<Grant>) -> Value {
    let mut all = Map::new();
    for grant in grants {
        match grant {
            Grant::Named(name) => {
                all.insert(name, true.into());
            }
            Grant::Http(host) => {
                let hosts = all.entry("http").or_insert_with(|| json!([]));
                if let Value::Array(hosts) = hosts {
                    hosts.push(host.into());
                }
            }
        }
    }
    Value::Object(all)
}

/// Asks the class `node` of each node, and shows the components of the answers.
async fn ask(
    client: &Client,
    nodes: Vec<NodeId>,
    request: &Value,
    args: &ClassNodes,
) -> Result<(), Stop> {
    let class: ClassName = "node".parse().expect("a name");
    let class = &class;
    let asked = futures_util::stream::iter(nodes).map(|node| async move {
        let reply = client.request(&node, class, request.clone(), Some(COMPILING)).await;
        (node, reply)
    });
    let mut replies: Vec<_> = asked.buffer_unordered(PARALLEL).collect().await;
    replies.sort_by(|(one, _), (other, _)| one.cmp(other));
    let printer = Printer::new(args.format);
    if printer.is_json() {
        for (node, reply) in &replies {
            printer.json_line(&match reply {
                Ok(reply) => json!({ "node": node, "classes": list(reply) }),
                Err(error) => json!({ "node": node, "error": error }),
            })?;
        }
    } else if replies.iter().any(|(_, reply)| reply.is_ok()) {
        printer.table(table(&replies))?;
    }
    let failed: Vec<_> =
        replies.into_iter().filter_map(|(node, reply)| Some((node, reply.err()?))).collect();
    match failed.as_slice() {
        [] => Ok(()),
        [(_, error)] if args.node.is_some() => Err(error.clone().into()),
        failed => {
            for (node, error) in failed {
                note(&format!("{node}: {}", escape_line(&error.message)));
            }
            Err(Stop::Exit(PARTIAL))
        }
    }
}

fn list(reply: &Value) -> Vec<Value> {
    reply.as_array().cloned().unwrap_or_else(|| vec![reply.clone()])
}

fn table(replies: &[(NodeId, Result<Value, Failure>)]) -> Table {
    let mut table = Table::new(["NODE", "NAME", "VERSION", "CURRENT", "STATE", "TASKS", "DIGEST"]);
    for (node, reply) in replies {
        for one in reply.iter().flat_map(list) {
            let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
            table.row([
                node.to_string(),
                text("name"),
                text("version"),
                if one["current"] == true { "yes".to_owned() } else { "-".to_owned() },
                text("state"),
                one["tasks"].to_string(),
                text("digest").chars().take(12).collect(),
            ]);
        }
    }
    table
}
