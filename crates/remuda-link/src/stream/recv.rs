//! The receiving direction of a stream.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};
use serde::de::DeserializeOwned;

use super::StreamError;
use crate::{mux, quic};

/// The receiving direction of a stream. Dropping it before its end tells the peer to stop.
pub struct RecvHalf {
    inner: Inner,
    /// What was read and not yet given out.
    buffer: BytesMut,
}

enum Inner {
    Mux(mux::RecvStream),
    Quic(quic::RecvStream),
}

impl RecvHalf {
    pub(crate) fn mux(stream: mux::RecvStream) -> Self {
        Self { inner: Inner::Mux(stream), buffer: BytesMut::new() }
    }

    pub(crate) fn quic(stream: quic::RecvStream) -> Self {
        Self { inner: Inner::Quic(stream), buffer: BytesMut::new() }
    }

    /// See [`Stream::read_chunk`](super::Stream::read_chunk).
    ///
    /// # Errors
    ///
    /// When the peer reset the stream or the link is closed.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn read_chunk(&mut self) -> Result<Option<Bytes>, StreamError> {
        if self.buffer.is_empty() {
            self.read_more().await
        } else {
            Ok(Some(self.buffer.split().freeze()))
        }
    }

    async fn read_more(&mut self) -> Result<Option<Bytes>, StreamError> {
        match &mut self.inner {
            Inner::Mux(stream) => stream.read_chunk().await,
            Inner::Quic(stream) => stream.read_chunk().await,
        }
    }

    /// See [`Stream::read_to_end`](super::Stream::read_to_end).
    ///
    /// # Errors
    ///
    /// As [`read_chunk`](Self::read_chunk), and [`StreamError::TooLarge`].
    ///
    /// # Cancel safety
    ///
    /// Bytes that were read are kept for the next call.
    pub async fn read_to_end(&mut self, max: usize) -> Result<Bytes, StreamError> {
        loop {
            let Some(chunk) = self.read_more().await? else {
                return Ok(self.buffer.split().freeze());
            };
            if self.buffer.len() + chunk.len() > max {
                self.buffer.clear();
                return Err(StreamError::TooLarge { max });
            }
            // The usual short message comes whole and needs no copy.
            if self.buffer.is_empty() && self.at_end() {
                return Ok(chunk);
            }
            self.buffer.extend_from_slice(&chunk);
        }
    }

    /// Whether the end is known to have been read.
    fn at_end(&self) -> bool {
        match &self.inner {
            Inner::Mux(stream) => stream.at_end(),
            Inner::Quic(stream) => stream.at_end(),
        }
    }

    /// See [`Stream::recv`](super::Stream::recv).
    ///
    /// # Errors
    ///
    /// As [`read_chunk`](Self::read_chunk), and when the message is too long, cut off or unreadable.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn recv<T: DeserializeOwned>(
        &mut self,
        max: usize,
    ) -> Result<Option<T>, StreamError> {
        loop {
            if let Some(message) = self.take_message(max)? {
                return remuda_wire::decode(&message).map(Some).map_err(StreamError::Decode);
            }
            match self.read_more().await? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(StreamError::Truncated),
            }
        }
    }

    fn take_message(&mut self, max: usize) -> Result<Option<BytesMut>, StreamError> {
        let Some(&length) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > max {
            return Err(StreamError::TooLarge { max });
        }
        if self.buffer.len() - 4 < length {
            return Ok(None);
        }
        self.buffer.advance(4);
        Ok(Some(self.buffer.split_to(length)))
    }

    /// Tells the peer to send no more; what came already is forgotten.
    pub fn stop(&mut self, code: u32, message: &str) {
        self.buffer.clear();
        match &mut self.inner {
            Inner::Mux(stream) => stream.stop(code, message),
            Inner::Quic(stream) => stream.stop(code, message),
        }
    }
}

impl fmt::Debug for RecvHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvHalf").finish_non_exhaustive()
    }
}
