//! Connects to a cluster, makes a request, starts a task and follows its events.
//!
//! With a cluster at hand:
//!
//! ```sh
//! remuda dev -- cargo run -p remuda --example client
//! ```
#![expect(clippy::print_stdout, reason = "an example speaks to its reader")]

use anyhow::{Context as _, Result};
use remuda::{
    client::{
        Client, EventMessage,
        dto::{EventQuery, StartTask},
    },
    model::{EventBody, NodeStatus},
};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<()> {
    // The address and the token come from REMUDA_ADDR and REMUDA_TOKEN.
    let client = Client::from_env()?;

    let nodes = client.nodes().await?;
    let ready = nodes.into_iter().find(|node| node.status == NodeStatus::Ready);
    let node = ready.context("no node is ready")?.id;

    // A request: a short call to a job class of the node.
    let class = "node".parse()?;
    let info = client.request(&node, &class, json!("info"), None).await?;
    println!("{node} runs {}", info["kernel"]);

    // Follow the events first, so that none is missed.
    let only_exec = EventQuery { class: Some("exec".parse()?), ..EventQuery::default() };
    let mut events = client.events(&only_exec, None).await?;

    // A task: it lives on the node, with or without us.
    let spec = json!({"argv": ["sh", "-c", "echo working; sleep 1"]});
    let task = StartTask { node, class: "exec".parse()?, spec, id: None };
    let task = client.start_task(&task).await?;
    println!("started {}: {}", task.id, task.summary);

    while let Some(message) = events.next().await? {
        let EventMessage::Event(event) = message else { continue };
        if event.body.task() != Some(&task.id) {
            continue;
        }
        println!("event {}: {:?}", event.seq, event.body);
        if let EventBody::TaskEnded { end, .. } = event.body {
            println!("the task ended: {end}");
            break;
        }
    }
    Ok(())
}
