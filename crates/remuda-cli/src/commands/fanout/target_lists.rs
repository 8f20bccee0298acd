//! `remuda fanout targets`: lists of targets that the cluster keeps.

use remuda_runtime::wall_ms;
use serde_json::json;

use super::targets;
use crate::{
    args::TargetsCommand,
    commands::{connect::client, node::done},
    environment::Environment,
    error::Stop,
    output::{Printer, Table, ago, bytes},
};

pub(super) async fn run(command: TargetsCommand, environment: &Environment) -> Result<(), Stop> {
    match command {
        TargetsCommand::Save { name, source, format, connect } => {
            let lines = targets::lines(&source).await?;
            if lines.is_empty() {
                return Err(targets::none("give --target or --targets"));
            }
            let saved = client(&connect, environment)?.save_targets(&name, lines).await?;
            let words = format!("{name} has {} targets", saved.targets);
            Ok(done(format, &json!(saved), &words)?)
        }
        TargetsCommand::List { format, connect } => {
            let lists = client(&connect, environment)?.target_lists().await?;
            let printer = Printer::new(format);
            if printer.is_json() {
                return Ok(printer.json(&lists)?);
            }
            let now = wall_ms();
            let mut table = Table::new(["LIST", "TARGETS", "SIZE", "SAVED"]);
            for list in lists {
                table.row([
                    list.name.to_string(),
                    list.targets.to_string(),
                    bytes(list.bytes),
                    ago(list.changed_ms, now),
                ]);
            }
            Ok(printer.table(table)?)
        }
        TargetsCommand::Show(one) => {
            let list = client(&one.connect, environment)?.target_list(&one.name).await?;
            let printer = Printer::new(one.format);
            if printer.is_json() {
                return Ok(printer.json(&list)?);
            }
            Ok(list.lines.iter().try_for_each(|line| printer.line(line))?)
        }
        TargetsCommand::Remove(one) => {
            client(&one.connect, environment)?.remove_targets(&one.name).await?;
            let words = format!("{} is forgotten", one.name);
            Ok(done(one.format, &json!({ "list": one.name, "removed": true }), &words)?)
        }
    }
}
