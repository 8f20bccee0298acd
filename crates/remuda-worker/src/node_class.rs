//! The class `node`, which every node has: what it is, its status, labels, data and tasks.

mod code;
mod data;
mod diagnosis;
mod file;
mod measure;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use remuda_model::{
    ClassName, Failure, Generation, Labels, NodeId, NodeStats, NodeStatus, Roles, TaskRecord,
};
use remuda_plugin::{ClassTable, JobClass, RequestContext};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::{
    code::Call,
    file::{StatFile, WriteFile},
};
pub(crate) use self::{
    data::DataBook,
    diagnosis::Slot,
    measure::{facts, measure},
};
use crate::{files::Files, labels::LabelBook, status::Wanted, tasks::Tasks};

/// What is asked of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeRequest {
    /// What it is: [`NodeInfo`].
    Info,
    /// Its status.
    Status,
    /// Changes its status to `ready`, `standby` or `stopped`; answered with the status that it has
    /// then.
    SetStatus(NodeStatus),
    /// Its labels.
    Labels,
    /// Adds labels, or replaces those of the same names; answered with all labels.
    UpdateLabels(Labels),
    /// Removes the labels of these names; answered with all labels.
    RemoveLabels(Vec<String>),
    /// A value of its data.
    Get(String),
    /// Sets a value of its data: at most 1,000 keys of 1 to 256 bytes, each value at most 64 KiB
    /// of JSON.
    Put {
        /// The key.
        key: String,
        /// The value.
        value: Value,
    },
    /// Removes a value of its data; answered with whether there was one.
    Delete(String),
    /// Its tasks, ended ones included.
    Tasks,
    /// Those of one job class.
    TasksOf(ClassName),
    /// Writes a file of at most 1 MiB: [`WriteFile`]; answered with its whole path.
    #[serde(alias = "send_file")]
    WriteFile(WriteFile),
    /// What is in a file of at most 1 MiB, in base 64.
    ReadFile(String),
    /// What a file is: [`StatFile`].
    StatFile(String),
    /// Calls a function: [`Call`]; answered with what it returns.
    #[serde(alias = "spawn_call")]
    Call(Call),
    /// Loads a component as a job class, as the class `wasm` says it. The node keeps its content by
    /// digest already: [`Target::Store`](remuda_wire::message::file::Target).
    LoadClass(Value),
    /// Takes a loaded component away, as the class `wasm` says it.
    UnloadClass(Value),
    /// The components that are loaded, as the class `wasm` says it.
    Classes,
    /// What helps to find out what is wrong with it, as JSON and without secrets; for reading only,
    /// its form may change with every version.
    Debug,
}

/// The answers of a node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum NodeReply {
    /// To `info`.
    Info(Box<NodeInfo>),
    /// To `status` and `set_status`.
    Status(NodeStatus),
    /// To `labels`, `update_labels` and `remove_labels`.
    Labels(Labels),
    /// To `get`, `debug`, `call`, `load_class`, `unload_class` and `classes`.
    Value(Value),
    /// To `put`.
    Done(()),
    /// To `delete`.
    Deleted(bool),
    /// To `tasks` and `tasks_of`.
    Tasks(Vec<TaskRecord>),
    /// To `write_file` and `read_file`.
    Text(String),
    /// To `stat_file`.
    File(StatFile),
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// Its name.
    pub node: NodeId,
    /// Its roles.
    pub roles: Roles,
    /// Its boot counter.
    pub generation: Generation,
    /// The version it runs.
    pub version: String,
    /// Its status.
    pub status: NodeStatus,
    /// The name of its machine.
    pub hostname: String,
    /// Its operating system.
    pub os: String,
    /// The release of the kernel.
    pub kernel: String,
    /// Its processor architecture.
    pub arch: String,
    /// The process id of the agent.
    pub pid: u32,
    /// Its labels.
    pub labels: Labels,
    /// Facts that it found about itself, and configured ones.
    pub attributes: BTreeMap<String, String>,
    /// What it measures now.
    pub stats: NodeStats,
    /// Tasks that run, attached ones excluded.
    pub running_tasks: u32,
}

/// The class.
#[derive(Debug)]
pub(crate) struct NodeClass {
    pub(crate) node: NodeId,
    pub(crate) roles: Roles,
    pub(crate) generation: Generation,
    pub(crate) version: &'static str,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) data_dir: PathBuf,
    pub(crate) tasks: Tasks,
    pub(crate) labels: Arc<LabelBook>,
    pub(crate) data: DataBook,
    pub(crate) files: Files,
    pub(crate) classes: ClassTable,
    pub(crate) diagnosis: Slot,
}

impl NodeClass {
    async fn info(&self) -> NodeInfo {
        let stats = measure(self.data_dir.clone()).await;
        let fact = |key: &str| self.attributes.get(key).cloned().unwrap_or_default();
        NodeInfo {
            node: self.node.clone(),
            roles: self.roles,
            generation: self.generation,
            version: self.version.to_owned(),
            status: *self.tasks.status().borrow(),
            hostname: fact(measure::HOSTNAME),
            os: fact(measure::OS),
            kernel: fact(measure::KERNEL),
            arch: fact(measure::ARCH),
            pid: std::process::id(),
            labels: self.labels.get(),
            attributes: self.attributes.clone(),
            stats,
            running_tasks: *self.tasks.running().borrow(),
        }
    }
}

impl JobClass for NodeClass {
    const NAME: &'static str = "node";
    type Request = NodeRequest;
    type Reply = NodeReply;
    type Spec = ();
    type Command = ();
    type CommandReply = ();
    type Event = ();

    async fn request(
        &self,
        context: RequestContext,
        request: NodeRequest,
    ) -> Result<NodeReply, Failure> {
        Ok(match request {
            NodeRequest::Info => NodeReply::Info(Box::new(self.info().await)),
            NodeRequest::Status => NodeReply::Status(*self.tasks.status().borrow()),
            NodeRequest::SetStatus(status) => {
                NodeReply::Status(self.tasks.want(Wanted::from_status(status)?).await?)
            }
            NodeRequest::Labels => NodeReply::Labels(self.labels.get()),
            NodeRequest::UpdateLabels(with) => {
                NodeReply::Labels(self.labels.change(|labels| labels.update(&with)).await?)
            }
            NodeRequest::RemoveLabels(names) => {
                let names = names.iter().map(String::as_str);
                NodeReply::Labels(self.labels.change(|labels| labels.remove(names)).await?)
            }
            NodeRequest::Get(key) => NodeReply::Value(self.data.get(&key).await?),
            NodeRequest::Put { key, value } => {
                self.data.put(&key, &value).await?;
                NodeReply::Done(())
            }
            NodeRequest::Delete(key) => NodeReply::Deleted(self.data.delete(&key).await?),
            NodeRequest::Tasks => NodeReply::Tasks(self.tasks.list().await?),
            NodeRequest::TasksOf(class) => {
                let mut tasks = self.tasks.list().await?;
                tasks.retain(|task| task.class == class);
                NodeReply::Tasks(tasks)
            }
            NodeRequest::WriteFile(file) => NodeReply::Text(self.write_file(file).await?),
            NodeRequest::ReadFile(path) => NodeReply::Text(self.read_file(path).await?),
            NodeRequest::StatFile(path) => NodeReply::File(self.stat_file(path).await?),
            NodeRequest::Call(call) => NodeReply::Value(self.call(context, call).await?),
            NodeRequest::LoadClass(what) => {
                NodeReply::Value(self.ask(context, "wasm", &json!({ "load": what })).await?)
            }
            NodeRequest::UnloadClass(what) => {
                NodeReply::Value(self.ask(context, "wasm", &json!({ "unload": what })).await?)
            }
            NodeRequest::Classes => {
                NodeReply::Value(self.ask(context, "wasm", &json!("list")).await?)
            }
            NodeRequest::Debug => NodeReply::Value(self.diagnose().await),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_short_json() {
        let source = Some("() => 1".to_owned());
        let call = NodeRequest::Call(Call { source, ..Call::default() });
        let (path, data_base64) = ("/a".to_owned(), String::new());
        let file = WriteFile { path, data_base64, mode: None, keep_existing: false };
        let file = NodeRequest::WriteFile(file);
        for (json, request) in [
            (r#""info""#, NodeRequest::Info),
            (r#"{"set_status":"standby"}"#, NodeRequest::SetStatus(NodeStatus::Standby)),
            (r#"{"remove_labels":["a"]}"#, NodeRequest::RemoveLabels(vec!["a".to_owned()])),
            (r#"{"get":"k"}"#, NodeRequest::Get("k".to_owned())),
            (
                r#"{"put":{"key":"k","value":[1]}}"#,
                NodeRequest::Put { key: "k".to_owned(), value: serde_json::json!([1]) },
            ),
            (r#""tasks""#, NodeRequest::Tasks),
            (r#"{"call":{"source":"() => 1"}}"#, call.clone()),
            (r#"{"spawn_call":{"source":"() => 1"}}"#, call),
            (r#"{"write_file":{"path":"/a","data_base64":""}}"#, file.clone()),
            (r#"{"send_file":{"path":"/a","data_base64":""}}"#, file),
            (r#"{"tasks_of":"exec"}"#, NodeRequest::TasksOf("exec".parse().expect("a name"))),
            (r#""debug""#, NodeRequest::Debug),
        ] {
            assert_eq!(serde_json::from_str::<NodeRequest>(json).expect(json), request);
        }
        let labels = serde_json::from_str(r#"{"update_labels":"a"}"#).expect("labels as text");
        assert!(matches!(labels, NodeRequest::UpdateLabels(_)));
    }
}
