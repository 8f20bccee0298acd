//! Work as tests give it to nodes.

use std::time::Duration;

use remuda::client::Client;
use remuda_api::dto::{ExecRequest, OutputLine};
use remuda_model::{Failure, NodeId, TaskEnd, TaskId, TaskRecord};
use serde_json::{Value, json};

use crate::wait::within;

/// The name of a node.
///
/// # Panics
///
/// When it is none.
pub fn id(name: &str) -> NodeId {
    name.parse().expect("a node name")
}

/// What to run.
pub fn command(argv: &[&str]) -> ExecRequest {
    ExecRequest {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        ..ExecRequest::default()
    }
}

/// Runs a command to its end; returns its standard output and how it ended.
///
/// # Panics
///
/// When it takes too long.
pub async fn exec(
    client: &Client,
    node: &str,
    argv: &[&str],
) -> Result<(String, TaskEnd), Failure> {
    let mut stream = client.exec(&id(node), &command(argv)).await?;
    let running = async {
        let mut stdout = Vec::new();
        while let Some(line) = stream.next().await? {
            match line {
                OutputLine::Stdout { data, .. } => stdout.extend(data),
                OutputLine::End { end } => {
                    return Ok((String::from_utf8_lossy(&stdout).into_owned(), end));
                }
                _ => {}
            }
        }
        Err(Failure::failed("the stream ended without an end"))
    };
    within("a command", Box::pin(running)).await
}

/// Starts a command as a task.
///
/// # Panics
///
/// When the node refuses.
pub async fn detach(client: &Client, node: &str, argv: &[&str]) -> TaskRecord {
    let started = client.exec_detached(&id(node), &command(argv)).await;
    started.unwrap_or_else(|error| panic!("{node} refuses {argv:?}: {error:?}"))
}

/// The whole standard output of a task up to its end.
///
/// # Panics
///
/// When it takes too long or cannot be had.
pub async fn whole_output(client: &Client, node: &str, task: &TaskId) -> (String, TaskEnd) {
    let reading = async {
        let mut stream = client.output(task, Some(&id(node)), 0, true).await.expect("output");
        let mut stdout = Vec::new();
        while let Some(line) = stream.next().await.expect("output") {
            match line {
                OutputLine::Stdout { data, .. } => stdout.extend(data),
                OutputLine::End { end } => {
                    return (String::from_utf8_lossy(&stdout).into_owned(), end);
                }
                _ => {}
            }
        }
        panic!("the output of {task} ended without an end");
    };
    // On the heap, for it is large.
    within("the output of a task", Box::pin(reading)).await
}

/// Asks the class `node` of a node.
pub async fn info(client: &Client, node: &str) -> Result<Value, Failure> {
    let class = "node".parse().expect("a class name");
    client.request(&id(node), &class, json!("info"), Some(Duration::from_secs(10))).await
}
