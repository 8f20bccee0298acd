//! Tasks of all nodes, asked from the nodes themselves: nobody else knows them better.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use remuda_model::{
    ClassName, ErrorKind, Failure, NodeId, NodeStatus, TaskId, TaskRecord, TaskState,
};
use remuda_wire::message::work;

use crate::{Consistency, Control, work::unexpected};

/// How many nodes are asked at a time.
const AT_A_TIME: usize = 64;
/// How long one node may take.
const NODE: Duration = Duration::from_secs(5);

/// Which tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// Only of this node.
    pub node: Option<NodeId>,
    /// Only of this class.
    pub class: Option<ClassName>,
    /// Only those that have not ended (`true`), or that have (`false`).
    pub running: Option<bool>,
}

impl TaskFilter {
    fn wants(&self, task: &TaskRecord) -> bool {
        self.class.as_ref().is_none_or(|class| *class == task.class)
            && self.running.is_none_or(|running| running == (task.state != TaskState::Ended))
    }
}

/// The tasks that were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tasks {
    /// By node, then by start.
    pub tasks: Vec<TaskRecord>,
    /// The nodes that did not answer: their tasks are missing.
    pub unreachable: Vec<NodeId>,
}

impl Control {
    /// The tasks of one node or of all.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) for an unknown node; with a node in the filter, that it
    /// cannot be asked. Otherwise nodes that cannot be asked are listed.
    pub async fn tasks(&self, filter: TaskFilter) -> Result<Tasks, Failure> {
        if let Some(node) = &filter.node {
            let mut tasks = self.tasks_of(node).await?;
            tasks.retain(|task| filter.wants(task));
            sort(&mut tasks);
            return Ok(Tasks { tasks, unreachable: Vec::new() });
        }
        let mut found = Tasks::default();
        let mut connected = Vec::new();
        for view in self.nodes(Consistency::Stale).await? {
            if view.status == NodeStatus::NotConnected {
                found.unreachable.push(view.id);
            } else {
                connected.push(view.id);
            }
        }
        let mut answers = stream::iter(connected)
            .map(|node| async move {
                let tasks = self.tasks_of(&node).await;
                (node, tasks)
            })
            .buffer_unordered(AT_A_TIME);
        while let Some((node, tasks)) = answers.next().await {
            match tasks {
                Ok(tasks) => {
                    found.tasks.extend(tasks.into_iter().filter(|task| filter.wants(task)));
                }
                Err(_) => found.unreachable.push(node),
            }
        }
        sort(&mut found.tasks);
        found.unreachable.sort();
        Ok(found)
    }

    async fn tasks_of(&self, node: &NodeId) -> Result<Vec<TaskRecord>, Failure> {
        match self.look(node, work::Op::Tasks).await? {
            work::Done::Tasks(tasks) => Ok(tasks),
            _ => Err(unexpected(node)),
        }
    }

    /// Asks for something that changes nothing, and again when the link was lost meanwhile.
    async fn look(&self, node: &NodeId, op: work::Op) -> Result<work::Done, Failure> {
        match self.work(node, op.clone(), NODE).await {
            Err(failure) if failure.kind == ErrorKind::OutcomeUnknown => {
                self.work(node, op, NODE).await
            }
            answer => answer,
        }
    }

    async fn task_of(&self, node: &NodeId, task: &TaskId) -> Result<TaskRecord, Failure> {
        match self.look(node, work::Op::Task { task: task.clone() }).await? {
            work::Done::Task(record) => Ok(*record),
            _ => Err(unexpected(node)),
        }
    }

    /// One task, on the given node or wherever it is.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound), which names the nodes that could not be asked;
    /// [`Conflict`](ErrorKind::Conflict) with the code `ambiguous_task` when several nodes have a
    /// task of this id.
    pub async fn find_task(
        &self,
        task: &TaskId,
        node: Option<&NodeId>,
    ) -> Result<TaskRecord, Failure> {
        if let Some(node) = node {
            return self.task_of(node, task).await;
        }
        let mut unasked = Vec::new();
        let mut connected = Vec::new();
        for view in self.nodes(Consistency::Stale).await? {
            let known =
                if view.status == NodeStatus::NotConnected { &mut unasked } else { &mut connected };
            known.push(view.id);
        }
        let mut answers = stream::iter(connected)
            .map(|node| async move {
                let record = self.task_of(&node, task).await;
                (node, record)
            })
            .buffer_unordered(AT_A_TIME);
        let mut found = Vec::new();
        while let Some((node, record)) = answers.next().await {
            match record {
                Ok(record) => found.push(record),
                Err(failure) if failure.kind == ErrorKind::NotFound => (),
                Err(_) => unasked.push(node),
            }
        }
        choose(task, found, unasked)
    }
}

fn choose(
    task: &TaskId,
    mut found: Vec<TaskRecord>,
    mut unasked: Vec<NodeId>,
) -> Result<TaskRecord, Failure> {
    if found.len() > 1 {
        found.sort_by(|a, b| a.node.cmp(&b.node));
        let message =
            format!("task `{task}` exists on {}", names(found.iter().map(|record| &record.node)));
        return Err(Failure::new(ErrorKind::Conflict, message)
            .code("ambiguous_task")
            .hint("name the node as well"));
    }
    found.pop().ok_or_else(|| {
        unasked.sort();
        let failure = Failure::not_found(format!("no task `{task}`")).code("unknown_task");
        if unasked.is_empty() {
            failure.hint("`remuda task list` shows the tasks")
        } else {
            failure.hint(format!("these nodes could not be asked: {}", names(unasked.iter())))
        }
    })
}

/// At most ten names.
fn names<'a>(nodes: impl Iterator<Item = &'a NodeId>) -> String {
    let nodes: Vec<_> = nodes.map(NodeId::as_str).collect();
    match nodes.len() {
        0..=10 => nodes.join(", "),
        n => format!("{} and {} more", nodes[..10].join(", "), n - 10),
    }
}

fn sort(tasks: &mut [TaskRecord]) {
    tasks.sort_by(|a, b| (&a.node, a.started_ms, &a.id).cmp(&(&b.node, b.started_ms, &b.id)));
}

#[cfg(test)]
mod tests {
    use remuda_model::Generation;

    use super::*;

    fn record(node: &str, state: TaskState) -> TaskRecord {
        TaskRecord {
            id: "t1".parse().unwrap(),
            class: "exec".parse().unwrap(),
            node: node.parse().unwrap(),
            generation: Generation(1),
            state,
            end: None,
            summary: String::new(),
            started_ms: 0,
            ended_ms: None,
        }
    }

    #[test]
    fn filters_tell_running_from_ended() {
        let filter = |running| TaskFilter { running, ..TaskFilter::default() };
        let (running, ended) = (record("a", TaskState::Running), record("a", TaskState::Ended));
        assert!(filter(Some(true)).wants(&running) && !filter(Some(true)).wants(&ended));
        assert!(!filter(Some(false)).wants(&running) && filter(Some(false)).wants(&ended));
        assert!(filter(None).wants(&running) && filter(None).wants(&ended));
    }

    #[test]
    fn a_task_is_found_once_or_the_failure_says_what_is_missing() {
        let task: TaskId = "t1".parse().unwrap();
        let one = vec![record("a", TaskState::Running)];
        assert!(choose(&task, one.clone(), Vec::new()).is_ok());
        let two = [one.clone(), vec![record("b", TaskState::Running)]].concat();
        let ambiguous = choose(&task, two, Vec::new()).expect_err("two");
        assert_eq!(ambiguous.code, "ambiguous_task");
        let missing = choose(&task, Vec::new(), vec!["w9".parse().unwrap()]).expect_err("none");
        assert_eq!(missing.kind, ErrorKind::NotFound);
        assert!(missing.hint.expect("a hint").contains("w9"));
    }
}
