//! What to say about a node that is not well.

use remuda_model::ErrorKind;

use super::child::Node;
use crate::error::Report;

/// How much of a log is shown.
const LINES: usize = 12;

/// A node that has ended by itself.
pub(super) fn of_dead(node: &mut Node) -> Option<Report> {
    let status = node.ended()?;
    Some(with_log(Report::new(ErrorKind::Failed, format!("{} ended: {status}", node.name())), node))
}

/// A node that is not ready in time; `seen` is its status in the cluster, if it has one.
pub(super) fn of_late(node: &Node, seen: Option<&str>) -> Report {
    let message = match seen {
        None => format!("{} is not ready: it did not appear in the cluster", node.name()),
        Some(status) => format!("{} is not ready: it is {status}", node.name()),
    };
    with_log(Report::new(ErrorKind::TimedOut, message), node)
}

fn with_log(report: Report, node: &Node) -> Report {
    let lines = node.last_lines(LINES);
    let head = format!("the last lines of {}:", node.log_path().display());
    report.details(std::iter::once(head).chain(lines.into_iter().map(|line| format!("  {line}"))))
}
