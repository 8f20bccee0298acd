//! `remuda exec`: one command on one node, or on many side by side.

mod many;
mod outcome;
mod sink;

use remuda::client::{
    Client,
    dto::{ExecRepository, ExecRequest, OutputLine},
};
use remuda_model::{Failure, NodeId, TaskEnd};

use super::{connect::client, input, select, upload};
use crate::{
    args::ExecArgs,
    environment::Environment,
    error::Stop,
    output::{Printer, note},
};

pub(super) use sink::Sink;

pub(super) async fn run(args: ExecArgs, environment: &Environment) -> Result<(), Stop> {
    let client = client(&args.connect, environment)?;
    let mut request = request(&args).await?;
    let nodes = match &args.node {
        Some(node) => vec![node.clone()],
        None => select::nodes(&client, args.on.as_ref()).await?,
    };
    if let Some(path) = &args.send {
        request.file = Some(upload::to_run(&client, path, &nodes).await?);
    }
    let Some(node) = args.node.clone() else {
        return many::run(&client, &nodes, &request, &args).await;
    };
    if args.detach {
        let record = client.exec_detached(&node, &request).await?;
        return Ok(Printer::new(args.format).value(&record, |record| record.id.to_string())?);
    }
    let mut sink = Sink::plain(args.format, args.raw);
    let end = one(&client, &node, &request, &mut sink).await?;
    match outcome::exit_code(&end)? {
        0 => Ok(()),
        code => {
            if !matches!(end, TaskEnd::Exited { status: remuda_model::ExitStatus::Code(_), .. }) {
                note(&format!("{node}: {end}"));
            }
            Err(Stop::Exit(code))
        }
    }
}

async fn request(args: &ExecArgs) -> Result<ExecRequest, Stop> {
    let stdin = if args.stdin { Some(input::stdin().await?) } else { None };
    let timeout_ms = args.timeout.map(|span| u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX));
    Ok(ExecRequest {
        argv: args.command.clone(),
        env: args.env.iter().cloned().collect(),
        clear_env: args.clear_env,
        cwd: args.cwd.clone(),
        user: args.user.clone(),
        repository: args.clone.clone().map(|url| repository(url, args)),
        stdin,
        timeout_ms,
        detach: args.detach,
        ..ExecRequest::default()
    })
}

fn repository(url: String, args: &ExecArgs) -> ExecRepository {
    let by_shell = |line: &String| vec!["sh".to_owned(), "-c".to_owned(), line.clone()];
    ExecRepository {
        url,
        revision: args.revision.clone(),
        dir: args.dir.clone(),
        pre: args.pre.iter().map(by_shell).collect(),
        post: args.post.iter().map(by_shell).collect(),
    }
}

/// Runs the command on one node to its end.
async fn one(
    client: &Client,
    node: &NodeId,
    request: &ExecRequest,
    sink: &mut Sink,
) -> Result<TaskEnd, Stop> {
    let mut stream = client.exec(node, request).await?;
    let mut ended = None;
    while let Some(line) = stream.next().await? {
        sink.line(&line)?;
        if let OutputLine::End { end } = line {
            ended = Some(end);
        }
    }
    sink.finish()?;
    ended.ok_or_else(|| Failure::failed("the output ended without saying how").into())
}
