//! The two directions of a stream, as their users hold them.

use std::{future::poll_fn, sync::Arc, task::Poll};

use bytes::Bytes;
use remuda_wire::mux::{Key, Read, Reason, SendError};

use super::{
    Held,
    state::{Direction, State},
};
use crate::StreamError;

/// The sending direction.
pub(crate) struct SendStream {
    held: Arc<Held>,
    key: Key,
    /// Finished or reset: the key is no longer ours.
    released: bool,
}

/// The receiving direction.
pub(crate) struct RecvStream {
    held: Arc<Held>,
    key: Key,
    /// Read to its end or stopped: the key is no longer ours.
    released: bool,
}

pub(super) fn pair(held: &Arc<Held>, key: Key) -> (SendStream, RecvStream) {
    (
        SendStream { held: Arc::clone(held), key, released: false },
        RecvStream { held: Arc::clone(held), key, released: false },
    )
}

impl SendStream {
    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.put(bytes, false).await
    }

    pub(crate) async fn finish_with(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.put(bytes, true).await
    }

    async fn put(&mut self, mut bytes: Bytes, finish: bool) -> Result<(), StreamError> {
        if self.released {
            return Err(StreamError::Finished);
        }
        let key = self.key;
        let put = poll_fn(|context| {
            self.held.shared.with(|state| {
                check_open(state)?;
                if !state.mux.write(key, &mut bytes).map_err(from_send)? {
                    return state.wait(key, Direction::Write, context);
                }
                if finish {
                    finish_and_release(state, key)?;
                }
                Poll::Ready(Ok(()))
            })
        });
        put.await?;
        self.released |= finish;
        Ok(())
    }

    pub(crate) fn finish(&mut self) -> Result<(), StreamError> {
        if self.released {
            return Err(StreamError::Finished);
        }
        let key = self.key;
        self.held.shared.with(|state| {
            check_open(state)?;
            finish_and_release(state, key)
        })?;
        self.released = true;
        Ok(())
    }

    pub(crate) fn reset(&mut self, code: u32, message: &str) {
        if !self.released {
            self.released = true;
            let key = self.key;
            self.held.shared.with(|state| {
                state.mux.reset(key, code, message);
                state.mux.release_send(key);
                state.forget(key, Direction::Write);
            });
        }
    }

    pub(crate) async fn stopped(&mut self) -> StreamError {
        if self.released {
            return StreamError::Finished;
        }
        let key = self.key;
        let stopped = poll_fn(|context| {
            self.held.shared.with(|state| {
                if let Some(reason) = state.mux.stopped(key) {
                    return Poll::Ready(from_reason(reason.clone()));
                }
                match check_open(state) {
                    Err(error) => Poll::Ready(error),
                    Ok(()) => state.wait(key, Direction::Write, context),
                }
            })
        });
        stopped.await
    }
}

impl Drop for SendStream {
    fn drop(&mut self) {
        if !self.released {
            let key = self.key;
            self.held.shared.with(|state| {
                state.mux.release_send(key);
                state.forget(key, Direction::Write);
            });
        }
    }
}

impl RecvStream {
    pub(crate) async fn read_chunk(&mut self) -> Result<Option<Bytes>, StreamError> {
        if self.released {
            return Ok(None);
        }
        let (key, released) = (self.key, &mut self.released);
        let shared = &self.held.shared;
        let read = poll_fn(|context| {
            shared.with(|state| {
                let result = match state.mux.read(key) {
                    Read::Chunk { bytes, last } => {
                        *released = last;
                        Ok(Some(bytes))
                    }
                    Read::End => {
                        *released = true;
                        Ok(None)
                    }
                    Read::Pending => match check_open(state) {
                        Ok(()) => return state.wait(key, Direction::Read, context),
                        Err(error) => Err(error),
                    },
                    Read::Reset(reason) => Err(from_reason(reason)),
                    Read::Stopped => Err(StreamError::Finished),
                };
                if *released {
                    state.mux.release_recv(key);
                    state.forget(key, Direction::Read);
                }
                Poll::Ready(result)
            })
        });
        read.await
    }

    pub(crate) fn at_end(&self) -> bool {
        self.released
    }

    pub(crate) fn stop(&mut self, code: u32, message: &str) {
        if !self.released {
            self.released = true;
            let key = self.key;
            self.held.shared.with(|state| {
                state.mux.stop(key, code, message);
                state.mux.release_recv(key);
                state.forget(key, Direction::Read);
            });
        }
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        if !self.released {
            let key = self.key;
            self.held.shared.with(|state| {
                state.mux.release_recv(key);
                state.forget(key, Direction::Read);
            });
        }
    }
}

fn finish_and_release(state: &mut State, key: Key) -> Result<(), StreamError> {
    state.mux.finish(key).map_err(from_send)?;
    state.mux.release_send(key);
    state.forget(key, Direction::Write);
    Ok(())
}

fn check_open(state: &State) -> Result<(), StreamError> {
    state.close_reason().map_or(Ok(()), |reason| Err(StreamError::Closed(reason.clone())))
}

fn from_reason(reason: Reason) -> StreamError {
    StreamError::Reset { code: reason.code, message: reason.text }
}

fn from_send(error: SendError) -> StreamError {
    match error {
        SendError::Finished => StreamError::Finished,
        SendError::Stopped(reason) => from_reason(reason),
    }
}
