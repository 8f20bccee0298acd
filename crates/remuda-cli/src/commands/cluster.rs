//! `remuda cluster`.

mod backup;
mod status;

use std::path::Path;

use remuda::agent;
use remuda_model::{ErrorKind, NodeId, Role};
use serde_json::json;

use super::{authority, connect::client, node};
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
        ClusterCommand::Status { stale, watch, format, connect } => {
            let client = client(&connect, environment)?;
            if watch {
                status::watch(&client, stale, format).await
            } else {
                status::once(&client, stale, format).await
            }
        }
        ClusterCommand::Backup(args) => backup::backup(args, environment).await,
        ClusterCommand::Restore(args) => backup::restore(args).await,
        ClusterCommand::Recover(args) => backup::recover(args).await,
        ClusterCommand::Add { url, format, connect } => {
            let node = client(&connect, environment)?.add_node(&url).await?;
            node::added(format, &node)
        }
        ClusterCommand::Remove { node, format, connect } => {
            client(&connect, environment)?.remove_control(&node).await?;
            removed(format, &node)
        }
        ClusterCommand::RotateToken { role, format, connect } => {
            authority::rotate_token(as_role(role), (format, connect), environment).await
        }
        ClusterCommand::RotateCa { grace, wait, format, connect } => {
            authority::rotate_ca(grace.0, wait, (format, connect), environment).await
        }
        ClusterCommand::Ca { format, connect } => {
            authority::show((format, connect), environment).await
        }
        ClusterCommand::JoinToken { role, format, connect } => {
            let role = as_role(role);
            let token = client(&connect, environment)?.join_token(role).await?;
            let data = json!({ "role": role, "token": token });
            Ok(Printer::new(format).value(&data, |_data| token.clone())?)
        }
    }
}

fn as_role(role: JoinRole) -> Role {
    match role {
        JoinRole::Worker => Role::Worker,
        JoinRole::Control => Role::Control,
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
