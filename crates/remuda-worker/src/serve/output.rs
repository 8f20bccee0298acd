//! Sends the output of a task to whoever follows it.

use std::{io, sync::Arc, time::Duration};

use remuda_link::{SendHalf, Stream, StreamError};
use remuda_model::{ErrorKind, Failure, TaskEnd};
use remuda_plugin::output::{self, OutputPiece, OutputReader};
use remuda_wire::message::output::{Chunk, Follow, Source};
use tokio::sync::watch;

use crate::{agent::Agent, failures, tasks::Found};

/// The longest first message, in bytes.
const MAX_HEADER: usize = 4 << 10;
/// How long a caller may take to send it.
const READ_LIMIT: Duration = Duration::from_secs(30);
/// How long the record of a task may lag behind the end of its output.
const END_LIMIT: Duration = Duration::from_secs(10);

/// Why nothing more is sent.
enum Stop {
    /// Everything was said, the end of the task included.
    AtEnd,
    /// Everything was said that was asked for.
    UpToDate,
    /// The follower has gone.
    Gone(StreamError),
    /// The output cannot be sent.
    Failed(Failure),
}

impl From<StreamError> for Stop {
    fn from(error: StreamError) -> Self {
        Self::Gone(error)
    }
}

/// Answers one follower.
pub(super) async fn serve(agent: Arc<Agent>, stream: Stream) {
    let (mut send, mut recv) = stream.split();
    let header = tokio::time::timeout(READ_LIMIT, recv.recv::<Follow>(MAX_HEADER)).await;
    let Ok(Ok(Some(follow))) = header else { return };
    // Whoever reads commands nothing: any epoch will do, and none is remembered.
    let found = match agent.tasks.follow(&follow.task).await {
        Ok(found) => found,
        Err(failure) => {
            // The follower may have gone.
            drop(send.send(&Chunk::Failed(failure)).await);
            drop(send.finish());
            return;
        }
    };
    let stop = tokio::select! {
        biased;
        () = agent.stop.cancelled() => Stop::Failed(failures::shutting_down()),
        stop = pump(&mut send, found, &follow) => stop,
    };
    let to_end = match stop {
        Stop::AtEnd => send.finish().is_ok(),
        Stop::UpToDate => {
            drop(send.finish());
            false
        }
        Stop::Gone(error) => {
            tracing::debug!(task = %follow.task, %error, "a follower has gone");
            false
        }
        Stop::Failed(failure) => {
            drop(send.send(&Chunk::Failed(failure)).await);
            drop(send.finish());
            false
        }
    };
    agent.tasks.unfollow(follow.task, to_end).await;
}

async fn pump(send: &mut SendHalf, found: Found, follow: &Follow) -> Stop {
    match found.output {
        Some(output) => match output.open().await {
            Ok(log) => {
                let reader = log.read_from(follow.offset, follow.follow);
                match pieces(send, reader, found.ended).await {
                    Ok(stop) | Err(stop) => stop,
                }
            }
            Err(error) => Stop::Failed(unreadable(&error)),
        },
        None => without_output(send, found.ended, follow.follow).await.unwrap_or_else(Stop::Gone),
    }
}

fn unreadable(error: &io::Error) -> Failure {
    let text = format!("the output cannot be read: {error}");
    Failure::new(ErrorKind::Unavailable, text).code("output_unreadable")
}

async fn pieces(
    send: &mut SendHalf,
    mut reader: OutputReader,
    ended: watch::Receiver<Option<TaskEnd>>,
) -> Result<Stop, Stop> {
    loop {
        let piece = tokio::select! {
            biased;
            gone = send.stopped() => return Err(Stop::Gone(gone)),
            piece = reader.next() => piece,
        };
        let piece = piece.map_err(|error| Stop::Failed(unreadable(&error)))?;
        match piece {
            OutputPiece::Data { source, bytes, next } => {
                let source = match source {
                    output::Source::Stdout => Source::Stdout,
                    output::Source::Stderr => Source::Stderr,
                };
                send.send(&Chunk::Data { source, bytes, next }).await?;
            }
            OutputPiece::Dropped { bytes } => send.send(&Chunk::Dropped { bytes }).await?,
            OutputPiece::UpToDate => {
                send.send(&Chunk::UpToDate).await?;
                return Ok(Stop::UpToDate);
            }
            OutputPiece::End(seen) => {
                // What the record says is what everybody else is told.
                let end = tokio::time::timeout(END_LIMIT, recorded(ended)).await;
                let end = end.ok().flatten().unwrap_or(seen);
                send.send(&Chunk::End(end)).await?;
                return Ok(Stop::AtEnd);
            }
        }
    }
}

/// A task without output has an end all the same.
async fn without_output(
    send: &mut SendHalf,
    ended: watch::Receiver<Option<TaskEnd>>,
    follow: bool,
) -> Result<Stop, StreamError> {
    let now = ended.borrow().clone();
    let end = match now {
        Some(end) => Some(end),
        None if !follow => {
            send.send(&Chunk::UpToDate).await?;
            return Ok(Stop::UpToDate);
        }
        None => tokio::select! {
            biased;
            gone = send.stopped() => return Err(gone),
            end = recorded(ended) => end,
        },
    };
    match end {
        Some(end) => {
            send.send(&Chunk::End(end)).await?;
            Ok(Stop::AtEnd)
        }
        None => Ok(Stop::Failed(failures::shutting_down())),
    }
}

async fn recorded(mut ended: watch::Receiver<Option<TaskEnd>>) -> Option<TaskEnd> {
    ended.wait_for(Option::is_some).await.ok()?.clone()
}
