//! `remuda token`.

use remuda::client::dto::Scope;
use remuda_runtime::wall_ms;
use serde_json::json;

use super::{connect::client, node::done};
use crate::{
    args::{TokenCommand, TokenScope},
    environment::Environment,
    error::Stop,
    output::{Printer, Table, ago, clock_time, note},
};

pub(super) async fn run(command: TokenCommand, environment: &Environment) -> Result<(), Stop> {
    match command {
        TokenCommand::Create { name, scope, ttl, format, connect } => {
            let client = client(&connect, environment)?;
            let scope = match scope {
                TokenScope::Read => Scope::Read,
                TokenScope::Operate => Scope::Operate,
                TokenScope::Admin => Scope::Admin,
            };
            let created = client.create_token(&name, scope, ttl.map(|ttl| ttl.0)).await?;
            let printer = Printer::new(format);
            if !printer.is_json() {
                note(&format!(
                    "token {} may {scope}; this is its only appearance:",
                    created.token.id
                ));
            }
            Ok(printer.value(&created, |created| created.secret.clone())?)
        }
        TokenCommand::List { format, connect } => {
            let tokens = client(&connect, environment)?.tokens().await?;
            let printer = Printer::new(format);
            if printer.is_json() {
                return Ok(printer.json(&tokens)?);
            }
            let now = wall_ms();
            let mut table = Table::new(["ID", "NAME", "SCOPE", "CREATED", "EXPIRES"]);
            for token in tokens {
                table.row([
                    token.id.to_string(),
                    token.name,
                    token.scope.to_string(),
                    ago(token.created_ms, now),
                    token.expires_ms.map_or("never".to_owned(), clock_time),
                ]);
            }
            Ok(printer.table(table)?)
        }
        TokenCommand::Revoke { id, format, connect } => {
            client(&connect, environment)?.revoke_token(&id).await?;
            Ok(done(format, &json!({ "token": id, "revoked": true }), &format!("{id} is revoked"))?)
        }
    }
}
