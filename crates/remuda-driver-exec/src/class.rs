//! The job class `exec`.

use std::{
    fs::{self, DirBuilder},
    future::{pending, ready},
    io,
    os::unix::fs::DirBuilderExt,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::{
    StreamExt,
    future::{BoxFuture, join_all},
    stream::FuturesUnordered,
};
use remuda_model::{ErrorKind, Failure, NodeId, TaskEnd, TaskId};
use remuda_plugin::{
    Class, Command, Input, JobClass, RequestContext, Running, Task, erase,
    output::{DEFAULT_MAX_BYTES, OutputLog},
};
use remuda_runtime::Backoff;
use tokio::time::{sleep, timeout};

use crate::{
    client::{Client, Progress},
    launch::Launch,
    protocol::{Op, Spawn},
    quote::command_line,
    record::Spawned,
    request, signal,
    spec::{ExecCommand, ExecReply, ExecSpec},
};

/// How many commands of one task may wait for their answers.
const COMMANDS: usize = 16;

/// How long a task that nobody knows may take to end when the agent starts.
const UNKNOWN_LIMIT: Duration = Duration::from_secs(5);

/// How long the last answers may take after a task has ended.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// What the class needs from its agent.
#[derive(Clone, Debug)]
pub struct ExecConfig {
    /// A folder of its own, in which the holder keeps the tasks.
    pub data_dir: PathBuf,
    /// The program that is run as `PROGRAM holder --dir DIR` and calls
    /// [`run_holder`](crate::run_holder).
    pub program: PathBuf,
}

/// Why there can be no class `exec`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecError {
    /// The folder cannot be used.
    #[error("cannot use the folder `{path}`")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// Makes the class `exec`. It adopts a holder that runs; when none does, one is started with the
/// first task. When the class and its tasks are dropped, the holder stays as long as tasks run.
///
/// # Errors
///
/// When the folder cannot be used.
pub async fn exec_class(config: ExecConfig) -> Result<Arc<dyn Class>, ExecError> {
    let path = config.data_dir;
    let folder = |cause| ExecError::Folder { path: path.clone(), cause };
    DirBuilder::new().recursive(true).mode(0o700).create(path.join("tasks")).map_err(folder)?;
    let dir = fs::canonicalize(&path).map_err(folder)?;
    let program = std::path::absolute(&config.program).map_err(folder)?;
    let client = Client::start(dir, program);
    if let Err(failure) = client.running().await {
        tracing::warn!(%failure, "the holder cannot be adopted yet");
    }
    Ok(erase(Exec { client }))
}

#[derive(Debug)]
struct Exec {
    client: Client,
}

impl JobClass for Exec {
    const NAME: &'static str = "exec";
    type Request = ExecSpec;
    type Reply = ExecReply;
    type Spec = ExecSpec;
    type Command = ExecCommand;
    type CommandReply = ();
    type Event = ();

    async fn request(&self, context: RequestContext, spec: ExecSpec) -> Result<ExecReply, Failure> {
        let launch = prepare(&spec, context.node, None).await?;
        request::run(launch, spec).await
    }

    async fn start(&self, task: Task<Self>, spec: ExecSpec) -> Result<Running, Failure> {
        let launch = prepare(&spec, task.node().clone(), Some(task.id().clone())).await?;
        let summary = command_line(&spec.argv);
        let spawn = Spawn {
            task: task.id().clone(),
            launch,
            stdin: spec.stdin,
            timeout_ms: spec.timeout_ms,
            max_output_bytes: spec.max_output_bytes.unwrap_or(DEFAULT_MAX_BYTES),
            summary: summary.clone(),
        };
        let progress = self.client.spawn(spawn).await?;
        Ok(self.attached(task, summary, progress))
    }

    async fn recovering(&self, known: &[TaskId]) {
        let running = match self.client.running().await {
            Ok(running) => running,
            Err(failure) => {
                tracing::error!(%failure, "tasks that nobody knows may still run");
                return;
            }
        };
        let unknown = running.iter().filter(|task| !known.contains(task));
        join_all(unknown.map(|task| async move {
            tracing::warn!(%task, "a task that nobody knows is ended");
            self.end(task).await;
            self.client.remove(task).await;
        }))
        .await;
    }

    async fn recover(&self, task: Task<Self>) -> Result<Running, Failure> {
        let dir = self.client.task_dir(task.id());
        let spawned = tokio::task::spawn_blocking(move || Spawned::read(&dir)).await;
        let summary = spawned.ok().flatten().map(|spawned| spawned.summary).unwrap_or_default();
        if let Some(progress) = self.client.adopt(task.id()).await? {
            return Ok(self.attached(task, summary, progress));
        }
        let state = self.client.outcome(task.id()).await;
        let lost = || TaskEnd::Lost { message: "nothing is known of it".to_owned() };
        let end = state.end.clone().unwrap_or_else(lost);
        let (_, state) = tokio::sync::watch::channel(state);
        let output = Some(OutputLog { dir: self.client.task_dir(task.id()), state });
        Ok(Running { summary, output, work: Box::pin(ready(end)) })
    }

    async fn forget(&self, task: &TaskId) {
        if self.client.running().await.is_ok_and(|running| running.contains(task)) {
            self.end(task).await;
        }
        self.client.remove(task).await;
    }
}

impl Exec {
    fn attached(&self, task: Task<Self>, summary: String, progress: Progress) -> Running {
        let output = OutputLog { dir: self.client.task_dir(task.id()), state: progress.clone() };
        let work = Box::pin(attend(task, self.client.clone(), progress));
        Running { summary, output: Some(output), work }
    }

    /// Kills a task and waits until it has ended.
    async fn end(&self, task: &TaskId) {
        let Ok(Some(progress)) = self.client.adopt(task).await else { return };
        let stop = self.client.call(Op::Stop { task: task.clone(), grace_ms: 0 }).await;
        if let Err(failure) = stop {
            tracing::warn!(%task, %failure, "a task could not be killed");
        }
        if timeout(UNKNOWN_LIMIT, ended(progress)).await.is_err() {
            tracing::warn!(%task, "a killed task does not end");
        }
    }
}

async fn prepare(spec: &ExecSpec, node: NodeId, task: Option<TaskId>) -> Result<Launch, Failure> {
    let spec = spec.clone();
    tokio::task::spawn_blocking(move || Launch::prepare(&spec, &node, task.as_ref()))
        .await
        .map_err(|error| Failure::internal(&error))?
}

/// Waits for the end of a task. Pends for ever when nobody watches it any more.
async fn ended(mut progress: Progress) -> TaskEnd {
    let end = match progress.wait_for(|state| state.end.is_some()).await {
        Ok(state) => state.end.clone(),
        Err(_) => None,
    };
    match end {
        Some(end) => end,
        None => pending().await,
    }
}

/// The life of a task as the agent sees it. Dropping it leaves the process alone.
async fn attend(mut task: Task<Exec>, client: Client, progress: Progress) -> TaskEnd {
    let id = task.id().clone();
    let end = ended(progress);
    tokio::pin!(end);
    let mut answers: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
    loop {
        tokio::select! {
            end = &mut end => {
                // The holder answers what still waits; callers should hear that.
                drop(timeout(ANSWER_LIMIT, answers.collect::<()>()).await);
                return end;
            }
            Some(()) = answers.next() => {}
            input = task.next() => match input {
                Some(Input::Stop(grace)) => answers.push(Box::pin(stop(client.clone(), id.clone(), grace))),
                Some(Input::Command(command)) => {
                    let room = answers.len() < COMMANDS;
                    answers.extend(obey(&client, &id, command, room));
                }
                Some(Input::Status(_)) => {}
                // The agent shuts down and does not record this end; the process goes on.
                None => return TaskEnd::Lost { message: "its agent shut down".to_owned() },
            },
        }
    }
}

/// Has a task stopped; tries again when the holder cannot be reached, because it must not be
/// forgotten. Ends at last with the work that it belongs to.
async fn stop(client: Client, task: TaskId, grace: Duration) {
    let seed = u64::from(std::process::id());
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1), seed);
    let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
    while let Err(failure) = client.call(Op::Stop { task: task.clone(), grace_ms }).await {
        if matches!(failure.kind, ErrorKind::NotFound | ErrorKind::Conflict) {
            break;
        }
        sleep(backoff.next_delay()).await;
    }
}

/// Begins what a command says; the rest of it waits for the answer.
fn obey(
    client: &Client,
    task: &TaskId,
    command: Command<Exec>,
    room: bool,
) -> Option<BoxFuture<'static, ()>> {
    let begun = operation(task, command.body)
        .and_then(|op| if room { client.begin(op) } else { Err(too_many()) });
    match begun {
        Ok(answered) => Some(Box::pin(async move {
            let lost = || Failure::new(ErrorKind::OutcomeUnknown, "the holder gave no answer");
            let answer = answered.await.unwrap_or_else(|_dropped| Err(lost()));
            command.reply.send(answer);
        })),
        Err(failure) => {
            command.reply.send(Err(failure));
            None
        }
    }
}

fn operation(task: &TaskId, command: ExecCommand) -> Result<Op, Failure> {
    let task = task.clone();
    Ok(match command {
        ExecCommand::CloseStdin => Op::CloseStdin { task },
        ExecCommand::Signal(name) => Op::Signal { task, signal: signal::parse(&name)?.as_raw() },
        ExecCommand::Stdin(text) => {
            let bytes = BASE64_STANDARD
                .decode(text)
                .map_err(|error| Failure::invalid(format!("stdin: no base 64: {error}")))?;
            Op::Stdin { task, bytes }
        }
    })
}

fn too_many() -> Failure {
    Failure::new(ErrorKind::NoCapacity, "too many commands wait for the process")
        .hint("wait for answers before sending more; the process may not read its standard input")
}
