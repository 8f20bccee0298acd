//! Commands: run while the caller listens, or left running as tasks.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::stream;
use remuda_driver_exec::{ExecCommand, Stdin};
use remuda_model::{ClassName, Failure, NodeId, TaskId, TaskRecord};
use remuda_runtime::trace;
use remuda_wire::message::work;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::output::{self, Output};
use crate::{
    access::Caller,
    answer::Answer,
    api::{Api, WORK_DEADLINE},
    described,
    dto::{ExecFile, ExecRepository, ExecRequest, OutputLine},
    extract::{Args, Json as Body_},
};

/// Lines on their way to the caller, at most 64 KiB of output each.
const MAX_LINES: usize = 16;
/// Standard input is handed over in pieces of this size.
const STDIN_PIECE: usize = 64 * 1024;
/// How long a command may take to end when its caller has gone.
const GRACE_MS: u64 = 5_000;
/// How long the last line may take when the token of the caller has ended.
const LAST_LINE: Duration = Duration::from_secs(3);
/// How long a command may refuse to read before its standard input is given up.
const STDIN_DEADLINE: Duration = Duration::from_hours(24);

/// Runs a command
///
/// Streams its output as lines of JSON and stops it when the caller goes away; with `detach` it
/// goes on as a task whose record is the answer.
#[utoipa::path(post, path = "/v1/nodes/{node}/exec", tag = "nodes", request_body = ExecRequest,
    params(("node" = String, Path, description = "Its name")),
    responses(
        (status = 200, description = "One `OutputLine` per line; the first is `started`.",
            content_type = "application/x-ndjson", body = OutputLine),
        (status = 201, description = "With `detach`: the task.", body = described::Task),
    ))]
pub(crate) async fn exec_command(
    State(api): State<Api>,
    caller: Caller,
    Args(node): Args<NodeId>,
    Body_(request): Body_<ExecRequest>,
) -> Answer<Response> {
    if request.stdin.is_some() && request.stdin_open {
        let reason = "body: stdin_base64 and stdin_open exclude each other";
        return Err(Failure::invalid(reason).into());
    }
    if request.argv.is_empty() && request.file.is_none() {
        return Err(Failure::invalid("body: argv: expected the program and its arguments").into());
    }
    let detach = request.detach;
    let command = Command::new(api.clone(), caller, node, request)?;
    let (started, start) = oneshot::channel();
    if detach {
        api.supervisor().spawn("exec", trace::carried(command.leave(started)));
        let record = start.await.map_err(gone)??;
        return Ok((StatusCode::CREATED, Json(record)).into_response());
    }
    let (lines, rest) = mpsc::channel(MAX_LINES);
    api.supervisor().spawn("exec", trace::carried(command.attend(started, lines)));
    let record = start.await.map_err(gone)??;
    let first = output::encode(&OutputLine::Started { task: Box::new(record) });
    let lines = stream::unfold((Some(first), rest), |(first, mut rest)| async move {
        let line = match first {
            Some(line) => line,
            None => rest.recv().await?,
        };
        Some((Ok::<_, Infallible>(line), (None, rest)))
    });
    Ok(output::ndjson(Body::from_stream(lines)))
}

fn gone(_dropped: oneshot::error::RecvError) -> Failure {
    Failure::new(remuda_model::ErrorKind::OutcomeUnknown, "the control node shuts down")
}

/// Tells how the start went.
type Started = oneshot::Sender<Result<TaskRecord, Failure>>;

/// One command. Its life is a task of its own, so that it is stopped whenever its caller goes
/// away, even between start and answer.
struct Command {
    api: Api,
    caller: Caller,
    node: NodeId,
    task: TaskId,
    class: ClassName,
    spec: Vec<u8>,
    stdin: Option<Vec<u8>>,
}

impl Command {
    fn new(api: Api, caller: Caller, node: NodeId, request: ExecRequest) -> Result<Self, Failure> {
        let stdin = request.stdin.clone();
        let (class, spec) = spec(request)?;
        Ok(Self {
            api,
            caller,
            node,
            task: TaskId::random(),
            class: class.parse().expect("a valid class name"),
            spec: serde_json::to_vec(&spec).map_err(|error| Failure::internal(&error))?,
            stdin,
        })
    }

    async fn start(&self, attached: bool) -> Result<TaskRecord, Failure> {
        let op = work::Op::Start {
            class: self.class.clone(),
            task: self.task.clone(),
            spec: self.spec.clone(),
            attached,
        };
        self.api.start(&self.node, op).await
    }

    /// Starts the command and leaves it alone, once it has its input.
    async fn leave(self, started: Started) {
        let result = self.start(false).await;
        let runs = result.is_ok();
        // A caller that has gone finds the task in the list.
        drop(started.send(result));
        if runs {
            tokio::select! {
                () = self.feed() => {}
                () = self.api.stopping().cancelled_owned() => {}
            }
        }
    }

    /// Starts the command, hands on its output, and stops it when the caller goes away.
    async fn attend(self, started: Started, lines: mpsc::Sender<Bytes>) {
        let result = self.start(true).await;
        let runs = result.is_ok();
        let has_caller = started.send(result).is_ok();
        if !runs {
            return;
        }
        let ended = has_caller
            && tokio::select! {
                ended = self.pump(&lines) => ended,
                () = lines.closed() => false,
                () = self.token_over() => false,
            };
        if !ended {
            self.stop().await;
        }
    }

    /// Resolves when the token has ended and the caller does not take the line that says so.
    async fn token_over(&self) {
        self.caller.clone().ended(&self.api).await;
        tokio::time::sleep(LAST_LINE).await;
    }

    /// Hands on output until the command has ended; tells whether it has.
    async fn pump(&self, lines: &mpsc::Sender<Bytes>) -> bool {
        let (api, caller) = (self.api.clone(), self.caller.clone());
        let (node, task) = (self.node.clone(), self.task.clone());
        let mut output = match Output::open(api, caller, node, task, 0, true).await {
            Ok(output) => output,
            Err(error) => {
                let line = output::encode(&OutputLine::Failed { error });
                drop(lines.send(line).await);
                return false;
            }
        };
        let feed = self.feed();
        tokio::pin!(feed);
        let mut fed = false;
        loop {
            let (line, last) = tokio::select! {
                next = output.next_line() => next,
                () = &mut feed, if !fed => {
                    fed = true;
                    continue;
                }
            };
            let ended = matches!(line, OutputLine::End { .. });
            if lines.send(output::encode(&line)).await.is_err() || last {
                return ended;
            }
        }
    }

    /// Writes the standard input and ends it. A command that ends without reading it all is none
    /// of our business.
    async fn feed(&self) {
        let Some(stdin) = &self.stdin else { return };
        for piece in stdin.chunks(STDIN_PIECE) {
            if self.command(&ExecCommand::Stdin(STANDARD.encode(piece))).await.is_err() {
                return;
            }
        }
        drop(self.command(&ExecCommand::CloseStdin).await);
    }

    async fn command(&self, command: &ExecCommand) -> Result<(), Failure> {
        let payload = serde_json::to_vec(command).map_err(|error| Failure::internal(&error))?;
        let op = work::Op::Command { task: self.task.clone(), payload };
        self.api.work(&self.node, op, STDIN_DEADLINE).await.map(drop)
    }

    async fn stop(&self) {
        let op = work::Op::Stop { task: self.task.clone(), grace_ms: GRACE_MS };
        if let Err(failure) = self.api.work(&self.node, op, WORK_DEADLINE).await {
            // The worker stops it by itself when nobody follows its output.
            tracing::info!(node = %self.node, task = %self.task, %failure, "cannot stop a command");
        }
    }
}

/// The class that runs a command, and what it is told.
fn spec(request: ExecRequest) -> Result<(&'static str, Value), Failure> {
    let open = request.stdin_open || request.stdin.is_some();
    let elsewhere = request.file.is_some() || request.repository.is_some();
    if elsewhere && (request.cwd.is_some() || request.user.is_some()) {
        let reason = "body: cwd, user: files and repositories run in folders of their own, as the \
                      user of the agent";
        return Err(Failure::invalid(reason));
    }
    let ExecRequest { argv, file, repository, .. } = request;
    let (class, mut spec) = match (file, repository) {
        (Some(_), Some(_)) => {
            return Err(Failure::invalid("body: file and repository exclude each other"));
        }
        (Some(ExecFile { digest, name }), None) => {
            ("file", json!({ "digest": digest, "name": name, "args": argv }))
        }
        (None, Some(ExecRepository { url, revision, dir, pre, post })) => (
            "repository",
            json!({
                "url": url, "revision": revision, "dir": dir, "pre": pre, "command": argv,
                "post": post,
            }),
        ),
        (None, None) => ("exec", json!({ "argv": argv, "cwd": request.cwd, "user": request.user })),
    };
    let stdin = if open { Stdin::Open } else { Stdin::None };
    let common = json!({
        "env": request.env, "clear_env": request.clear_env, "stdin": stdin,
        "timeout_ms": request.timeout_ms, "max_output_bytes": request.max_output_bytes,
    });
    if let (Value::Object(spec), Value::Object(common)) = (&mut spec, common) {
        spec.extend(common);
    }
    Ok((class, spec))
}
