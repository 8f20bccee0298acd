//! `remuda cluster rotate-token`, `rotate-ca` and `ca`.

use std::time::Duration;

use remuda::client::{
    Client,
    dto::{Authority, RotationStep},
};
use remuda_model::Role;
use serde_json::json;

use super::{connect::client, node};
use crate::{
    args::{Connect, Format},
    environment::Environment,
    error::Stop,
    output::{Printer, fields, note},
};

/// How often it is looked how far a rotation is.
const LOOK: Duration = Duration::from_millis(500);

pub(super) async fn rotate_token(
    role: Role,
    (format, connect): (Format, Connect),
    environment: &Environment,
) -> Result<(), Stop> {
    let token = client(&connect, environment)?.rotate_join_token(role).await?;
    let data = json!({ "role": role, "token": token });
    Ok(Printer::new(format).value(&data, |_data| token.clone())?)
}

pub(super) async fn rotate_ca(
    grace: Duration,
    wait: bool,
    (format, connect): (Format, Connect),
    environment: &Environment,
) -> Result<(), Stop> {
    let client = client(&connect, environment)?;
    client.rotate_authority(Some(grace)).await?;
    if !wait {
        note("`remuda cluster ca` shows how far it is");
        return Ok(node::done(format, &json!({ "begun": true }), "the rotation has begun")?);
    }
    let authority = settled(&client).await?;
    Ok(Printer::new(format).value(&authority, describe)?)
}

async fn settled(client: &Client) -> Result<Authority, Stop> {
    let mut shown = None;
    loop {
        let now = client.authority().await?;
        let line = (now.step, now.n_waiting);
        if shown != Some(line) {
            shown = Some(line);
            note(&format!("{}: {} nodes have not followed yet", word(now.step), now.n_waiting));
        }
        if now.step == RotationStep::Settled {
            return Ok(now);
        }
        tokio::time::sleep(LOOK).await;
    }
}

pub(super) async fn show(
    (format, connect): (Format, Connect),
    environment: &Environment,
) -> Result<(), Stop> {
    let authority = client(&connect, environment)?.authority().await?;
    Ok(Printer::new(format).value(&authority, describe)?)
}

fn word(step: RotationStep) -> &'static str {
    match step {
        RotationStep::Settled => "settled",
        RotationStep::Announced => "announced",
        RotationStep::Issuing => "issuing",
    }
}

fn describe(authority: &Authority) -> String {
    let pins = |signs| {
        let cas = authority.cas.iter().filter(|ca| ca.signs == signs);
        cas.map(|ca| ca.pin.clone()).collect::<Vec<_>>().join(", ")
    };
    let waiting: Vec<_> = authority.waiting.iter().map(ToString::to_string).collect();
    fields([
        ("step", Some(word(authority.step).to_owned())),
        ("signs", Some(pins(true))),
        ("counts too", Some(pins(false)).filter(|pins| !pins.is_empty())),
        ("waits for", Some(waiting.join(", ")).filter(|names| !names.is_empty())),
    ])
}
