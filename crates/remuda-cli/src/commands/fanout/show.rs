//! Runs, groups and differences in words and tables.

use std::fmt::Write as _;

use remuda::client::{
    Client,
    dto::{DiffQuery, GroupQuery},
};
use remuda_model::{
    RunId,
    run::{Outcome, RunState, RunView},
};
use remuda_run::{Diff, Groups, diff::Side, group::Group};
use remuda_runtime::wall_ms;

use super::results::milliseconds;
use crate::{
    args::Format,
    error::{PrintError, Stop},
    output::{Printer, Table, ago, escape_line, note},
};

pub(super) async fn list(client: &Client, format: Format) -> Result<(), Stop> {
    let found = client.runs().await?;
    let printer = Printer::new(format);
    if printer.is_json() {
        return Ok(printer.json(&found)?);
    }
    let mut table =
        Table::new(["RUN", "NAME", "COMMAND", "STATE", "DONE", "OK", "AGE", "COORDINATOR"]);
    let now = wall_ms();
    for run in &found.runs {
        let ok = run.counts.get(&Outcome::Ok).copied().unwrap_or(0);
        table.row([
            run.id.to_string(),
            escape_line(run.spec.name.as_deref().unwrap_or("-")),
            run.spec.command.as_str().to_owned(),
            run.state.to_string(),
            format!("{}/{}", run.done, run.targets),
            ok.to_string(),
            ago(run.created_ms, now),
            run.coordinator.to_string(),
        ]);
    }
    printer.table(table)?;
    for control in &found.unreachable {
        note(&format!("control node {control} does not answer; its runs are missing"));
    }
    Ok(())
}

pub(super) async fn one(client: &Client, run: &RunId, format: Format) -> Result<(), Stop> {
    let view = client.run(run).await?;
    let printer = Printer::new(format);
    if printer.is_json() {
        return Ok(printer.json(&view)?);
    }
    summary(printer, &view)?;
    if !view.workers.is_empty() {
        let mut table = Table::new(["WORKER", "DONE", "IN FLIGHT", "WINDOW", "RATE/S"]);
        for (node, share) in &view.workers {
            table.row([
                node.to_string(),
                share.done.to_string(),
                share.in_flight.to_string(),
                if share.connected { share.window.to_string() } else { "-".to_owned() },
                format!("{:.0}", share.rate),
            ]);
        }
        printer.table(table)?;
    }
    if !view.slowest.is_empty() {
        let mut table = Table::new(["SLOWEST", "TOOK"]);
        for slow in &view.slowest {
            table.row([escape_line(&slow.host), milliseconds(slow.duration_us)]);
        }
        printer.table(table)?;
    }
    Ok(())
}

/// A run in a few lines.
pub(super) fn summary(printer: Printer, view: &RunView) -> Result<(), PrintError> {
    let name = view.spec.name.as_deref().map(|name| format!(" ({})", escape_line(name)));
    let mut text = format!(
        "run {}{}: {}, {} of {} targets\n",
        view.id,
        name.unwrap_or_default(),
        view.state,
        view.done,
        view.targets
    );
    if let Some(reason) = &view.reason {
        let _ = writeln!(text, "  {}", escape_line(reason));
    }
    let copy = view.standby.as_ref().map(|standby| format!(", second copy at {standby}"));
    let _ = writeln!(text, "  coordinated by {}{}", view.coordinator, copy.unwrap_or_default());
    let counts: Vec<String> =
        view.counts.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    if !counts.is_empty() {
        let _ = writeln!(text, "  {}", counts.join(", "));
    }
    if let (Some(start), Some(end)) = (view.started_ms, view.ended_ms) {
        let took = end.saturating_sub(start);
        let _ = writeln!(
            text,
            "  took {}.{:03} s, {:.0} a second",
            took / 1000,
            took % 1000,
            view.rate
        );
    }
    if let Some([half, most, nearly_all, all]) = view.latency_us {
        let _ = writeln!(
            text,
            "  answers within {} (50 %), {} (90 %), {} (99 %), {} (all)",
            milliseconds(half),
            milliseconds(most),
            milliseconds(nearly_all),
            milliseconds(all)
        );
    }
    printer.text(&text)
}

/// How it goes, in a line.
pub(super) fn progress(view: &RunView) -> String {
    if let Some(reason) = &view.reason {
        return format!("{}: {}", view.state, escape_line(reason));
    }
    let mut text: Vec<String> =
        view.counts.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    if view.state == RunState::Running && view.rate >= 1.0 {
        let left = f64::from(view.targets - view.done.min(view.targets)) / view.rate;
        text.push(format!("{:.0}/s", view.rate));
        text.push(format!("{left:.0} s left"));
    } else {
        text.push(view.state.to_string());
    }
    text.join(", ")
}

pub(super) async fn groups(
    client: &Client,
    run: &RunId,
    (by, hosts, outcome): (String, u32, Option<String>),
    format: Format,
) -> Result<(), Stop> {
    let query = GroupQuery { by, hosts: Some(hosts), outcome, ..GroupQuery::default() };
    let groups: Groups = client.run_groups(run, &query).await?;
    let printer = Printer::new(format);
    if printer.is_json() {
        return Ok(printer.json(&groups)?);
    }
    let mut table = Table::new(["COUNT", "VALUE", "HOSTS"]);
    for group in &groups.list {
        let mut hosts = group.hosts.join(" ");
        if group.hosts.len() < group.count as usize {
            hosts.push_str(" …");
        }
        table.row([group.count.to_string(), escape_line(value_of(group)), escape_line(&hosts)]);
    }
    printer.table(table)?;
    if groups.other > 0 {
        note(&format!("{} targets are in further groups", groups.other));
    }
    Ok(())
}

pub(super) async fn diff(
    client: &Client,
    (before, after): (&RunId, &RunId),
    hosts: u32,
    format: Format,
) -> Result<(), Stop> {
    let query = DiffQuery { with: after.clone(), hosts: Some(hosts) };
    let diff: Diff = client.run_diff(before, &query).await?;
    let printer = Printer::new(format);
    if printer.is_json() {
        return Ok(printer.json(&diff)?);
    }
    let mut table = Table::new(["CHANGE", "COUNT", "HOST", "BEFORE", "AFTER"]);
    for (change, listed) in [("only before", &diff.only_before), ("only after", &diff.only_after)] {
        for (at, host) in listed.first.iter().enumerate() {
            let count = if at == 0 { listed.count.to_string() } else { String::new() };
            table.row([change.to_owned(), count, escape_line(host), String::new(), String::new()]);
        }
    }
    for (change, listed) in [
        ("outcome", &diff.outcome),
        ("trouble", &diff.trouble),
        ("status", &diff.status),
        ("answer", &diff.answer),
    ] {
        for (at, changed) in listed.first.iter().enumerate() {
            let count = if at == 0 { listed.count.to_string() } else { String::new() };
            let host = escape_line(&changed.host);
            let (before, after) = (side(&changed.before), side(&changed.after));
            table.row([change.to_owned(), count, host, before, after]);
        }
    }
    printer.table(table)?;
    note(&format!("{} targets did the same", diff.unchanged));
    Ok(())
}

fn side(side: &Side) -> String {
    let status = side.status.map(|status| format!(" {status}")).unwrap_or_default();
    let trouble = side.trouble.map(|trouble| format!(" ({trouble})")).unwrap_or_default();
    format!("{}{status}{trouble}", side.outcome)
}

/// What a group has in common, as far as there is such a thing.
fn value_of(group: &Group) -> &str {
    group.line.as_deref().or(group.value.as_deref()).unwrap_or("(no match)")
}
