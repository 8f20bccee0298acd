//! `remuda debug`.

mod archive;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use futures_util::{StreamExt as _, stream};
use remuda::client::{Client, dto::TaskQuery};
use remuda_model::{ErrorKind, Failure, NodeId, VERSION};
use remuda_runtime::wall_ms;
use serde::Serialize;
use serde_json::{Value, json};

use self::archive::Archive;
use super::connect::client;
use crate::{
    args::{DebugCommand, Format},
    environment::Environment,
    error::{Report, Stop},
    logging::redact,
    output::{Printer, bytes, clock_time, fields, note},
};

/// Nodes that are asked; more would not help anybody.
const MAX_NODES: usize = 200;
/// Nodes that are asked at a time.
const AT_A_TIME: usize = 16;
/// How long one node may take.
const ASKED: Duration = Duration::from_secs(10);

pub(super) async fn run(command: DebugCommand, environment: &Environment) -> Result<(), Stop> {
    let DebugCommand::Bundle { output, node, format, connect } = command;
    let client = client(&connect, environment)?;
    let made_ms = wall_ms();
    let output = output.unwrap_or_else(|| {
        let time = clock_time(made_ms).replace([':', '.'], "-");
        PathBuf::from(format!("remuda-debug-{time}.tar.gz"))
    });
    if output.exists() {
        let message = format!("`{}` exists", output.display());
        return Err(Report::new(ErrorKind::Exists, message).hint("choose another file").into());
    }
    let bundle = collect(&client, node, made_ms).await?;
    let archive = bundle.archive.write(&output).map_err(|error| {
        Report::new(ErrorKind::Invalid, format!("cannot write `{}`", output.display()))
            .caused_by(&error)
    })?;
    said(&output, archive, &bundle.nodes, format)
}

/// What was collected.
struct Bundle {
    archive: Archive,
    /// Each node that was asked, and why it gave nothing.
    nodes: Vec<(NodeId, Option<String>)>,
}

async fn collect(client: &Client, only: Vec<NodeId>, made_ms: u64) -> Result<Bundle, Stop> {
    // Without a leader too.
    let stale = client.stale();
    let mut archive = Archive::default();
    let version = client.version().await?;
    let cluster = stale.cluster().await;
    let nodes = stale.nodes().await;
    let known: Vec<NodeId> =
        nodes.iter().flatten().map(|node| node.id.clone()).take(MAX_NODES).collect();
    let asked = if only.is_empty() { known } else { only };
    let left_out = nodes.as_ref().map_or(0, Vec::len).saturating_sub(asked.len());
    archive.json("cluster.json", &outcome(cluster));
    archive.json("nodes.json", &outcome(nodes));
    archive.json("tasks.json", &tasks(client).await);
    match client.metrics().await {
        Ok(text) => archive.text("metrics.txt", text),
        Err(failure) => archive.text("metrics.txt", failure.to_string()),
    }
    let mut answers: Vec<(NodeId, Result<Value, Failure>)> = stream::iter(asked)
        .map(async |node| {
            let class = "node".parse().expect("a word is a class name");
            let answer = client.request(&node, &class, json!("debug"), Some(ASKED)).await;
            (node, answer)
        })
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await;
    answers.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut seen = Vec::new();
    for (node, answer) in answers {
        match answer {
            Ok(said) => {
                put(&mut archive, &node, said);
                seen.push((node, None));
            }
            Err(failure) => seen.push((node, Some(redact(&failure.to_string())))),
        }
    }
    let silent: BTreeMap<&str, &String> =
        seen.iter().filter_map(|(node, why)| Some((node.as_str(), why.as_ref()?))).collect();
    archive.json(
        "bundle.json",
        &json!({
            "made": clock_time(made_ms),
            "cli": VERSION,
            "api": version,
            "os": std::env::consts::OS,
            "arch": std::env::consts::ARCH,
            "nodes_without_answer": silent,
            "nodes_left_out": left_out,
        }),
    );
    Ok(Bundle { archive, nodes: seen })
}

/// One node: long texts as files of their own.
fn put(archive: &mut Archive, node: &NodeId, mut said: Value) {
    let mut take = |pointer: &str| said.pointer_mut(pointer).map(Value::take);
    let log = take("/program/program/log");
    let texts = [
        ("metrics.txt", take("/program/metrics")),
        ("process.txt", take("/process")),
        ("replica.txt", take("/program/replica")),
    ];
    for (file, text) in texts {
        if let Some(Value::String(text)) = text {
            archive.text(&format!("nodes/{node}/{file}"), text);
        }
    }
    if let Some(Value::Array(lines)) = log {
        let lines: Vec<_> = lines.iter().filter_map(Value::as_str).collect();
        archive.text(&format!("nodes/{node}/log.txt"), lines.join("\n"));
    }
    archive.json(&format!("nodes/{node}/node.json"), &said);
}

/// How many tasks there are; their words are their users'.
async fn tasks(client: &Client) -> Value {
    match client.tasks(&TaskQuery::default()).await {
        Ok(list) => json!({ "tasks": list.tasks.len(), "unreachable": list.unreachable }),
        Err(failure) => json!({ "failure": failure }),
    }
}

fn outcome<T: Serialize>(outcome: Result<T, Failure>) -> Value {
    match outcome {
        Ok(value) => json!(value),
        Err(failure) => json!({ "failure": failure }),
    }
}

fn said(
    output: &std::path::Path,
    size: u64,
    nodes: &[(NodeId, Option<String>)],
    format: Format,
) -> Result<(), Stop> {
    let silent: Vec<_> = nodes.iter().filter(|(_, why)| why.is_some()).collect();
    let answered = nodes.len() - silent.len();
    let data = json!({
        "file": output,
        "bytes": size,
        "nodes": answered,
        "without_answer": silent.iter().map(|(node, _)| node).collect::<Vec<_>>(),
    });
    let words = fields([
        ("file", Some(format!("{} ({})", output.display(), bytes(size)))),
        ("nodes", Some(format!("{answered} of {} answered", nodes.len()))),
    ]);
    Printer::new(format).value(&data, |_data| words)?;
    for (node, why) in silent {
        note(&crate::output::escape_line(&format!("{node}: {}", why.as_deref().unwrap_or("?"))));
    }
    note("\nLook into it before you send it: names, labels and addresses of nodes are in it.");
    Ok(())
}
