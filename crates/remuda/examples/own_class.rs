//! Embeds a node with a job class of one's own, and talks to it.
//!
//! ```sh
//! cargo run -p remuda --example own_class
//! ```
#![expect(clippy::print_stdout, reason = "an example speaks to its reader")]

use std::time::Duration;

use anyhow::{Context as _, Result};
use remuda::{
    agent::{Agent, AgentConfig},
    control::{Consistency, Control, Subscribe},
    model::{EventBody, Failure, NodeId, NodeStatus, Roles, TaskEnd, TaskId},
    plugin::{Input, JobClass, RequestContext, Running, Task},
    work::{Done, Op},
};
use serde::{Deserialize, Serialize};

/// Counts, for whoever asks.
#[derive(Debug)]
struct Counter;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Command {
    Add(u64),
}

/// Where a counter stands.
#[derive(Debug, Serialize, Deserialize)]
struct Stands {
    at: u64,
}

impl JobClass for Counter {
    const NAME: &'static str = "counter";
    type Request = Vec<u64>;
    type Reply = u64;
    type Spec = u64;
    type Command = Command;
    type CommandReply = Stands;
    type Event = Stands;

    /// A request: adds numbers.
    async fn request(&self, _: RequestContext, numbers: Vec<u64>) -> Result<u64, Failure> {
        Ok(numbers.iter().sum())
    }

    /// A task: keeps a number, takes commands, reports every change.
    async fn start(&self, mut task: Task<Self>, first: u64) -> Result<Running, Failure> {
        let summary = format!("counts from {first}");
        Ok(Running::new(summary, async move {
            let mut at = first;
            while let Some(input) = task.next().await {
                match input {
                    Input::Command(command) => {
                        let Command::Add(more) = command.body;
                        at += more;
                        task.emit(&Stands { at }).await;
                        command.reply.send(Ok(Stands { at }));
                    }
                    Input::Stop(_) => break,
                    Input::Status(_) => {}
                }
            }
            TaskEnd::Stopped
        }))
    }
}

/// Waits until the cluster has the node: its control half and its worker half meet like any others.
async fn ready(control: &Control, node: &NodeId) {
    let is_ready = async || {
        let view = control.node(node, Consistency::Stale).await;
        view.is_ok_and(|view| view.status == NodeStatus::Ready)
    };
    while !is_ready().await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut config = AgentConfig::new(dir.path()).class(Counter);
    config.roles = Roles::CONTROL;
    config.bootstrap = true;
    let agent = Agent::start(config).await?;
    let control = agent.control().context("it is a control node")?;
    let (node, patience) = (agent.node(), Duration::from_secs(10));
    tokio::time::timeout(patience, ready(control, node)).await.context("it does not get ready")?;

    let class: remuda::model::ClassName = "counter".parse()?;
    let sum = Op::Request { class: class.clone(), payload: b"[1, 2, 3]".to_vec() };
    if let Done::Payload(reply) = control.work(node, sum, patience).await? {
        println!("1 + 2 + 3 = {}", String::from_utf8(reply)?);
    }

    let mut events = control.events(Subscribe::default()).await?;
    let task = TaskId::random();
    let start = Op::Start { class, task: task.clone(), spec: b"40".to_vec(), attached: false };
    control.work(node, start, patience).await?;
    let add = Op::Command { task: task.clone(), payload: br#"{"add": 2}"#.to_vec() };
    control.work(node, add, patience).await?;
    while let Some(event) = events.next().await {
        if let EventBody::Class { payload, .. } = event.body {
            println!("the counter says {payload}");
            break;
        }
    }
    control.work(node, Op::Stop { task, grace_ms: 1000 }, patience).await?;
    agent.shutdown().await;
    Ok(())
}
