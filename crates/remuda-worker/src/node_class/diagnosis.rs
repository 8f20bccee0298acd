//! What a node says about itself to whoever looks for a fault: nothing secret, and nothing that its
//! users have said.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use remuda_model::{TaskEnd, TaskRecord, TaskState};
use remuda_runtime::metrics::Page;
use serde_json::{Value, json};

use super::NodeClass;

type Read = Box<dyn Fn() -> Value + Send + Sync>;

/// Tasks that are listed; the rest is counted.
const MAX_TASKS: usize = 1000;

/// Where the program puts what it knows, once.
#[derive(Clone, Default)]
pub(crate) struct Slot(Arc<OnceLock<Read>>);

impl Slot {
    pub(crate) fn set(&self, read: Read) {
        // The first one stays.
        let _stays = self.0.set(read).is_err();
    }

    fn read(&self) -> Value {
        self.0.get().map_or(Value::Null, |read| read())
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}

impl NodeClass {
    pub(super) async fn diagnose(&self) -> Value {
        let slot = self.diagnosis.clone();
        let read = tokio::task::spawn_blocking(move || {
            let mut page = Page::new();
            crate::metrics::write_process(&mut page);
            (slot.read(), page.into_text())
        });
        let (program, process) = read.await.unwrap_or_default();
        let tasks = self.tasks.list().await.unwrap_or_default();
        json!({
            "info": self.info().await,
            "process": process,
            "n_tasks": tasks.len(),
            "tasks": tasks.iter().take(MAX_TASKS).map(task).collect::<Vec<_>>(),
            "program": program,
        })
    }
}

/// A task without the words of its user: command lines have secrets in them.
fn task(task: &TaskRecord) -> Value {
    let state = match (&task.state, &task.end) {
        (TaskState::Running, _) => "running".to_owned(),
        (TaskState::Stopping, _) => "stopping".to_owned(),
        (TaskState::Ended, None) => "ended".to_owned(),
        (TaskState::Ended, Some(TaskEnd::Failed { .. })) => "failed".to_owned(),
        (TaskState::Ended, Some(TaskEnd::Lost { .. })) => "lost".to_owned(),
        (TaskState::Ended, Some(end)) => end.to_string(),
    };
    json!({
        "id": task.id,
        "class": task.class,
        "generation": task.generation,
        "state": state,
        "started_ms": task.started_ms,
        "ended_ms": task.ended_ms,
    })
}

#[cfg(test)]
mod tests {
    use remuda_model::Generation;

    use super::*;

    #[test]
    fn the_words_of_users_are_left_out() {
        let record = TaskRecord {
            id: "t1".parse().expect("a task"),
            class: "exec".parse().expect("a class"),
            node: "w1".parse().expect("a node"),
            generation: Generation(1),
            state: TaskState::Ended,
            end: Some(TaskEnd::Failed { message: "hunter2 was wrong".to_owned() }),
            summary: "login --password hunter2".to_owned(),
            started_ms: 1,
            ended_ms: Some(2),
        };
        let shown = task(&record);
        assert_eq!(shown["state"], "failed");
        assert!(!shown.to_string().contains("hunter2"), "{shown}");
    }
}
