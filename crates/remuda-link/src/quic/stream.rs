//! The two directions of a QUIC stream.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use quinn::{ClosedStream, ReadError, ReadExactError, StoppedError, VarInt, WriteError};
use remuda_wire::mux::Priority;

use super::Shared;
use crate::{StreamError, code};

/// The most that one read gives, in bytes.
const CHUNK: usize = 64 * 1024;

/// The sending direction. Dropped before it finished, it resets.
pub(crate) struct SendStream {
    stream: Option<quinn::SendStream>,
    /// What a write has taken that was not sent yet, because the write was dropped.
    pending: Bytes,
    has_finished: bool,
    shared: Arc<Shared>,
}

impl SendStream {
    pub(super) fn new(stream: quinn::SendStream, priority: Priority, shared: Arc<Shared>) -> Self {
        // QUIC sends higher numbers first. A stream that is closed already needs no priority.
        let _closed = stream.set_priority(3 - i32::from(priority as u8));
        Self { stream: Some(stream), pending: Bytes::new(), has_finished: false, shared }
    }

    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.send_pending().await?;
        self.pending = bytes;
        self.send_pending().await
    }

    pub(crate) async fn finish_with(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.write(bytes).await?;
        self.finish()
    }

    async fn send_pending(&mut self) -> Result<(), StreamError> {
        let stream = self.stream.as_mut().filter(|_| !self.has_finished);
        let stream = stream.ok_or(StreamError::Finished)?;
        while !self.pending.is_empty() {
            let chunks = std::slice::from_mut(&mut self.pending);
            stream.write_chunks(chunks).await.map_err(|error| write_error(&self.shared, error))?;
        }
        Ok(())
    }

    pub(crate) fn finish(&mut self) -> Result<(), StreamError> {
        let stream = self.stream.as_mut().filter(|_| !self.has_finished);
        let stream = stream.ok_or(StreamError::Finished)?;
        self.has_finished = true;
        if self.pending.is_empty() {
            return match stream.finish() {
                Ok(()) => Ok(()),
                Err(ClosedStream { .. }) => self.why_closed(),
            };
        }
        let rest = std::mem::take(&mut self.pending);
        if let Some(mut stream) = self.stream.take() {
            tokio::spawn(async move {
                if stream.write_chunk(rest).await.is_ok() {
                    // The peer may want no more; then there is nothing to finish.
                    let _closed = stream.finish();
                }
            });
        }
        Ok(())
    }

    fn why_closed(&self) -> Result<(), StreamError> {
        Err(match self.shared.connection.close_reason() {
            Some(error) => self.shared.closed(error),
            None => reset_by_peer(VarInt::from_u32(code::CANCELLED)),
        })
    }

    /// QUIC has no room for the message.
    pub(crate) fn reset(&mut self, code: u32, _message: &str) {
        self.has_finished = true;
        self.pending.clear();
        if let Some(stream) = &mut self.stream {
            // Ended already: nothing to reset.
            let _closed = stream.reset(VarInt::from_u32(code));
        }
    }

    pub(crate) async fn stopped(&mut self) -> StreamError {
        if let Some(stream) = &self.stream {
            match stream.stopped().await {
                Ok(Some(code)) => return reset_by_peer(code),
                Err(StoppedError::ConnectionLost(error)) => return self.shared.closed(error),
                // Everything arrived: only the end of the connection can come now.
                Ok(None) | Err(StoppedError::ZeroRttRejected) => (),
            }
        }
        let error = self.shared.connection.closed().await;
        self.shared.closed(error)
    }
}

impl Drop for SendStream {
    fn drop(&mut self) {
        if !self.has_finished {
            self.reset(code::CANCELLED, "");
        }
    }
}

/// The receiving direction. Dropped before its end, it tells the peer to stop.
pub(crate) struct RecvStream {
    stream: quinn::RecvStream,
    has_ended: bool,
    shared: Arc<Shared>,
}

impl RecvStream {
    pub(super) fn new(stream: quinn::RecvStream, shared: Arc<Shared>) -> Self {
        Self { stream, has_ended: false, shared }
    }

    /// Whether the end was read already.
    pub(crate) fn at_end(&self) -> bool {
        self.has_ended
    }

    pub(crate) async fn read_chunk(&mut self) -> Result<Option<Bytes>, StreamError> {
        if self.has_ended {
            return Ok(None);
        }
        match self.stream.read_chunk(CHUNK, true).await {
            Ok(Some(chunk)) => Ok(Some(chunk.bytes)),
            Ok(None) => {
                self.has_ended = true;
                Ok(None)
            }
            Err(error) => Err(match error {
                ReadError::Reset(code) => reset_by_peer(code),
                ReadError::ConnectionLost(error) => self.shared.closed(error),
                ReadError::ClosedStream
                | ReadError::IllegalOrderedRead
                | ReadError::ZeroRttRejected => StreamError::Finished,
            }),
        }
    }

    pub(super) async fn read_to_end(&mut self, max: usize) -> Result<Bytes, StreamError> {
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.read_chunk().await? {
            if whole.len() + chunk.len() > max {
                return Err(StreamError::TooLarge { max });
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }

    pub(super) async fn read_exact<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes).await.map(|()| bytes)
    }

    pub(super) async fn fill(&mut self, bytes: &mut [u8]) -> Option<()> {
        let read: Result<(), ReadExactError> = self.stream.read_exact(bytes).await;
        read.ok()
    }

    pub(crate) fn stop(&mut self, code: u32, _message: &str) {
        self.has_ended = true;
        // Ended already: nothing to stop.
        let _closed = self.stream.stop(VarInt::from_u32(code));
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        if !self.has_ended {
            self.stop(code::CANCELLED, "");
        }
    }
}

fn write_error(shared: &Shared, error: WriteError) -> StreamError {
    match error {
        WriteError::Stopped(code) => reset_by_peer(code),
        WriteError::ConnectionLost(error) => shared.closed(error),
        WriteError::ClosedStream | WriteError::ZeroRttRejected => StreamError::Finished,
    }
}

fn reset_by_peer(code: VarInt) -> StreamError {
    let code = u32::try_from(code.into_inner()).unwrap_or(u32::MAX);
    let message = match code {
        code::CANCELLED => "cancelled",
        code::REFUSED => "too many streams at a time",
        code::UNKNOWN_PROTOCOL => "unknown protocol",
        code::FORBIDDEN => "not allowed",
        code::OVERLOADED => "overloaded",
        _ => "no reason given",
    };
    StreamError::Reset { code, message: message.to_owned() }
}
