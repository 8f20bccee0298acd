//! Starts a run, and goes with it to its end.

use remuda::client::dto::CreateRun;
use remuda_model::{
    Failure, RunId,
    run::{Command, Limits, Priority, RunSpec},
};
use serde_json::json;

use super::{
    follow,
    spec::{Prepared, milliseconds},
    targets,
};
use crate::{
    args::{RunArgs, TargetArgs},
    commands::{connect::client, interruptible},
    environment::Environment,
    error::Stop,
    output::{Printer, escape_line, note},
};

/// How many targets a dry run shows.
const SHOWN: usize = 3;

pub(super) async fn run(
    prepared: Prepared,
    (target_args, args): (TargetArgs, RunArgs),
    environment: &Environment,
) -> Result<(), Stop> {
    let Prepared { command, secrets } = prepared;
    let spec = spec(command, &target_args, &args);
    let checked = remuda_run::check(&spec, &secrets)?;
    let mut saved = Vec::new();
    for list in &target_args.saved {
        saved.push(client(&args.connect, environment)?.target_list(list).await?);
    }
    let chosen = targets::choose(&target_args, &saved).await?;
    if let targets::Chosen::Targets(targets) = &chosen {
        remuda_run::check_targets(&checked, targets)?;
    }
    if args.dry_run {
        return dry_run(&spec, &checked, &chosen, &args);
    }
    let client = client(&args.connect, environment)?;
    // Known before the call, so that it can be repeated when its answer is lost.
    let id = args.id.clone().unwrap_or_else(RunId::random);
    let created = async {
        let targets = targets::bring(&client, chosen).await?;
        let request = CreateRun { id: Some(id.clone()), spec, targets, secrets };
        Ok::<_, Stop>(client.create_run(&request).await?)
    };
    let mut view = None;
    let creating = interruptible(async {
        view = Some(created.await?);
        Ok(())
    });
    Box::pin(creating).await?;
    let Some(view) = view else { return Ok(()) };
    if args.detach {
        return Ok(Printer::new(args.format).value(&view, |view| view.id.to_string())?);
    }
    note(&format!("run {} for {} targets", view.id, view.targets));
    Box::pin(follow::follow(&client, &view, &args)).await
}

/// What a run does.
pub(super) fn spec(command: Command, target_args: &TargetArgs, args: &RunArgs) -> RunSpec {
    RunSpec {
        name: args.name.clone(),
        command,
        vars: target_args.vars.iter().cloned().collect(),
        limits: limits(args),
        on: args.on.clone(),
        from_each: args.from_each.clone(),
        at_most_once: args.at_most_once,
        priority: match args.priority.as_str() {
            "low" => Priority::Low,
            "high" => Priority::High,
            _ => Priority::Normal,
        },
    }
}

fn limits(args: &RunArgs) -> Limits {
    Limits {
        concurrency: args.concurrency,
        per_worker: args.per_worker,
        rate: args.rate,
        adaptive: !args.fixed,
        connect_ms: milliseconds(args.connect_timeout).min(milliseconds(args.timeout)),
        first_byte_ms: milliseconds(args.first_byte_timeout).min(milliseconds(args.timeout)),
        total_ms: milliseconds(args.timeout),
        retries: args.retries,
        deadline_ms: args.deadline.map(milliseconds),
    }
}

/// Shows what would be sent to the first targets.
fn dry_run(
    spec: &RunSpec,
    checked: &remuda_run::Checked,
    chosen: &targets::Chosen,
    args: &RunArgs,
) -> Result<(), Stop> {
    let printer = Printer::new(args.format);
    let targets::Chosen::Targets(targets) = chosen else {
        let failure = Failure::invalid("the cluster knows its nodes; a dry run asks nobody");
        return Err(failure.hint("give hosts instead of --nodes").into());
    };
    let mut shown = Vec::new();
    for target in targets.iter().take(SHOWN) {
        let expanded = remuda_run::expand(checked, target);
        shown.push(expanded.map_err(|error| Failure::invalid(error.to_string()))?);
    }
    if printer.is_json() {
        let shown: Vec<_> =
            shown.iter().map(|one| json!({ "host": one.host, "text": one.lines })).collect();
        return Ok(
            printer.json(&json!({ "spec": spec, "targets": targets.len(), "first": shown }))?
        );
    }
    for one in &shown {
        printer.line(&one.host)?;
        for line in &one.lines {
            printer.text(&format!("  {}\n", escape_line(line)))?;
        }
    }
    note(&format!("{} targets; none was contacted", targets.len()));
    Ok(())
}
