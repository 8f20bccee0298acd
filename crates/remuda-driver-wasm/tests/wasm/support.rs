//! A node as the class `wasm` sees it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use remuda_driver_wasm::{WasmConfig, wasm_class};
use remuda_model::{Digest, EventBody, Failure, NodeId, TaskEnd};
use remuda_plugin::{Class, ClassTable, EventSink, RawInput, RawTask, RequestContext};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

/// The longest wait for something that must happen. Compiling the larger guests takes some of it.
const DEADLINE: Duration = Duration::from_mins(5);

/// A node with the class `wasm`.
pub(crate) struct Node {
    pub(crate) dir: Arc<TempDir>,
    pub(crate) classes: ClassTable,
    pub(crate) events: mpsc::Receiver<EventBody>,
    wasm: Arc<dyn Class>,
    spool: mpsc::Sender<EventBody>,
}

/// A task that runs.
pub(crate) struct Started {
    inbox: Option<mpsc::Sender<RawInput>>,
    pub(crate) summary: String,
    work: JoinHandle<TaskEnd>,
}

fn name() -> NodeId {
    "w1".parse().expect("a name")
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("it happens in time")
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().expect("a folder"))).await
    }

    /// The agent starts again.
    pub(crate) async fn restart(self) -> Self {
        Self::start_in(Arc::clone(&self.dir)).await
    }

    async fn start_in(dir: Arc<TempDir>) -> Self {
        let content = dir.path().join("content");
        std::fs::create_dir_all(&content).expect("a folder");
        let classes = ClassTable::default();
        let lookup = move |digest: &Digest| {
            let path = content.join(digest.as_str());
            path.exists().then_some(path)
        };
        let config = WasmConfig::new(dir.path().join("wasm"), classes.clone(), lookup);
        let wasm = wasm_class(config).await.expect("a class");
        classes.fix(Arc::clone(&wasm)).expect("the only one");
        let (spool, events) = mpsc::channel(1024);
        Self { dir, classes, events, wasm, spool }
    }

    /// Brings content to the node.
    pub(crate) fn bring(&self, bytes: &[u8]) -> Digest {
        let digest: Digest = blake3::hash(bytes).to_hex().as_str().parse().expect("a digest");
        std::fs::write(self.content(&digest), bytes).expect("written");
        digest
    }

    pub(crate) fn content(&self, digest: &Digest) -> PathBuf {
        self.dir.path().join("content").join(digest.as_str())
    }

    fn context(&self, class: &str) -> RequestContext {
        let class: remuda_model::ClassName = class.parse().expect("a class");
        let events = EventSink::new(class.clone(), self.spool.clone());
        RequestContext { node: name(), class, deadline: DEADLINE, events }
    }

    /// Asks the class `wasm`.
    pub(crate) async fn wasm(&self, request: Value) -> Result<Value, Failure> {
        let payload = request.to_string().into_bytes();
        let reply = within(self.wasm.request(self.context("wasm"), payload)).await?;
        Ok(serde_json::from_slice(&reply).expect("JSON"))
    }

    /// Loads a component, with more fields.
    pub(crate) async fn load(
        &self,
        name: &str,
        component: &[u8],
        more: Value,
    ) -> Result<Value, Failure> {
        let mut load = json!({ "name": name, "digest": self.bring(component).as_str() });
        let fields = load.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("an object").clone());
        self.wasm(json!({ "load": load })).await
    }

    pub(crate) async fn request(&self, class: &str, request: Value) -> Result<Value, Failure> {
        let handler = self.classes.get(&class.parse().expect("a class"))?;
        let payload = request.to_string().into_bytes();
        let reply = within(handler.request(self.context(class), payload)).await?;
        Ok(serde_json::from_slice(&reply).expect("JSON"))
    }

    pub(crate) async fn call(
        &self,
        class: &str,
        function: &str,
        args: Value,
    ) -> Result<Value, Failure> {
        self.wasm(json!({ "call": { "class": class, "function": function, "args": args } })).await
    }

    pub(crate) async fn start_task(
        &self,
        class: &str,
        id: &str,
        spec: Value,
    ) -> Result<Started, Failure> {
        let class = self.classes.get(&class.parse().expect("a class"))?;
        let (inbox, receiver) = mpsc::channel(16);
        let task = RawTask {
            id: id.parse().expect("an id"),
            class: class.name(),
            node: name(),
            inbox: receiver,
            events: EventSink::new(class.name(), self.spool.clone()),
        };
        let running = within(class.start(task, spec.to_string().into_bytes())).await?;
        let work = tokio::spawn(running.work);
        Ok(Started { inbox: Some(inbox), summary: running.summary, work })
    }

    /// The next event.
    pub(crate) async fn event(&mut self) -> (String, Option<String>, Value) {
        match within(self.events.recv()).await.expect("an event") {
            EventBody::Class { class, task, payload } => (
                class.to_string(),
                task.map(|task| task.to_string()),
                serde_json::from_str(&payload).expect("JSON"),
            ),
            other => panic!("no event of a class: {other:?}"),
        }
    }
}

impl Started {
    pub(crate) async fn say(&self, input: RawInput) {
        let inbox = self.inbox.as_ref().expect("not cut off");
        inbox.send(input).await.expect("the task lives");
    }

    pub(crate) async fn command(&self, command: Value) -> Result<Value, Failure> {
        let (reply, answer) = oneshot::channel();
        self.say(RawInput::Command(command.to_string().into_bytes(), reply)).await;
        let answer = within(answer).await.expect("an answer")?;
        Ok(serde_json::from_slice(&answer).expect("JSON"))
    }

    pub(crate) async fn end(self) -> TaskEnd {
        within(self.work).await.expect("no panic")
    }

    /// The agent shuts down.
    pub(crate) async fn cut_off(mut self) -> TaskEnd {
        self.inbox = None;
        self.end().await
    }
}
