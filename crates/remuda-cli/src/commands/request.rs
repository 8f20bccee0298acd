//! `remuda request`: one node, or many side by side.

use remuda_model::ErrorKind;
use serde_json::{Value, json};

use super::{connect::client, each::each, input, select};
use crate::{
    args::{RequestArgs, ToClass},
    environment::Environment,
    error::{Report, Stop},
    output::Printer,
};

pub(super) async fn run(args: RequestArgs, environment: &Environment) -> Result<(), Stop> {
    let ToClass { node, class, payload } = ToClass::read(&args.words, &args.many)
        .map_err(|reason| Report::new(ErrorKind::Invalid, reason))?;
    let client = client(&args.connect, environment)?;
    let payload = input::json(payload).await?;
    let (printer, timeout) = (Printer::new(args.format), Some(args.timeout.0));
    if let Some(node) = node {
        let reply = client.request(&node, &class, payload, timeout).await?;
        // JSON escapes control characters by itself, so it is the form for people as well.
        let printed =
            if printer.is_json() { printer.json_line(&reply) } else { printer.json(&reply) };
        return Ok(printed?);
    }
    let nodes = select::nodes(&client, args.many.on.as_ref()).await?;
    let (client, class, payload) = (&client, &class, &payload);
    let ask = |node| async move { client.request(&node, class, payload.clone(), timeout).await };
    each(&nodes, args.many.parallel, printer, ask, |node, reply: Value| {
        if printer.is_json() {
            return printer.json_line(&json!({ "node": node, "reply": reply }));
        }
        printer.line(&format!("{node} | {reply}"))
    })
    .await
}
