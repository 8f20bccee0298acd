//! Scripts as tasks: processes under a holder of the class `exec`, each with a folder of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use remuda_model::{ClassName, Failure, TaskEnd, TaskId};
use remuda_plugin::{Class, RawTask, Running};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{events::relay, script::Script, task_dir::TaskDir};

/// The variable that names the FIFO for events.
const EVENTS_VARIABLE: &str = "REMUDA_EVENTS";

/// The file that holds a line for people.
const SUMMARY: &str = "summary.json";

/// What the three classes share.
pub(crate) struct Held {
    /// Where the folders of the tasks are.
    tasks: PathBuf,
    /// What is run for each of them.
    pub(crate) program: PathBuf,
    /// Starts, watches and stops processes.
    exec: Arc<dyn Class>,
    roll: Mutex<Roll>,
}

/// Which tasks the agent knows; it tells each class of its own.
#[derive(Debug)]
struct Roll {
    /// How many classes have not been told yet.
    missing: usize,
    known: Vec<TaskId>,
}

/// How a script is run; all of it is handed to `exec`.
#[derive(Debug, Default)]
pub(crate) struct Process {
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) clear_env: bool,
    /// As `exec` has it.
    pub(crate) stdin: Option<Value>,
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) max_output_bytes: Option<u64>,
}

impl Held {
    pub(crate) fn new(
        tasks: PathBuf,
        program: PathBuf,
        exec: Arc<dyn Class>,
        classes: usize,
    ) -> Self {
        let roll = Mutex::new(Roll { missing: classes, known: Vec::new() });
        Self { tasks, program, exec, roll }
    }

    /// The folder of a task. Task ids are no paths by construction.
    fn dir(&self, task: &TaskId) -> TaskDir {
        TaskDir::new(self.tasks.join(task.as_str()))
    }

    /// Starts a task: makes its folder, lets `ready` put into it what the script needs, and has it
    /// run.
    pub(crate) async fn start(
        &self,
        task: RawTask,
        script: Script,
        process: Process,
        summary: String,
        ready: impl FnOnce(&TaskDir) -> Result<(), Failure> + Send + 'static,
    ) -> Result<Running, Failure> {
        let dir = self.dir(&task.id);
        let spec = spec(&self.program, &dir, process)?;
        let prepared = {
            let (dir, summary) = (dir.clone(), summary.clone());
            move || {
                dir.create().map_err(|error| unwritable(&error))?;
                ready(&dir)?;
                let written = dir.write(SUMMARY, &summary);
                written
                    .and_then(|()| dir.write(Script::FILE, &script))
                    .map_err(|error| unwritable(&error))
            }
        };
        let prepared = blocking(prepared).await.and_then(|prepared| prepared);
        let (id, events) = (task.id.clone(), task.events.clone());
        let started = match prepared {
            Ok(()) => self.exec.start(task, spec).await,
            Err(failure) => Err(failure),
        };
        match started {
            Ok(running) => Ok(attended(dir, id, events, Running { summary, ..running })),
            Err(failure) => {
                clean(&id, move || dir.remove()).await;
                Err(failure)
            }
        }
    }

    /// Takes up a task of an earlier boot.
    pub(crate) async fn recover(&self, task: RawTask) -> Result<Running, Failure> {
        let (dir, id, events) = (self.dir(&task.id), task.id.clone(), task.events.clone());
        let running = self.exec.recover(task).await?;
        let kept = dir.clone();
        let summary = blocking(move || kept.read(SUMMARY)).await;
        let summary = summary.ok().and_then(Result::ok).unwrap_or_default();
        Ok(attended(dir, id, events, Running { summary, ..running }))
    }

    /// Hears which tasks one of the classes has. When all have been heard, what else is left of
    /// tasks is ended and removed.
    pub(crate) async fn recovering(&self, known: &[TaskId]) {
        let all = {
            let mut roll = self.roll.lock().unwrap_or_else(PoisonError::into_inner);
            roll.known.extend_from_slice(known);
            roll.missing = roll.missing.saturating_sub(1);
            (roll.missing == 0).then(|| std::mem::take(&mut roll.known))
        };
        let Some(all) = all else { return };
        self.exec.recovering(&all).await;
        let tasks = self.tasks.clone();
        let known: BTreeSet<_> = all.into_iter().collect();
        let tidied = blocking(move || remove_unknown(&tasks, &known)).await;
        if let Err(failure) = tidied {
            tracing::warn!(%failure, "what earlier tasks have left could not be removed");
        }
    }

    /// What the process of a task has left as its result.
    pub(crate) async fn result(&self, task: &TaskId) -> Option<Result<Value, String>> {
        let dir = self.dir(task);
        blocking(move || dir.read(Script::RESULT)).await.ok().and_then(Result::ok)
    }

    pub(crate) async fn forget(&self, task: &TaskId) {
        self.exec.forget(task).await;
        let dir = self.dir(task);
        clean(task, move || dir.remove()).await;
    }
}

fn remove_unknown(tasks: &Path, known: &BTreeSet<TaskId>) {
    let entries = fs::read_dir(tasks).into_iter().flatten().flatten();
    for entry in entries {
        let id = entry.file_name().to_str().and_then(|name| name.parse::<TaskId>().ok());
        if id.is_some_and(|id| known.contains(&id)) {
            continue;
        }
        if let Err(error) = TaskDir::new(entry.path()).remove() {
            let dir = entry.path();
            tracing::warn!(dir = %dir.display(), %error, "left-over files could not be removed");
        }
    }
}

/// What `exec` is told.
fn spec(program: &Path, dir: &TaskDir, process: Process) -> Result<Vec<u8>, Failure> {
    let text = |path: &Path| {
        let no_text = || Failure::invalid("the folder of the agent is no UTF-8");
        path.to_str().map(str::to_owned).ok_or_else(no_text)
    };
    let mut env = process.env;
    env.insert(EVENTS_VARIABLE.to_owned(), text(&dir.events())?);
    let mut spec = json!({
        "argv": [text(program)?, "script-run", text(dir.path())?],
        "env": env,
        "clear_env": process.clear_env,
        "cwd": text(&dir.work())?,
    });
    let options = [
        ("stdin", process.stdin),
        ("timeout_ms", process.timeout_ms.map(Value::from)),
        ("max_output_bytes", process.max_output_bytes.map(Value::from)),
    ];
    for (name, value) in options {
        if let Some(value) = value {
            spec[name] = value;
        }
    }
    serde_json::to_vec(&spec).map_err(|error| Failure::internal(&error))
}

/// A task whose events are reported, and whose folder goes with it.
fn attended(
    dir: TaskDir,
    id: TaskId,
    events: remuda_plugin::EventSink,
    running: Running,
) -> Running {
    let Running { summary, output, work } = running;
    let work = Box::pin(async move {
        let end = relay(dir.clone(), id.clone(), events, work).await;
        tidy(dir, id, end).await
    });
    Running { summary, output, work }
}

/// Removes what an ended task needs no more.
async fn tidy(dir: TaskDir, id: TaskId, end: TaskEnd) -> TaskEnd {
    // Also said when the agent shuts down, while the task goes on.
    let is_lost = matches!(end, TaskEnd::Lost { .. });
    clean(&id, move || {
        // The mark is held until everything is removed.
        let _mark = if is_lost {
            let Some(mark) = dir.lock()? else { return Ok(()) };
            Some(mark)
        } else {
            None
        };
        dir.remove_but_result()
    })
    .await;
    end
}

async fn clean(task: &TaskId, remove: impl FnOnce() -> std::io::Result<()> + Send + 'static) {
    match blocking(remove).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%task, %error, "the files of a task could not be removed"),
        Err(failure) => tracing::warn!(%task, %failure, "the files of a task were not removed"),
    }
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Failure::internal(&error))
}

fn unwritable(error: &std::io::Error) -> Failure {
    Failure::new(
        remuda_model::ErrorKind::Unavailable,
        format!("cannot make the folder of the task: {error}"),
    )
    .hint("look whether the disk of the node is full")
}

pub(crate) fn class_name(name: &str) -> ClassName {
    name.parse().expect("the name of a class")
}

/// Reads what users say.
pub(crate) fn read<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes)
        .map_err(|error| Failure::invalid(format!("malformed {what}: {error}")))
}

/// One short line for people.
pub(crate) fn line(text: &str) -> String {
    const MOST: usize = 200;
    let plain = |char: char| if char.is_control() { ' ' } else { char };
    let mut line: String = text.chars().take(MOST).map(plain).collect();
    if text.chars().nth(MOST).is_some() {
        line.push('…');
    }
    line
}
