//! `remuda call`: a function on one node, or on many side by side.

use std::time::Duration;

use remuda::client::Client;
use remuda_model::{ClassName, ErrorKind, Failure, NodeId};
use serde_json::{Value, json};

use super::{connect::client, each::each, select};
use crate::{
    args::{CallArgs, Function},
    environment::Environment,
    error::{Report, Stop},
    output::{Printer, escape_line, note},
};

/// How much longer than a function may run its answer is awaited.
const MARGIN: Duration = Duration::from_secs(5);

pub(super) async fn run(args: CallArgs, environment: &Environment) -> Result<(), Stop> {
    let words = args.read().map_err(|reason| Report::new(ErrorKind::Invalid, reason))?;
    let values: Vec<Value> = words.args.iter().map(|text| argument(text)).collect();
    let request = Request::new(words.function, values, args.timeout.0).await?;
    let client = client(&args.connect, environment)?;
    let printer = Printer::new(args.format);
    if let Some(node) = &words.node {
        let reply = request.send(&client, node, &args).await.map_err(report)?;
        for line in reply["log"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            note(&escape_line(line));
        }
        let result = &reply["result"];
        return Ok(if printer.is_json() {
            printer.json_line(&reply)
        } else {
            printer.json(result)
        }?);
    }
    let nodes = select::nodes(&client, args.many.on.as_ref()).await?;
    let (client, request, args) = (&client, &request, &args);
    let ask = |node| async move { request.send(client, &node, args).await };
    each(&nodes, args.many.parallel, printer, ask, |node, reply: Value| {
        if printer.is_json() {
            let line = json!({ "node": node, "result": reply["result"], "log": reply["log"] });
            return printer.json_line(&line);
        }
        printer.line(&format!("{node} | {}", reply["result"]))
    })
    .await
}

/// What a class is asked.
struct Request {
    class: &'static str,
    payload: Value,
}

impl Request {
    async fn new(
        function: Function<'_>,
        args: Vec<Value>,
        timeout: Duration,
    ) -> Result<Self, Stop> {
        let source = match function {
            Function::Of(class, function) => {
                let call = json!({ "class": class, "function": function, "args": args });
                return Ok(Self { class: "wasm", payload: json!({ "call": call }) });
            }
            Function::Source(source) => source.to_owned(),
            Function::File(path) => read(path).await?,
        };
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let payload = json!({ "source": source, "args": args, "timeout_ms": timeout_ms });
        Ok(Self { class: "function", payload })
    }

    /// The result and the log of a function.
    async fn send(
        &self,
        client: &Client,
        node: &NodeId,
        args: &CallArgs,
    ) -> Result<Value, Failure> {
        let class: ClassName = self.class.parse().expect("a name");
        // The node says where a function was when its time was over.
        let timeout = Some(args.timeout.0 + MARGIN);
        let reply = client.request(node, &class, self.payload.clone(), timeout).await?;
        Ok(if self.class == "wasm" { json!({ "result": reply, "log": [] }) } else { reply })
    }
}

/// A failure with a line for each place of a stack.
fn report(failure: Failure) -> Report {
    let mut lines = failure.message.lines().map(str::to_owned);
    let report = Report::new(failure.kind, lines.next().unwrap_or_default());
    let report = report.details(lines);
    match failure.hint {
        Some(hint) => report.hint(hint),
        None => report,
    }
}

async fn read(path: &str) -> Result<String, Stop> {
    tokio::fs::read_to_string(path).await.map_err(|error| {
        Report::new(ErrorKind::NotFound, format!("cannot read {path}")).caused_by(&error).into()
    })
}

fn argument(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_no_json| Value::from(text))
}
