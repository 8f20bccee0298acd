//! The standard input of a task.

use std::{io, os::fd::OwnedFd, process::ChildStdin};

use remuda_model::{ErrorKind, Failure};
use tokio::{io::AsyncWriteExt, net::unix::pipe::Sender, sync::mpsc};
use tokio_util::sync::CancellationToken;

use super::agent::Answer;

/// How many pieces may wait until the task reads them.
const QUEUE: usize = 32;

/// The way to the standard input of a task. Dropping it closes the input, after what waits.
#[derive(Debug)]
pub(super) struct Input(mpsc::Sender<(Vec<u8>, Option<Answer>)>);

impl Input {
    /// Takes the pipe, and writes `text` to it first. Gives up when the task has `ended`.
    pub(super) fn start(
        pipe: ChildStdin,
        text: Vec<u8>,
        ended: CancellationToken,
    ) -> io::Result<Self> {
        let pipe = Sender::from_owned_fd(OwnedFd::from(pipe))?;
        let (queue, pieces) = mpsc::channel(QUEUE);
        if !text.is_empty() {
            drop(queue.try_send((text, None)));
        }
        tokio::spawn(write(pipe, pieces, ended));
        Ok(Self(queue))
    }

    /// Hands over bytes; `answer` is given when the task has taken them.
    pub(super) fn write(&self, bytes: Vec<u8>, answer: Answer) {
        if let Err(error) = self.0.try_send((bytes, Some(answer))) {
            let (failure, (_, answer)) = match error {
                mpsc::error::TrySendError::Full(piece) => {
                    let busy = "the command does not read its standard input";
                    (Failure::new(ErrorKind::NoCapacity, busy), piece)
                }
                mpsc::error::TrySendError::Closed(piece) => (closed(), piece),
            };
            if let Some(answer) = answer {
                answer.send(Err(failure));
            }
        }
    }
}

/// What is said when there is no input to write to.
pub(super) fn closed() -> Failure {
    Failure::new(ErrorKind::Conflict, "the standard input of the command is closed")
        .code("stdin_closed")
        .hint("start the command with an open stdin to write to it")
}

async fn write(
    mut pipe: Sender,
    mut pieces: mpsc::Receiver<(Vec<u8>, Option<Answer>)>,
    ended: CancellationToken,
) {
    while let Some((bytes, answer)) = pieces.recv().await {
        let result = tokio::select! {
            written = pipe.write_all(&bytes) => written.map_err(|_the_reader_is_gone| closed()),
            () = ended.cancelled() => Err(closed()),
        };
        let failed = result.is_err();
        if let Some(answer) = answer {
            answer.send(result);
        }
        if failed {
            break;
        }
    }
    // Those who still wait must learn that nobody reads.
    pieces.close();
    while let Some((_, answer)) = pieces.recv().await {
        if let Some(answer) = answer {
            answer.send(Err(closed()));
        }
    }
}
