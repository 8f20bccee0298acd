//! `remuda task`.

use remuda::client::{
    Client,
    dto::{OutputLine, StartTask, TaskQuery},
};
use remuda_model::{ErrorKind, TaskId, TaskRecord};
use remuda_runtime::wall_ms;
use serde_json::json;

use super::{connect::client, each::each, exec::Sink, input, node::done, select};
use crate::{
    args::{Many, TaskArgs, TaskCommand, ToClass},
    environment::Environment,
    error::{PARTIAL, Report, Stop},
    output::{Printer, Table, ago, clock_time, fields, note},
};

pub(super) async fn run(command: TaskCommand, environment: &Environment) -> Result<(), Stop> {
    match command {
        TaskCommand::Start { words, id, many, format, connect } => {
            let words = ToClass::read(&words, &many)
                .map_err(|reason| Report::new(ErrorKind::Invalid, reason))?;
            let client = client(&connect, environment)?;
            start(&client, words, id, &many, Printer::new(format)).await
        }
        TaskCommand::List { node, class, running, format, connect } => {
            let client = client(&connect, environment)?;
            let query = TaskQuery { node, class, running };
            list(&client, &query, Printer::new(format)).await
        }
        TaskCommand::Show(args) => {
            let record =
                client(&args.connect, environment)?.task(&args.task, args.node.as_ref()).await?;
            Ok(Printer::new(args.format).value(&record, describe)?)
        }
        TaskCommand::Logs { task, follow, offset, raw } => {
            let client = client(&task.connect, environment)?;
            let sink = Sink::plain(task.format, raw);
            logs(&client, &task, (offset, follow), sink).await
        }
        TaskCommand::Send { task, payload, timeout } => {
            let payload = input::json(&payload).await?;
            let client = client(&task.connect, environment)?;
            let timeout = timeout.map(|span| span.0);
            let reply = client.command(&task.task, task.node.as_ref(), payload, timeout).await?;
            let printer = Printer::new(task.format);
            // Most classes have nothing to say to most commands.
            if reply.is_null() && !printer.is_json() {
                return Ok(());
            }
            Ok(printer.json(&reply)?)
        }
        TaskCommand::Stop { task, grace } => {
            let client = client(&task.connect, environment)?;
            client.stop_task(&task.task, task.node.as_ref(), Some(grace.0)).await?;
            let words = format!("asked {} to stop", task.task);
            Ok(done(task.format, &json!({ "task": task.task, "asked": "stop" }), &words)?)
        }
        TaskCommand::Remove(args) => {
            let client = client(&args.connect, environment)?;
            client.forget_task(&args.task, args.node.as_ref()).await?;
            let words = format!("{} is forgotten", args.task);
            Ok(done(args.format, &json!({ "task": args.task, "removed": true }), &words)?)
        }
    }
}

/// Starts a task on one node, or one on each of many.
async fn start(
    client: &Client,
    words: ToClass<'_>,
    id: Option<TaskId>,
    many: &Many,
    printer: Printer,
) -> Result<(), Stop> {
    let spec = input::json(words.payload).await?;
    let task = |node| {
        // An id of our own makes it safe to ask again after a lost answer.
        let id = Some(id.clone().unwrap_or_else(TaskId::random));
        StartTask { node, class: words.class.clone(), spec: spec.clone(), id }
    };
    if let Some(node) = words.node.clone() {
        let record = client.start_task(&task(node)).await?;
        return Ok(printer.value(&record, |record| record.id.to_string())?);
    }
    let nodes = select::nodes(client, many.on.as_ref()).await?;
    let task = &task;
    let ask = |node| async move { client.start_task(&task(node)).await };
    each(&nodes, many.parallel, printer, ask, |node, record| {
        if printer.is_json() {
            return printer.json_line(&json!({ "node": node, "task": record }));
        }
        printer.line(&format!("{node} | {}", record.id))
    })
    .await
}

async fn list(client: &Client, query: &TaskQuery, printer: Printer) -> Result<(), Stop> {
    let found = client.tasks(query).await?;
    if printer.is_json() {
        printer.json(&found)?;
    } else {
        let now = wall_ms();
        let mut table = Table::new(["TASK", "NODE", "CLASS", "STATE", "STARTED", "SUMMARY"]);
        for task in &found.tasks {
            table.row([
                task.id.to_string(),
                task.node.to_string(),
                task.class.to_string(),
                state(task),
                ago(task.started_ms, now),
                task.summary.chars().take(60).collect(),
            ]);
        }
        printer.table(table)?;
    }
    if found.unreachable.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = found.unreachable.iter().map(ToString::to_string).collect();
    note(&format!("some nodes could not be asked: {}", names.join(", ")));
    Err(Stop::Exit(PARTIAL))
}

fn state(task: &TaskRecord) -> String {
    task.end.as_ref().map_or_else(|| task.state.to_string(), ToString::to_string)
}

fn describe(task: &TaskRecord) -> String {
    fields([
        ("task", Some(task.id.to_string())),
        ("node", Some(task.node.to_string())),
        ("class", Some(task.class.to_string())),
        ("state", Some(task.state.to_string())),
        ("end", task.end.as_ref().map(ToString::to_string)),
        ("summary", Some(task.summary.clone())),
        ("started", Some(clock_time(task.started_ms))),
        ("ended", task.ended_ms.map(clock_time)),
        ("boot", Some(task.generation.to_string())),
    ])
}

async fn logs(
    client: &Client,
    args: &TaskArgs,
    (offset, follow): (u64, bool),
    mut sink: Sink,
) -> Result<(), Stop> {
    let mut stream = client.output(&args.task, args.node.as_ref(), offset, follow).await?;
    while let Some(line) = stream.next().await? {
        sink.line(&line)?;
        if let OutputLine::End { end } = &line {
            sink.finish()?;
            note(&format!("{} has ended: {end}", args.task));
        }
    }
    Ok(sink.finish()?)
}
