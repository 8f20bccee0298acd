//! From the pipes of a task to its output record.

use std::{
    io,
    os::fd::OwnedFd,
    process::{ChildStderr, ChildStdout},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use remuda_model::TaskId;
use remuda_plugin::output::{MAX_PIECE, OutputWriter, Source};
use tokio::net::unix::pipe::Receiver;
use tokio_util::sync::CancellationToken;

use super::growth::Growth;

/// How many pieces of 64 KiB are read before others get their turn.
const PIECES: usize = 16;

/// Pumps the output of one task. It never waits for a reader: what is too much is dropped, oldest
/// first, by the record.
#[derive(Debug)]
pub(super) struct Pump {
    task: TaskId,
    record: OutputWriter,
    pipes: [Option<Receiver>; 2],
    len: Arc<AtomicU64>,
    growth: Growth,
    broken: bool,
}

const SOURCES: [Source; 2] = [Source::Stdout, Source::Stderr];

impl Pump {
    pub(super) fn new(
        task: TaskId,
        record: OutputWriter,
        stdout: ChildStdout,
        stderr: ChildStderr,
        growth: Growth,
    ) -> io::Result<Self> {
        let stdout = Receiver::from_owned_fd(OwnedFd::from(stdout))?;
        let stderr = Receiver::from_owned_fd(OwnedFd::from(stderr))?;
        let len = Arc::new(AtomicU64::new(record.len()));
        let pipes = [Some(stdout), Some(stderr)];
        Ok(Self { task, record, pipes, len, growth, broken: false })
    }

    /// The length of the record, as it grows.
    pub(super) fn len(&self) -> Arc<AtomicU64> {
        self.len.clone()
    }

    /// Pumps until both pipes have ended, or `finish` is cancelled; then it takes what is in the
    /// pipes at that moment, and no more.
    pub(super) async fn run(mut self, finish: CancellationToken) {
        while self.pipes.iter().any(Option::is_some) {
            let [stdout, stderr] = &self.pipes;
            let ready = tokio::select! {
                biased;
                () = finish.cancelled() => None,
                () = readable(stdout.as_ref()) => Some(0),
                () = readable(stderr.as_ref()) => Some(1),
            };
            let Some(which) = ready else {
                self.drain(0);
                self.drain(1);
                return;
            };
            self.drain(which);
            tokio::task::yield_now().await;
        }
    }

    fn drain(&mut self, which: usize) {
        let Some(pipe) = &self.pipes[which] else { return };
        // Memory is taken only while there is something to read: most tasks are quiet.
        let mut buffer = vec![0; MAX_PIECE];
        for _ in 0..PIECES {
            let bytes = match pipe.try_read(&mut buffer) {
                Ok(0) => {
                    self.pipes[which] = None;
                    break;
                }
                Ok(n) => &buffer[..n],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::warn!(task = %self.task, %error, "a pipe cannot be read");
                    self.pipes[which] = None;
                    break;
                }
            };
            // A full disk costs output, but the task goes on.
            if let Err(error) = self.record.append(SOURCES[which], bytes)
                && !std::mem::replace(&mut self.broken, true)
            {
                tracing::warn!(task = %self.task, %error, "output is lost");
            }
        }
        let len = self.record.len();
        if self.len.swap(len, Ordering::Relaxed) != len {
            self.growth.note(&self.task, len);
        }
    }
}

async fn readable(pipe: Option<&Receiver>) {
    match pipe {
        // An error shows again when reading is tried.
        Some(pipe) => drop(pipe.readable().await),
        None => std::future::pending().await,
    }
}
