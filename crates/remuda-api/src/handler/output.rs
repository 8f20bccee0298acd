//! Output of tasks as lines of JSON.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::{future::BoxFuture, stream};
use remuda_control::OutputStream;
use remuda_model::{ErrorKind, Failure, NodeId, TaskId};
use remuda_runtime::{Backoff, CancellationToken};
use remuda_wire::message::output::{Chunk, Source};

use tokio::time::{Instant, sleep};

use crate::{
    access::{Caller, token_ended},
    api::Api,
    dto::OutputLine,
};

/// The type of a body that has one JSON value per line.
const NDJSON: &str = "application/x-ndjson";

/// A body of lines.
pub(super) fn ndjson(body: Body) -> Response {
    (StatusCode::OK, [(header::CONTENT_TYPE, NDJSON)], body).into_response()
}

/// A line as bytes.
pub(super) fn encode(line: &OutputLine) -> Bytes {
    let mut bytes = serde_json::to_vec(line).expect("lines are plain data");
    bytes.push(b'\n');
    bytes.into()
}

/// How long the way to a node may be lost before its output is no longer followed. A node whose
/// owner changes is back within seconds.
const FOLLOWED: Duration = Duration::from_secs(30);
/// How long output that exists waits for a node whose owner has changed.
const MOVING: Duration = Duration::from_secs(3);

/// The output of a task, for as long as its caller may see it.
pub(super) struct Output {
    chunks: Chunks,
    stopping: CancellationToken,
    /// The end of the caller's token.
    ended: BoxFuture<'static, ()>,
}

/// What a node sends. When it is followed, it survives that the way to the node changes.
struct Chunks {
    api: Api,
    node: NodeId,
    task: TaskId,
    follow: bool,
    /// Where to go on.
    next: u64,
    stream: Option<OutputStream>,
    lost: Option<Instant>,
    backoff: Backoff,
}

impl Output {
    pub(super) async fn open(
        api: Api,
        caller: Caller,
        node: NodeId,
        task: TaskId,
        next: u64,
        follow: bool,
    ) -> Result<Self, Failure> {
        let stream = Some(api.control().output(&node, &task, next, follow).await?);
        let (base, cap) = (Duration::from_millis(100), Duration::from_secs(2));
        let backoff = Backoff::new(base, cap, next ^ u64::from(std::process::id()));
        let (stopping, ended) = (api.stopping(), caller.ended(&api));
        let chunks = Chunks { api, node, task, follow, next, stream, lost: None, backoff };
        Ok(Self { chunks, stopping, ended })
    }

    /// The next line, and whether it is the last. Cancel safe.
    pub(super) async fn next_line(&mut self) -> (OutputLine, bool) {
        let next = tokio::select! {
            // What comes after the token has ended is not for its bearer, however soon it comes.
            biased;
            () = &mut self.ended => Err(token_ended()),
            next = self.chunks.next() => next,
            () = self.stopping.cancelled() => Err(Failure::new(
                ErrorKind::Unavailable,
                "the control node shuts down",
            )
            .code("shutting_down")
            .hint("follow the task through another control node")),
        };
        match next {
            Ok(Some(chunk)) => {
                let last = matches!(chunk, Chunk::End(_) | Chunk::UpToDate | Chunk::Failed(_));
                (line(chunk), last)
            }
            Ok(None) => {
                let error =
                    Failure::new(ErrorKind::OutcomeUnknown, "the node ended the output early");
                (OutputLine::Failed { error: error.code("stream_interrupted") }, true)
            }
            Err(error) => (OutputLine::Failed { error }, true),
        }
    }
}

impl Chunks {
    async fn next(&mut self) -> Result<Option<Chunk>, Failure> {
        loop {
            let next = if let Some(stream) = &mut self.stream {
                stream.next().await
            } else {
                let again =
                    self.api.control().output(&self.node, &self.task, self.next, self.follow);
                match again.await {
                    Ok(stream) => {
                        self.stream = Some(stream);
                        continue;
                    }
                    Err(error) => Err(error),
                }
            };
            match next {
                Ok(chunk) => {
                    if let Some(Chunk::Data { next, .. }) = &chunk {
                        self.next = *next;
                    }
                    self.lost = None;
                    self.backoff.reset();
                    return Ok(chunk);
                }
                Err(error) => {
                    let lost = *self.lost.get_or_insert_with(Instant::now);
                    if !may_return(&error) || lost.elapsed() >= self.patience() {
                        return Err(error);
                    }
                    self.stream = None;
                    sleep(self.backoff.next_delay()).await;
                }
            }
        }
    }

    /// How long a way to the node is looked for.
    fn patience(&self) -> Duration {
        if self.follow {
            FOLLOWED
        } else if self.api.control().is_moving(&self.node) {
            MOVING
        } else {
            Duration::ZERO
        }
    }
}

/// Whether the output may be had again from where it broke off: the way to the node is lost, or a
/// former owner of it was asked.
fn may_return(error: &Failure) -> bool {
    matches!(error.kind, ErrorKind::Unavailable | ErrorKind::NotConnected)
        || error.code == "stale_epoch"
}

fn line(chunk: Chunk) -> OutputLine {
    match chunk {
        Chunk::Data { source: Source::Stdout, bytes, next } => {
            OutputLine::Stdout { data: bytes, next }
        }
        Chunk::Data { source: Source::Stderr, bytes, next } => {
            OutputLine::Stderr { data: bytes, next }
        }
        Chunk::Dropped { bytes } => OutputLine::Dropped { bytes },
        Chunk::End(end) => OutputLine::End { end },
        Chunk::UpToDate => OutputLine::UpToDate,
        Chunk::Failed(error) => OutputLine::Failed { error },
    }
}

/// An output that is read as fast as the caller takes it, and given up when the caller goes away.
pub(super) fn pulled(output: Output) -> Response {
    let lines = stream::unfold(Some(output), |output| async move {
        let mut output = output?;
        let (line, last) = output.next_line().await;
        let rest = (!last).then_some(output);
        Some((Ok::<_, Infallible>(encode(&line)), rest))
    });
    ndjson(Body::from_stream(lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_a_node_that_moves_goes_on() {
        let moved = Failure::new(ErrorKind::Conflict, "an older owner").code("stale_epoch");
        assert!(may_return(&moved));
        assert!(may_return(&Failure::new(ErrorKind::NotConnected, "no link")));
        assert!(!may_return(&Failure::not_found("no such task")));
        assert!(!may_return(&Failure::new(ErrorKind::Conflict, "another one")));
    }
}
