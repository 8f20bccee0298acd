//! What the class `node` of every node does for programs, one method each.

use std::time::Duration;

use remuda_driver_wasm::{Load, Loaded};
use remuda_model::{ClassName, ErrorKind, Failure, NodeId};
use remuda_worker::{Call, NodeRequest};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Client;

/// How long a request takes that says no time of its own.
const USUAL: Duration = Duration::from_secs(30);
/// How much longer than a function may run its answer is awaited, so that the node can say where it
/// was.
const MARGIN: Duration = Duration::from_secs(5);
/// How long a node may compile a component, and wait for its turn.
const COMPILING: Duration = Duration::from_mins(3);

/// Data, functions and components of a node, by requests to its class `node`.
impl Client {
    /// The value that a node keeps under a key, if it keeps one.
    pub async fn get_data(&self, node: &NodeId, key: &str) -> Result<Option<Value>, Failure> {
        match self.ask_node(node, &NodeRequest::Get(key.to_owned()), USUAL).await {
            Ok(value) => Ok(Some(value)),
            Err(failure) if failure.code == "unknown_key" => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Lets a node keep a value, over restarts too: at most 1,000 keys of 1 to 256 bytes, each value
    /// at most 64 KiB of JSON.
    pub async fn put_data(&self, node: &NodeId, key: &str, value: Value) -> Result<(), Failure> {
        let put = NodeRequest::Put { key: key.to_owned(), value };
        self.ask_node(node, &put, USUAL).await
    }

    /// Takes a value away; tells whether there was one.
    pub async fn delete_data(&self, node: &NodeId, key: &str) -> Result<bool, Failure> {
        self.ask_node(node, &NodeRequest::Delete(key.to_owned()), USUAL).await
    }

    /// Calls a function on a node, of a loaded component or one in JavaScript that comes along;
    /// tells what it returns. Waits 30 s, or a little longer than the call's own `timeout_ms` if that
    /// is more.
    pub async fn call(&self, node: &NodeId, call: &Call) -> Result<Value, Failure> {
        let own = Duration::from_millis(call.timeout_ms.unwrap_or_default());
        let timeout = USUAL.max(own.saturating_add(MARGIN));
        self.ask_node(node, &NodeRequest::Call(call.clone()), timeout).await
    }

    /// Loads a component as a job class of a node, which keeps it by its digest already: see
    /// [`upload`](Self::upload), and [`send_file`](Self::send_file) without a path. Waits three
    /// minutes while it is compiled.
    pub async fn load_class(&self, node: &NodeId, load: &Load) -> Result<Loaded, Failure> {
        self.ask_node(node, &NodeRequest::LoadClass(json!(load)), COMPILING).await
    }

    async fn ask_node<T: DeserializeOwned>(
        &self,
        node: &NodeId,
        request: &NodeRequest,
        timeout: Duration,
    ) -> Result<T, Failure> {
        let class: ClassName = "node".parse().map_err(|error| Failure::internal(&error))?;
        let reply = self.request(node, &class, json!(request), Some(timeout)).await?;
        serde_json::from_value(reply).map_err(|error| {
            let message = format!("node `{node}` gave another answer than was asked for: {error}");
            Failure::new(ErrorKind::Internal, message)
        })
    }
}
