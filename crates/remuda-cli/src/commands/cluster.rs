//! `remuda cluster`.

use std::path::Path;

use remuda::{agent, client::dto::Cluster};
use remuda_model::{ErrorKind, NodeId, Role};
use serde_json::json;

use super::{connect::client, node};
use crate::{
    args::{ClusterCommand, Format, JoinRole},
    config,
    environment::Environment,
    error::{Report, Stop},
    output::{Printer, fields},
};

pub(super) async fn run(command: ClusterCommand, environment: &Environment) -> Result<(), Stop> {
    match command {
        ClusterCommand::Init { name, data_dir, format } => {
            let dir = data_dir.or_else(|| config::default_data_dir(environment).map(Into::into));
            let dir = dir.ok_or_else(|| {
                Report::new(ErrorKind::Invalid, "no directory is given and no home is known")
                    .hint("say where with --data-dir")
            })?;
            init(&dir, &name, Printer::new(format))
        }
        ClusterCommand::Status { stale, format, connect } => {
            let client = node::reading(client(&connect, environment)?, stale);
            let cluster = client.cluster().await?;
            Ok(Printer::new(format).value(&cluster, describe)?)
        }
        ClusterCommand::Add { url, format, connect } => {
            let node = client(&connect, environment)?.add_node(&url).await?;
            node::added(format, &node)
        }
        ClusterCommand::Remove { node, format, connect } => {
            client(&connect, environment)?.remove_control(&node).await?;
            removed(format, &node)
        }
        ClusterCommand::JoinToken { role, format, connect } => {
            let role = match role {
                JoinRole::Worker => Role::Worker,
                JoinRole::Control => Role::Control,
            };
            let token = client(&connect, environment)?.join_token(role).await?;
            let data = json!({ "role": role, "token": token });
            Ok(Printer::new(format).value(&data, |_data| token.clone())?)
        }
    }
}

fn removed(format: Format, node: &NodeId) -> Result<(), Stop> {
    let words = format!("{node} is no control node any more");
    Ok(node::done(format, &json!({ "node": node, "removed": true }), &words)?)
}

fn init(dir: &Path, name: &str, printer: Printer) -> Result<(), Stop> {
    let made =
        agent::init_cluster(dir, name).map_err(|error| Stop::from(super::agent::report(&error)))?;
    let data = json!({
        "cluster": made.cluster,
        "name": name,
        "data_dir": dir,
        "join_token_control": made.join_token_control.to_string(),
        "join_token_worker": made.join_token_worker.to_string(),
        "admin_token": made.admin_token.reveal(),
    });
    let words = fields([
        ("cluster", Some(made.cluster.to_string())),
        ("name", Some(name.to_owned())),
        ("data dir", Some(dir.display().to_string())),
        ("join token (control)", Some(made.join_token_control.to_string())),
        ("join token (worker)", Some(made.join_token_worker.to_string())),
        ("admin token", Some(made.admin_token.reveal())),
    ]);
    printer.value(&data, |_data| words)?;
    crate::output::note(&format!(
        "\nThese are secrets; they are also kept in {}. Start the first node:\n  remuda agent --control --bootstrap --data-dir {}",
        dir.display(),
        dir.display()
    ));
    Ok(())
}

fn describe(cluster: &Cluster) -> String {
    let names = |ids: &[NodeId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let inactive: Vec<_> = (cluster.controls.iter())
        .filter(|control| !control.active)
        .map(|control| control.id.clone())
        .collect();
    fields([
        ("cluster", Some(cluster.name.clone())),
        ("id", Some(cluster.id.to_string())),
        ("health", Some(health(cluster))),
        ("leader", Some(cluster.leader.as_ref().map_or("none".to_owned(), ToString::to_string))),
        ("term", Some(cluster.term.to_string())),
        ("voters", Some(names(&cluster.voters))),
        ("learners", Some(names(&cluster.learners))),
        ("inactive", Some(names(&inactive)).filter(|names| !names.is_empty())),
        ("nodes", Some(cluster.nodes.to_string())),
        ("epoch", Some(cluster.epoch.to_string())),
        ("log", Some(format!("{} written, {} applied", cluster.last_log, cluster.applied))),
    ])
}

fn health(cluster: &Cluster) -> String {
    if cluster.healthy { "healthy".to_owned() } else { cluster.reasons.join("; ") }
}
