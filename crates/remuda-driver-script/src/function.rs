//! The job class `function`.

use std::{path::PathBuf, sync::Arc};

use futures_util::future::BoxFuture;
use remuda_model::{ClassName, Event, ExitStatus, Failure, TaskEnd, TaskId};
use remuda_plugin::{Class, RawTask, RequestContext, Running};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::{
    held::{Held, Process},
    script::Script,
    task_dir::TaskDir,
};

mod engine;
mod helper;
mod process;
mod protocol;
mod sandbox;
mod spec;
mod voice;

pub use helper::run_function_helper;
pub(crate) use process::{GRACE, Helper};
pub(crate) use protocol::{Fault, MAX_TASK_RESULT, Said};
pub(crate) use spec::Way;
pub use spec::{FunctionReply, FunctionSpec};

/// How many functions are run at once because somebody waits for them; others wait their turn.
const AT_ONCE: usize = 32;

pub(crate) struct Functions {
    program: PathBuf,
    turns: Semaphore,
    held: Arc<Held>,
}

impl Functions {
    const NAME: &str = "function";

    pub(crate) fn new(held: Arc<Held>) -> Self {
        Self { program: held.program.clone(), turns: Semaphore::new(AT_ONCE), held }
    }

    /// The same task, which ends with what its function has returned.
    fn with_result(&self, task: TaskId, running: Running) -> Running {
        let Running { summary, output, work } = running;
        let held = Arc::clone(&self.held);
        let work = Box::pin(async move {
            let ended = work.await;
            end(ended, held.result(&task).await)
        });
        Running { summary, output, work }
    }

    async fn run(&self, spec: FunctionSpec) -> Result<FunctionReply, Failure> {
        let limits = spec.limits(Way::Request)?;
        let _turn = self.turns.acquire().await.map_err(|closed| Failure::internal(&closed))?;
        let helper = Helper::start(&self.program, spec, limits, protocol::MAX_RESULT, false)?;
        let (mut log, mut log_truncated) = (Vec::new(), false);
        let result = helper.run(|said| match said {
            Said::Log(line) => log.push(line),
            Said::LogTruncated => log_truncated = true,
            // Nobody follows a request.
            Said::Progress(_) | Said::Value(_) | Said::Result(_) | Said::Fault(_) => {}
        });
        let result = result.await.map_err(Fault::into_failure)?;
        Ok(FunctionReply { result, log, log_truncated })
    }
}

impl Class for Functions {
    fn name(&self) -> ClassName {
        crate::held::class_name(Self::NAME)
    }

    fn request(
        &self,
        _context: RequestContext,
        payload: Vec<u8>,
    ) -> BoxFuture<'_, Result<Vec<u8>, Failure>> {
        Box::pin(async move {
            let reply = self.run(crate::held::read("request", &payload)?).await?;
            serde_json::to_vec(&reply).map_err(|error| Failure::internal(&error))
        })
    }

    fn start(&self, task: RawTask, spec: Vec<u8>) -> BoxFuture<'_, Result<Running, Failure>> {
        Box::pin(async move {
            let spec: FunctionSpec = crate::held::read("spec", &spec)?;
            let limits = spec.limits(Way::Task)?;
            let beyond = limits.time.saturating_add(GRACE).saturating_add(GRACE);
            let process = Process {
                clear_env: true,
                timeout_ms: u64::try_from(beyond.as_millis()).ok(),
                ..Process::default()
            };
            let summary = summary(&spec.source);
            let (id, ready) = (task.id.clone(), |_: &TaskDir| Ok(()));
            let script = Script::Function(spec);
            let running = self.held.start(task, script, process, summary, ready).await?;
            Ok(self.with_result(id, running))
        })
    }

    fn recovering<'a>(&'a self, known: &'a [TaskId]) -> BoxFuture<'a, ()> {
        Box::pin(self.held.recovering(known))
    }

    fn recover(&self, task: RawTask) -> BoxFuture<'_, Result<Running, Failure>> {
        Box::pin(async move {
            let id = task.id.clone();
            Ok(self.with_result(id, self.held.recover(task).await?))
        })
    }

    fn forget<'a>(&'a self, task: &'a TaskId) -> BoxFuture<'a, ()> {
        Box::pin(self.held.forget(task))
    }

    fn event<'a>(&'a self, _event: &'a Event) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// The first line of the source, for people.
fn summary(source: &str) -> String {
    const MOST: usize = 80;
    let line = source.trim().lines().next().unwrap_or_default().trim_end();
    let shown: String = line.chars().filter(|char| !char.is_control()).take(MOST).collect();
    if shown.len() < source.trim().len() { format!("{shown}…") } else { shown }
}

/// What became of a function that ran as a task, by what its process has left.
fn end(ended: TaskEnd, left: Option<Result<Value, String>>) -> TaskEnd {
    match (ended, left) {
        (TaskEnd::Exited { status, .. }, Some(Ok(result))) if status.success() => {
            TaskEnd::Finished { result: result.to_string() }
        }
        (TaskEnd::Exited { stopped: false, .. }, Some(Err(message))) => TaskEnd::Failed { message },
        (TaskEnd::Exited { status: ExitStatus::Code(0), .. }, None) => {
            TaskEnd::Lost { message: "it ended, and its result is lost".to_owned() }
        }
        (ended, _) => ended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_one_line() {
        assert_eq!(summary(" () => 1\n"), "() => 1");
        assert_eq!(summary("function (a) {\n  return a\n}"), "function (a) {…");
        assert!(summary(&"ä".repeat(500)).ends_with("ä…"));
    }

    #[test]
    fn the_end_of_a_function_is_its_result_or_its_error() {
        let exited = |status, stopped| TaskEnd::Exited { status, stopped, timed_out: false };
        let well = exited(ExitStatus::Code(0), false);
        let result = end(well.clone(), Some(Ok(serde_json::json!({"a": 1}))));
        assert_eq!(result, TaskEnd::Finished { result: r#"{"a":1}"#.to_owned() });
        assert!(matches!(end(well, None), TaskEnd::Lost { .. }));
        let failed = end(exited(ExitStatus::Code(1), false), Some(Err("boom".to_owned())));
        assert_eq!(failed, TaskEnd::Failed { message: "boom".to_owned() });
        let killed = exited(ExitStatus::Signal(15), true);
        assert_eq!(end(killed.clone(), None), killed);
    }
}
