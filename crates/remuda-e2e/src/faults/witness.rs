//! Tasks that run through all faults and must not notice.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
};

use remuda::client::Client;
use remuda_api::dto::OutputLine;
use remuda_model::{TaskId, TaskState};

use crate::{detach, id, processes, within};

/// Prints numbers in order, for ever.
const COUNT: &str = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.2; done";

/// What each worker runs.
#[derive(Debug)]
pub(super) struct Witness(BTreeMap<String, Watched>);

#[derive(Debug)]
struct Watched {
    /// How long it sleeps, as no other process of this machine does.
    marker: String,
    pid: i32,
    counting: TaskId,
    n_lines: usize,
}

impl Witness {
    /// Starts the tasks.
    pub(super) async fn start(client: &Client, workers: &[String]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let mut watched = BTreeMap::new();
        for worker in workers {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let marker = format!("{}.{number}1", 500_000 + std::process::id());
            detach(client, worker, &["sleep", &marker]).await;
            let pids = processes(&["sleep", &marker]);
            assert_eq!(pids.len(), 1, "{worker}: {pids:?}");
            let counting = detach(client, worker, &["sh", "-c", COUNT]).await.id;
            watched.insert(worker.clone(), Watched { marker, pid: pids[0], counting, n_lines: 0 });
        }
        Self(watched)
    }

    /// Each task runs once, as the same process, and nothing of its output is missing.
    ///
    /// # Panics
    ///
    /// When that is not so.
    pub(super) async fn check(&mut self, client: &Client) {
        for (worker, watched) in &mut self.0 {
            let pids = processes(&["sleep", &watched.marker]);
            assert_eq!(pids, [watched.pid], "the processes of a task of {worker}");
            let node = id(worker);
            let record = client.task(&watched.counting, Some(&node)).await;
            let record = record.unwrap_or_else(|error| panic!("a task of {worker}: {error:?}"));
            assert_eq!(record.state, TaskState::Running, "{record:?}");
            let text =
                within("the output so far", Box::pin(output(client, worker, &watched.counting)))
                    .await;
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            let n_lines = whole.lines().count();
            for (expected, line) in whole.lines().enumerate() {
                assert_eq!(line, expected.to_string(), "output of {worker}");
            }
            assert!(n_lines > watched.n_lines, "{worker} says nothing after {n_lines} lines");
            watched.n_lines = n_lines;
        }
    }
}

/// What a task has said so far.
async fn output(client: &Client, worker: &str, task: &TaskId) -> String {
    let stream = client.output(task, Some(&id(worker)), 0, false).await;
    let mut stream = stream.unwrap_or_else(|error| panic!("output of {worker}: {error:?}"));
    let mut stdout = Vec::new();
    while let Some(line) = stream.next().await.expect("output") {
        if let OutputLine::Stdout { data, .. } = line {
            stdout.extend(data);
        }
    }
    String::from_utf8_lossy(&stdout).into_owned()
}
