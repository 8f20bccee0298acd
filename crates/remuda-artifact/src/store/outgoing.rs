//! Content that is handed out.

use std::{fmt, fs::File, io};

use bytes::Bytes;
use tokio::{sync::watch, task::JoinHandle};

use super::{Progress, Stage, StoreError, shelf::Pin};
use crate::reader::{Ahead, ahead};

/// Content that is handed out, also while it arrives.
pub struct Outgoing {
    state: State,
    progress: watch::Receiver<Progress>,
    /// Keeps the content from being thrown away.
    _pin: Pin,
    at: u64,
    size: u64,
}

enum State {
    Idle(File),
    Reading(JoinHandle<Ahead>),
    Ended,
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Outgoing {
    pub(super) fn new(
        file: File,
        (progress, pin): (watch::Receiver<Progress>, Pin),
        size: u64,
        at: u64,
    ) -> Self {
        Self { state: State::Idle(file), progress, _pin: pin, at, size }
    }

    /// The next bytes, or `None` at the end.
    ///
    /// # Errors
    ///
    /// [`StoreError::BrokenOff`] when it has stopped to arrive. Afterwards there is `None`.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        if self.at >= self.size {
            return Ok(None);
        }
        loop {
            match &mut self.state {
                State::Ended => return Ok(None),
                State::Idle(_) => {
                    if let Err(error) = self.wait().await {
                        self.state = State::Ended;
                        return Err(error);
                    }
                    self.begin();
                }
                State::Reading(reading) => {
                    let read = reading.await;
                    self.state = State::Ended;
                    let (file, _left, bytes) = read.map_err(io::Error::other)?;
                    let bytes = bytes?;
                    if bytes.is_empty() {
                        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                    }
                    self.at += bytes.len() as u64;
                    self.state = State::Idle(file);
                    if self.progress.borrow().len > self.at {
                        self.begin();
                    }
                    return Ok(Some(bytes));
                }
            }
        }
    }

    /// Waits until there is more than was read.
    async fn wait(&mut self) -> Result<(), StoreError> {
        let at = self.at;
        let more = self.progress.wait_for(|now| now.len > at || now.stage != Stage::Arriving);
        match more.await.as_deref() {
            Ok(now) if now.len > at => Ok(()),
            Ok(_) | Err(_) => Err(StoreError::BrokenOff),
        }
    }

    fn begin(&mut self) {
        let there = self.progress.borrow().len.min(self.size);
        self.state = match std::mem::replace(&mut self.state, State::Ended) {
            State::Idle(file) if there > self.at => State::Reading(ahead(file, there - self.at)),
            other => other,
        };
    }
}
