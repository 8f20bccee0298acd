//! `remuda request`.

use super::{connect::client, input};
use crate::{args::RequestArgs, environment::Environment, error::Stop, output::Printer};

pub(super) async fn run(args: RequestArgs, environment: &Environment) -> Result<(), Stop> {
    let client = client(&args.connect, environment)?;
    let payload = input::json(&args.payload).await?;
    let reply = client.request(&args.node, &args.class, payload, Some(args.timeout.0)).await?;
    // JSON escapes control characters by itself, so it is the form for people as well.
    let printer = Printer::new(args.format);
    Ok(if printer.is_json() { printer.json_line(&reply) } else { printer.json(&reply) }?)
}
