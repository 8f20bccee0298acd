//! Judges whether the cluster is well, and says what to do where it is not. Pure.

use std::collections::BTreeMap;

use remuda_model::{NodeId, NodeStatus, NodeView};
use remuda_store::Leadership;

use super::ControlView;

/// How many log entries a control node may be behind before that is worth a word.
const LAG: u64 = 1000;
/// How far apart clocks may be, in milliseconds.
const SKEW_MS: u64 = 5_000;
/// Certificates are renewed with ten days left; with less than this, renewal does not work.
const CERTIFICATE_MS: u64 = 7 * 24 * 60 * 60 * 1000;
/// The part of a small file system that should be free: one twentieth.
const FREE_PART: u64 = 20;
/// What is enough on a large one, in bytes: several times what a control node keeps.
const FREE_BYTES: u64 = 5 * 1024 * 1024 * 1024;
/// How many names a sentence lists.
const NAMES: usize = 5;

/// Something that needs attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A stable word.
    pub code: &'static str,
    /// What it is, for people.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// What the judgement rests on.
pub(super) struct Sight<'a> {
    pub me: &'a NodeId,
    pub leadership: &'a Leadership,
    pub controls: &'a [ControlView],
    pub nodes: &'a [NodeView],
    /// Until when the newest certificate of each node holds.
    pub certificates: &'a BTreeMap<NodeId, u64>,
    pub now_ms: u64,
}

/// What needs attention, the worst first.
pub(super) fn problems(sight: &Sight<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    consensus(sight, &mut found);
    controls(sight, &mut found);
    nodes(sight, &mut found);
    found
}

fn say(found: &mut Vec<Problem>, code: &'static str, message: String, hint: impl Into<String>) {
    found.push(Problem { code, message, hint: hint.into() });
}

fn consensus(sight: &Sight<'_>, found: &mut Vec<Problem>) {
    let Leadership { voters, leader, fault, .. } = sight.leadership;
    let hint = "look at the disk of its data directory, then restart it; others go on without it";
    if let Some(fault) = fault {
        let message = format!("the replica of the answering node has stopped: {fault}");
        say(found, "replica_stopped", message, hint);
    }
    for control in sight.controls.iter().filter(|control| control.id != *sight.me) {
        if let Some(fault) = control.health.as_ref().and_then(|health| health.fault.as_ref()) {
            let message = format!("the replica of {} has stopped: {fault}", control.id);
            say(found, "replica_stopped", message, hint);
        }
    }
    let unlinked = |node: &&NodeId| {
        let view = sight.controls.iter().find(|control| control.id == **node);
        **node != *sight.me && view.is_none_or(|control| !control.linked)
    };
    let down: Vec<NodeId> = voters.iter().filter(unlinked).cloned().collect();
    let hint =
        "start control nodes until a majority runs; see docs/operations.md when they are lost";
    if !down.is_empty() && 2 * down.len() >= voters.len() {
        let message = "no majority of the voters is in reach: changes wait".to_owned();
        say(found, "no_majority", message, hint);
    } else if leader.is_none() {
        say(
            found,
            "no_leader",
            "no leader is known: changes wait until a majority votes".to_owned(),
            hint,
        );
    }
    if !down.is_empty() {
        let spare = voters.len().div_ceil(2).saturating_sub(1 + down.len());
        let more = match spare {
            0 => "no further voter may fail".to_owned(),
            n => format!("{n} more may fail"),
        };
        let message = format!("voters out of reach: {}; {more}", names(&down));
        let first = &down[0];
        let hint =
            format!("start them again, or do without one for good: remuda cluster remove {first}");
        say(found, "voter_unreachable", message, hint);
    }
    if voters.len() > 1 && voters.len().is_multiple_of(2) {
        let n = voters.len();
        let message = format!("{n} voters survive no more failures than {}", n - 1);
        say(found, "even_voters", message, "add a control node, or remove one");
    }
}

fn controls(sight: &Sight<'_>, found: &mut Vec<Problem>) {
    let Leadership { voters, .. } = sight.leadership;
    let named = |wanted: &dyn Fn(&ControlView) -> bool| -> Vec<NodeId> {
        let wanted = sight.controls.iter().filter(|control| wanted(control));
        wanted.map(|control| control.id.clone()).collect()
    };
    let away = named(&|control| !control.linked && !voters.contains(&control.id));
    if !away.is_empty() {
        let message = format!("control nodes out of reach: {}", names(&away));
        say(found, "control_unreachable", message, "start them again, or remove them for good");
    }
    let behind = named(&|control| control.lag.is_some_and(|lag| lag > LAG));
    if !behind.is_empty() {
        let message = format!("control nodes behind in the log: {}", names(&behind));
        say(found, "control_behind", message, "their disk or their network may be slow");
    }
    // What is not linked is out of reach already.
    let inactive = named(&|control| !control.active && control.linked);
    if !inactive.is_empty() {
        let message = format!("control nodes that own no workers: {}", names(&inactive));
        let hint = "they come back by themselves within seconds; their own log says why not";
        say(found, "control_inactive", message, hint);
    }
    for control in sight.controls {
        let Some(health) = control.health.as_ref().filter(|_| control.linked) else { continue };
        let lacks = |other: &&ControlView| other.linked && !health.linked.contains(&other.id);
        let lacking: Vec<NodeId> =
            sight.controls.iter().filter(lacks).map(|other| other.id.clone()).collect();
        if !lacking.is_empty() {
            let message = format!("{} has no link to {}", control.id, names(&lacking));
            let hint = "look at the network between them: each control node must reach the others";
            say(found, "control_not_linked", message, hint);
        }
    }
    let skewed =
        |control: &ControlView| control.skew_ms.is_some_and(|skew| skew.unsigned_abs() > SKEW_MS);
    for control in sight.controls.iter().filter(|control| skewed(control)) {
        let skew = control.skew_ms.unwrap_or_default();
        let side = if skew > 0 { "ahead of" } else { "behind" };
        let seconds = skew.unsigned_abs() / 1000;
        let message = format!("the clock of {} is {seconds} s {side} ours", control.id);
        say(found, "clock_skew", message, "let NTP set the clocks; certificates depend on them");
    }
}

fn nodes(sight: &Sight<'_>, found: &mut Vec<Problem>) {
    let named = |wanted: &dyn Fn(&NodeView) -> bool| -> Vec<NodeId> {
        sight.nodes.iter().filter(|node| wanted(node)).map(|node| node.id.clone()).collect()
    };
    let away = named(&|node| node.status == NodeStatus::NotConnected);
    if !away.is_empty() {
        let message = format!("nodes not connected: {}", names(&away));
        let hint = format!(
            "they reconnect by themselves once they run and reach a control node; forget one for \
             good with `remuda node remove {}`",
            away[0]
        );
        say(found, "node_not_connected", message, hint);
    }
    let full = named(&|node| {
        let stats = node.stats.as_ref().filter(|stats| stats.disk_total > 0);
        let enough = |total: u64| (total / FREE_PART).min(FREE_BYTES);
        stats.is_some_and(|stats| stats.disk_available < enough(stats.disk_total))
    });
    if !full.is_empty() {
        let message = format!("less than 5 % and 5 GiB of the disk is free: {}", names(&full));
        let hint = "make room: a control node stops replicating when its disk is full";
        say(found, "disk_full", message, hint);
    }
    let ending = named(&|node| {
        let until_ms = sight.certificates.get(&node.id);
        until_ms.is_some_and(|until_ms| *until_ms < sight.now_ms.saturating_add(CERTIFICATE_MS))
    });
    if !ending.is_empty() {
        let message = format!("certificates end within 7 days: {}", names(&ending));
        let hint = "nodes renew them by themselves while they run and reach a control node; a \
                    node whose certificate has ended must join again";
        say(found, "certificate_ending", message, hint);
    }
    let mut versions: BTreeMap<&str, usize> = BTreeMap::new();
    for node in sight.nodes.iter().filter(|node| !node.version.is_empty()) {
        *versions.entry(&node.version).or_default() += 1;
    }
    if versions.len() > 1 {
        let each = versions.iter().map(|(version, count)| format!("{count} with {version}"));
        let message = format!("mixed versions: {}", each.collect::<Vec<_>>().join(", "));
        say(found, "mixed_versions", message, "finish the upgrade, one node after the other");
    }
}

fn names(nodes: &[NodeId]) -> String {
    let listed: Vec<_> = nodes.iter().take(NAMES).map(NodeId::as_str).collect();
    match nodes.len().saturating_sub(NAMES) {
        0 => listed.join(", "),
        more => format!("{} and {more} more", listed.join(", ")),
    }
}

#[cfg(test)]
mod tests;
