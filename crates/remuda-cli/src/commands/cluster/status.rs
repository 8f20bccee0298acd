//! `remuda cluster status`: one screen that says whether the cluster is well, and why not.

use std::{collections::BTreeMap, time::Duration};

use remuda::client::{
    Client,
    dto::{Cluster, ControlNode, Problem},
};
use remuda_model::{ErrorKind, Failure, NodeId, NodeStatus};
use remuda_runtime::wall_ms;

use crate::{
    args::Format,
    error::{Stop, UNHEALTHY},
    output::{Printer, Stream, Table, ago, escape_line, fields},
};

/// How often `--watch` looks.
const AGAIN: Duration = Duration::from_secs(2);
/// Moves to the upper left corner and clears the screen.
const CLEAR: &[u8] = b"\x1b[H\x1b[2J";

/// Shows the cluster once, and ends with a code of its own when it is not well.
pub(super) async fn once(client: &Client, stale: bool, format: Format) -> Result<(), Stop> {
    let cluster = look(client, stale).await?;
    Printer::new(format).value(&cluster, screen)?;
    if cluster.healthy { Ok(()) } else { Err(Stop::Exit(UNHEALTHY)) }
}

/// Shows the cluster again and again until a signal ends it.
pub(super) async fn watch(client: &Client, stale: bool, format: Format) -> Result<(), Stop> {
    let printer = Printer::new(format);
    let clears = !format.json && Stream::Stdout.is_terminal();
    loop {
        let seen = look(client, stale).await;
        if clears {
            Stream::Stdout.write(CLEAR)?;
        }
        match seen {
            Ok(cluster) if format.json => printer.json_line(&cluster)?,
            Ok(cluster) => printer.text(&screen(&cluster))?,
            // The next look may find it.
            Err(failure) => crate::output::note(&escape_line(&failure.to_string())),
        }
        if !clears && !format.json {
            printer.text("\n")?;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// What the leader knows; without one, what the control node that was asked knows.
async fn look(client: &Client, stale: bool) -> Result<Cluster, Failure> {
    if !stale {
        match client.cluster().await {
            Err(failure) if failure.kind == ErrorKind::Unavailable => {
                return client.stale().cluster().await.map_err(|_again| failure);
            }
            answer => return answer,
        }
    }
    client.stale().cluster().await
}

fn screen(cluster: &Cluster) -> String {
    let health = match cluster.problems.len() {
        _ if cluster.healthy => "healthy".to_owned(),
        1 => "UNHEALTHY: 1 problem".to_owned(),
        n => format!("UNHEALTHY: {n} problems"),
    };
    let leader = cluster.leader.as_ref().map_or("none", NodeId::as_str);
    let mut text = fields([
        ("cluster", Some(format!("{} ({})", cluster.name, cluster.id))),
        ("health", Some(health)),
        ("leader", Some(format!("{leader}, term {}", cluster.term))),
        ("log", Some(format!("{} written, {} applied", cluster.last_log, cluster.applied))),
        ("epoch", Some(cluster.epoch.to_string())),
        ("nodes", Some(nodes(cluster.nodes, &cluster.by_status))),
    ]);
    let mut table = Table::new(["CONTROL", "ROLE", "LINK", "LAG", "CLOCK", "WORKERS", "VERSION"]);
    for control in &cluster.controls {
        let number = |number: Option<u64>| number.map(|n| n.to_string()).unwrap_or_default();
        table.row([
            control.id.to_string(),
            role(cluster, control).to_owned(),
            link(control),
            number(control.lag),
            control.clock_ahead_ms.map(|ms| format!("{ms:+} ms")).unwrap_or_default(),
            number(control.workers.map(u64::from)),
            control.version.clone().unwrap_or_default(),
        ]);
    }
    text.push('\n');
    text.push_str(&table.render());
    text.push('\n');
    for Problem { message, hint, .. } in &cluster.problems {
        let (message, hint) = (escape_line(message), escape_line(hint));
        text.extend(["\n! ", &message, "\n  ", &hint, "\n"]);
    }
    text
}

fn nodes(all: u64, by_status: &BTreeMap<NodeStatus, u64>) -> String {
    let each: Vec<_> = by_status.iter().map(|(status, n)| format!("{n} {status}")).collect();
    if each.is_empty() { all.to_string() } else { format!("{all}: {}", each.join(", ")) }
}

fn role(cluster: &Cluster, control: &ControlNode) -> &'static str {
    if cluster.leader.as_ref() == Some(&control.id) {
        "leader"
    } else if cluster.voters.contains(&control.id) {
        "voter"
    } else if cluster.learners.contains(&control.id) {
        "learner"
    } else {
        "-"
    }
}

fn link(control: &ControlNode) -> String {
    match (control.linked, control.lost_ms) {
        (true, _) if control.fault.is_some() => "stopped".to_owned(),
        (true, _) if !control.active => "inactive".to_owned(),
        (true, _) => "up".to_owned(),
        (false, Some(lost_ms)) => format!("lost {}", ago(lost_ms, wall_ms())),
        (false, None) => "none".to_owned(),
    }
}
