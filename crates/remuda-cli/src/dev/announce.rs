//! Shows the cluster that now runs.

use remuda_model::{NodeStats, NodeView};
use serde_json::{Value, json};

use super::{layout::Layout, start::Running};
use crate::{
    error::PrintError,
    output::{Printer, Table, bytes},
};

/// The nodes and all that one needs to use them.
pub(super) fn cluster(
    printer: Printer,
    cluster: &Running,
    context: Option<&str>,
    layout: &Layout,
) -> Result<(), PrintError> {
    if printer.is_json() {
        let nodes: Vec<_> = cluster.nodes.iter().map(|(view, _info)| view).collect();
        return printer.json(&json!({
            "api": cluster.api,
            "token": cluster.admin_token,
            "context": context,
            "data_dir": layout.root(),
            "nodes": nodes,
        }));
    }
    nodes(printer, cluster)?;
    let option = context.map_or(String::new(), |name| format!(" --context {name}"));
    let last = cluster.nodes.last().map_or("dev1", |(view, _info)| view.id.as_str());
    let kept = if layout.is_kept() { "kept" } else { "removed at the end" };
    printer.text(&format!(
        "\nAPI   {api}\ndata  {root} ({kept})\n\nTry:\n{path}  \
         remuda node list{option}\n  \
         remuda exec{option} --all -- uname -a\n  \
         remuda request{option} {last} node '\"info\"'\n\n\
         Or in another shell:\n  \
         export REMUDA_ADDR={api}\n  \
         export REMUDA_TOKEN={token}\n\nCtrl-C stops everything.\n",
        api = cluster.api,
        path = path_line(),
        root = layout.root().display(),
        token = cluster.admin_token,
    ))
}

/// How to find this program by its name, when a shell would not.
fn path_line() -> String {
    let program = std::env::current_exe().unwrap_or_default();
    let Some(dir) = program.parent() else { return String::new() };
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|entry| entry.join("remuda").is_file()) {
        return String::new();
    }
    format!("  export PATH={}:$PATH\n", dir.display())
}

/// The nodes as a table.
pub(super) fn nodes(printer: Printer, cluster: &Running) -> Result<(), PrintError> {
    let header = ["NODE", "ROLES", "STATUS", "VERSION", "ADDRESS", "LABELS", "CPU", "MEMORY"];
    let mut table = Table::new(header);
    for (view, info) in &cluster.nodes {
        let stats = stats(view, info);
        table.row([
            view.id.to_string(),
            view.roles.to_string(),
            view.status.to_string(),
            view.version.clone(),
            view.addresses.first().map(ToString::to_string).unwrap_or_default(),
            view.labels.to_string(),
            stats.as_ref().map(|stats| stats.cpus.to_string()).unwrap_or_default(),
            stats.as_ref().map(|stats| bytes(stats.mem_total)).unwrap_or_default(),
        ]);
    }
    printer.table(table)
}

/// What the node measured: in its answer, else what the cluster knows.
fn stats(view: &NodeView, info: &Value) -> Option<NodeStats> {
    let answered = info.get("stats").and_then(|stats| serde_json::from_value(stats.clone()).ok());
    answered.or_else(|| view.stats.clone())
}
