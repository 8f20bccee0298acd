//! Output of tasks as lines of JSON.

use axum::{
    body::{Body, Bytes},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use remuda_control::OutputStream;
use remuda_model::{ErrorKind, Failure};
use remuda_runtime::CancellationToken;
use remuda_wire::message::output::{Chunk, Source};

use crate::dto::OutputLine;

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

/// The next line of an output, and whether it is the last.
pub(super) async fn next_line(
    output: &mut OutputStream,
    stopping: &CancellationToken,
) -> (OutputLine, bool) {
    let next = tokio::select! {
        next = output.next() => next,
        () = stopping.cancelled() => Err(Failure::new(
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
            let error = Failure::new(ErrorKind::OutcomeUnknown, "the node ended the output early");
            (OutputLine::Failed { error: error.code("stream_interrupted") }, true)
        }
        Err(error) => (OutputLine::Failed { error }, true),
    }
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
pub(super) fn pulled(output: OutputStream, stopping: CancellationToken) -> Response {
    let lines = stream::unfold(Some(output), move |output| {
        let stopping = stopping.clone();
        async move {
            let mut output = output?;
            let (line, last) = next_line(&mut output, &stopping).await;
            let rest = (!last).then_some(output);
            Some((Ok::<_, std::convert::Infallible>(encode(&line)), rest))
        }
    });
    ndjson(Body::from_stream(lines))
}
