//! The same command on several nodes at once.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use remuda::client::{
    Client,
    dto::{ExecRequest, OutputLine},
};
use remuda_model::{Failure, NodeId, TaskEnd, TaskRecord};

use super::{Sink, outcome};
use crate::{
    args::ExecArgs,
    error::{PARTIAL, Stop},
    output::{Printer, Table, escape_line, note},
};

/// What came out on one node.
struct Outcome {
    node: NodeId,
    result: Result<Finished, Failure>,
}

enum Finished {
    Ended(TaskEnd),
    Detached(Box<TaskRecord>),
}

impl Outcome {
    /// What is to be said about it when it did not go well.
    fn complaint(&self) -> Option<String> {
        match &self.result {
            Err(failure) => Some(failure.message.clone()),
            Ok(Finished::Ended(end)) if !end.success() => Some(end.to_string()),
            Ok(_) => None,
        }
    }
}

pub(super) async fn run(
    client: &Client,
    nodes: &[NodeId],
    request: &ExecRequest,
    args: &ExecArgs,
) -> Result<(), Stop> {
    let width = nodes.iter().map(|node| node.as_str().len()).max().unwrap_or(0);
    let bar = Arc::new(progress(nodes.len()));
    let mut running = futures_util::stream::iter(nodes)
        .map(|node| {
            let sink = Sink::prefixed(args.format, args.raw, node, width, bar.clone());
            one(client, node, request, sink)
        })
        .buffer_unordered(usize::from(args.parallel));
    let mut outcomes = Vec::new();
    while let Some(outcome) = running.next().await {
        outcomes.push(outcome?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    outcomes.sort_by(|left, right| left.node.cmp(&right.node));
    if args.detach {
        print_tasks(Printer::new(args.format), &outcomes)?;
    }
    summarize(&outcomes)
}

/// Runs on one node. Only a broken output ends the whole; what the node says is an outcome.
async fn one(
    client: &Client,
    node: &NodeId,
    request: &ExecRequest,
    mut sink: Sink,
) -> Result<Outcome, Stop> {
    let result = if request.detach {
        let started = client.exec_detached(node, request).await;
        started.map(|record| Finished::Detached(Box::new(record)))
    } else {
        attached(client, node, request, &mut sink).await?
    };
    if let Err(error) = &result {
        sink.line(&OutputLine::Failed { error: error.clone() })?;
    }
    sink.finish()?;
    Ok(Outcome { node: node.clone(), result })
}

async fn attached(
    client: &Client,
    node: &NodeId,
    request: &ExecRequest,
    sink: &mut Sink,
) -> Result<Result<Finished, Failure>, Stop> {
    let mut stream = match client.exec(node, request).await {
        Ok(stream) => stream,
        Err(failure) => return Ok(Err(failure)),
    };
    let mut result = Err(Failure::failed("the output ended without saying how"));
    loop {
        match stream.next().await {
            Ok(Some(line)) => {
                sink.line(&line)?;
                if let OutputLine::End { end } = line {
                    result = outcome::exit_code(&end).map(|_code| Finished::Ended(end));
                }
            }
            Ok(None) => return Ok(result),
            Err(failure) => return Ok(Err(failure)),
        }
    }
}

/// A bar on a terminal, nothing elsewhere.
fn progress(n_nodes: usize) -> ProgressBar {
    let terminal = crate::output::Stream::Stderr.is_terminal();
    let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(u64::try_from(n_nodes).ok(), target);
    if let Ok(style) = ProgressStyle::with_template("{elapsed} {wide_bar} {pos}/{len} nodes") {
        bar.set_style(style);
    }
    if terminal {
        bar.enable_steady_tick(Duration::from_millis(200));
    }
    bar
}

fn print_tasks(printer: Printer, outcomes: &[Outcome]) -> Result<(), Stop> {
    let records: Vec<_> = (outcomes.iter())
        .filter_map(|outcome| match &outcome.result {
            Ok(Finished::Detached(record)) => Some(record),
            _ => None,
        })
        .collect();
    if printer.is_json() {
        return Ok(printer.json(&records)?);
    }
    let mut table = Table::new(["NODE", "TASK"]);
    for record in records {
        table.row([record.node.to_string(), record.id.to_string()]);
    }
    Ok(printer.table(table)?)
}

fn summarize(outcomes: &[Outcome]) -> Result<(), Stop> {
    let complaints: Vec<_> = (outcomes.iter())
        .filter_map(|outcome| Some((&outcome.node, outcome.complaint()?)))
        .collect();
    for (node, complaint) in &complaints {
        note(&format!("{node}: {}", escape_line(complaint)));
    }
    let n_failed = complaints.len();
    note(&format!("{} ok, {n_failed} failed, {} nodes", outcomes.len() - n_failed, outcomes.len()));
    if n_failed > 0 { Err(Stop::Exit(PARTIAL)) } else { Ok(()) }
}
