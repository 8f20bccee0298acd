//! `remuda fanout schedule`: runs that begin by the clock.

use std::{fmt::Write as _, time::Duration};

use remuda::client::dto::{
    CreateSchedule, Schedule, ScheduleDetail, ScheduleTargets, ScheduledRun,
};
use remuda_model::{ErrorKind, Span};
use serde_json::json;

use super::{
    spec::{self, milliseconds},
    start, targets,
};
use crate::{
    args::{AddSchedule, RunArgs, ScheduleCommand, ScheduledCommand},
    commands::{connect::client, node::done},
    environment::Environment,
    error::{Report, Stop},
    output::{Printer, Table, clock_time, escape_line},
};

pub(super) async fn run(command: ScheduleCommand, environment: &Environment) -> Result<(), Stop> {
    match command {
        ScheduleCommand::Add(args) => add(args, environment).await,
        ScheduleCommand::List { format, connect } => {
            let schedules = client(&connect, environment)?.schedules().await?;
            let printer = Printer::new(format);
            if printer.is_json() {
                return Ok(printer.json(&schedules)?);
            }
            Ok(printer.table(table(&schedules))?)
        }
        ScheduleCommand::Show(one) => {
            let found = client(&one.connect, environment)?.schedule(&one.name).await?;
            Ok(Printer::new(one.format).value(&found, shown)?)
        }
        ScheduleCommand::Pause(one) => {
            let paused = client(&one.connect, environment)?.pause_schedule(&one.name).await?;
            Ok(done(one.format, &json!(paused), &next(&paused))?)
        }
        ScheduleCommand::Resume(one) => {
            let resumed = client(&one.connect, environment)?.resume_schedule(&one.name).await?;
            Ok(done(one.format, &json!(resumed), &next(&resumed))?)
        }
        ScheduleCommand::Run(one) => {
            let view = client(&one.connect, environment)?.run_schedule(&one.name).await?;
            Ok(Printer::new(one.format).value(&view, |view| view.id.to_string())?)
        }
        ScheduleCommand::Remove(one) => {
            client(&one.connect, environment)?.remove_schedule(&one.name).await?;
            let words = format!("{} is forgotten", one.name);
            Ok(done(one.format, &json!({ "schedule": one.name, "removed": true }), &words)?)
        }
    }
}

async fn add(args: AddSchedule, environment: &Environment) -> Result<(), Stop> {
    let (prepared, target_args, run) = match args.command {
        ScheduledCommand::Http(http) => (spec::http(&http).await?, http.targets, http.run),
        ScheduledCommand::Ssh(ssh) => (spec::ssh(&ssh, environment).await?, ssh.targets, ssh.run),
        ScheduledCommand::Tcp(tcp) => (spec::tcp(&tcp).await?, tcp.targets, tcp.run),
        ScheduledCommand::Ping(ping) => (spec::ping(&ping), ping.targets, ping.run),
    };
    only_of_runs(&run)?;
    let lines = targets::lines(&target_args.source).await?;
    let wants = ScheduleTargets {
        lines,
        saved: target_args.saved.clone(),
        nodes: target_args.nodes.clone(),
    };
    if wants == ScheduleTargets::default() {
        return Err(targets::none("give --target, --targets, --saved or --nodes"));
    }
    let request = CreateSchedule {
        name: args.name,
        cron: args.cron,
        timezone: args.timezone,
        every_ms: args.every.map(milliseconds),
        spec: start::spec(prepared.command, &target_args, &run),
        targets: wants,
        secrets: prepared.secrets,
        overlap: args.overlap,
        paused: args.paused,
    };
    let made = client(&run.connect, environment)?.create_schedule(&request).await?;
    Ok(done(run.format, &json!(made), &next(&made))?)
}

/// Refuses what says something about one run only.
fn only_of_runs(args: &RunArgs) -> Result<(), Stop> {
    let given = [
        ("--id", args.id.is_some()),
        ("--detach", args.detach),
        ("--dry-run", args.dry_run),
        ("--all", args.all),
        ("--body", args.body),
        ("--raw", args.raw.raw),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((option, _)) => {
            let text = format!("{option} is for a run that begins now, not for a schedule");
            Err(Report::new(ErrorKind::Invalid, text).into())
        }
        None => Ok(()),
    }
}

/// When the next run begins, in a line.
fn next(schedule: &Schedule) -> String {
    let when = match schedule.next_ms {
        _ if schedule.paused => "is paused".to_owned(),
        Some(ms) => format!("begins its next run at {}", clock_time(ms)),
        None => "never begins a run".to_owned(),
    };
    format!("{} {when}", schedule.name)
}

fn when(schedule: &Schedule) -> String {
    match (&schedule.cron, schedule.every_ms) {
        (Some(cron), _) => {
            let zone = schedule.timezone.as_deref().filter(|zone| *zone != "UTC");
            let zone = zone.map(|zone| format!(" {zone}")).unwrap_or_default();
            escape_line(&format!("{cron}{zone}"))
        }
        (None, Some(ms)) => format!("every {}", Span(Duration::from_millis(ms))),
        (None, None) => "-".to_owned(),
    }
}

fn state(schedule: &Schedule) -> &'static str {
    match schedule {
        Schedule { paused: true, .. } => "paused",
        Schedule { running: true, .. } => "running",
        Schedule { last_error: Some(_), .. } => "failing",
        _ => "waiting",
    }
}

fn table(schedules: &[Schedule]) -> Table {
    let mut table = Table::new([
        "SCHEDULE", "WHEN", "COMMAND", "STATE", "NEXT", "LAST", "BEGUN", "SKIPPED", "MISSED",
        "FAILED",
    ]);
    for one in schedules {
        table.row([
            one.name.to_string(),
            when(one),
            escape_line(&one.command),
            state(one).to_owned(),
            one.next_ms.map_or("-".to_owned(), clock_time),
            one.last.as_ref().map_or("-".to_owned(), |last| last.run.to_string()),
            one.begun.to_string(),
            one.skipped.to_string(),
            one.missed.to_string(),
            one.failed.to_string(),
        ]);
    }
    table
}

/// All of a schedule in some lines.
fn shown(detail: &ScheduleDetail) -> String {
    let ScheduleDetail { schedule, spec, targets } = detail;
    let mut text = format!("schedule {}: {}, {}\n", schedule.name, when(schedule), state(schedule));
    let mut line = |name: &str, value: &str| {
        // Writing to a text does not fail.
        let _ = writeln!(text, "  {name:<9} {}", escape_line(value));
    };
    line("command", spec.command.as_str());
    for list in &targets.saved {
        line("saved", list.as_str());
    }
    if let Some(on) = &targets.nodes {
        line("nodes", &on.to_string());
    }
    for target in &targets.lines {
        line("targets", target);
    }
    if let Some(next_ms) = schedule.next_ms {
        line("next", &clock_time(next_ms));
    }
    let run = |run: &ScheduledRun| format!("{} at {}", run.run, run.coordinator);
    if let Some(pending) = &schedule.pending {
        line("begins", &run(pending));
    }
    if let Some(last) = &schedule.last {
        let goes_on = if schedule.running { ", goes on" } else { "" };
        line("last", &format!("{}{goes_on}", run(last)));
    }
    let (begun, skipped) = (schedule.begun, schedule.skipped);
    let (missed, failed) = (schedule.missed, schedule.failed);
    line("runs", &format!("{begun} begun, {skipped} skipped, {missed} missed, {failed} failed"));
    if let Some(error) = &schedule.last_error {
        line("failed", &format!("{}: {}", clock_time(error.at_ms), error.message));
    }
    text
}
