//! `remuda event`.

use std::time::Duration;

use remuda::client::{Client, EventMessage, EventStream, dto::EventQuery};
use remuda_model::{Event, EventBody, Failure};
use remuda_runtime::{Backoff, wall_ms};

use super::connect::client;
use crate::{
    args::EventArgs,
    environment::Environment,
    error::Stop,
    output::{Printer, clock_time, escape_line, note},
};

/// Silence after which nothing that is kept is still to come.
const SILENCE: Duration = Duration::from_secs(1);

pub(super) async fn run(args: EventArgs, environment: &Environment) -> Result<(), Stop> {
    let client = client(&args.connect, environment)?;
    let printer = Printer::new(args.format);
    let mut node = args.node;
    if let (None, Some(task), false) = (&node, &args.task, args.follow) {
        // What is kept of a task is kept with the events of its node.
        node = Some(client.task(task, None).await?.node);
    }
    let after = args.after.or_else(|| (node.is_some() && !args.follow).then_some(0));
    let query = EventQuery { node, class: args.class, task: args.task, after };
    if args.follow {
        return follow(&client, &query, printer).await;
    }
    let mut stream = client.events(&query, None).await?;
    while let Ok(message) = tokio::time::timeout(SILENCE, stream.next()).await {
        match message? {
            Some(message) => print(printer, &message)?,
            None => break,
        }
    }
    Ok(())
}

/// Prints until interrupted; a broken stream is taken up where it ended.
async fn follow(client: &Client, query: &EventQuery, printer: Printer) -> Result<(), Stop> {
    let mut backoff = Backoff::for_links(wall_ms());
    let mut last: Option<String> = None;
    let mut stream = client.events(query, None).await?;
    loop {
        let broken = pump(&mut stream, printer, &mut backoff).await?;
        last = stream.last_id().map(str::to_owned).or(last);
        note(&format!("the stream ended ({}); connecting again", escape_line(&broken)));
        stream = loop {
            tokio::time::sleep(backoff.next_delay()).await;
            match client.events(query, last.as_deref()).await {
                Ok(stream) => break stream,
                Err(failure) if is_final(&failure) => return Err(failure.into()),
                Err(failure) => note(&escape_line(&failure.message)),
            }
        };
    }
}

/// Prints until the stream ends, and says why it did.
async fn pump(
    stream: &mut EventStream,
    printer: Printer,
    backoff: &mut Backoff,
) -> Result<String, Stop> {
    loop {
        match stream.next().await {
            Ok(Some(message)) => {
                backoff.reset();
                print(printer, &message)?;
            }
            Ok(None) => return Ok("closed".to_owned()),
            Err(failure) => return Ok(failure.message),
        }
    }
}

/// Whether asking again cannot help.
fn is_final(failure: &Failure) -> bool {
    use remuda_model::ErrorKind as Kind;
    matches!(failure.kind, Kind::Invalid | Kind::Unauthenticated | Kind::Forbidden | Kind::NotFound)
}

fn print(printer: Printer, message: &EventMessage) -> Result<(), Stop> {
    match message {
        EventMessage::Event(event) if printer.is_json() => Ok(printer.json_line(event)?),
        EventMessage::Event(event) => Ok(printer.line(&line(event))?),
        EventMessage::Gap(gap) if printer.is_json() => Ok(printer.json_line(gap)?),
        EventMessage::Gap(gap) => {
            note(&format!("events are missing: {}", escape_line(&gap.message)));
            Ok(())
        }
    }
}

fn line(event: &Event) -> String {
    let what = match &event.body {
        EventBody::NodeStatus { status } => format!("is {status}"),
        EventBody::TaskStarted { class, task } => format!("started {class} task {task}"),
        EventBody::TaskEnded { class, task, end } => format!("ended {class} task {task}: {end}"),
        EventBody::Class { class, task: Some(task), payload } => {
            format!("{class} task {task}: {payload}")
        }
        EventBody::Class { class, task: None, payload } => format!("{class}: {payload}"),
        EventBody::Gap { from, to } => format!("lost its events {from} to {to}"),
    };
    format!("{}  {}  #{}  {what}", clock_time(event.time_ms), event.node, event.seq)
}
