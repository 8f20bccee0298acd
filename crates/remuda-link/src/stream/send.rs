//! The sending direction of a stream.

use std::fmt;

use bytes::Bytes;
use remuda_wire::encode_framed;
use serde::Serialize;

use super::StreamError;
use crate::{mux, quic};

/// The sending direction of a stream. Dropping it before it finished resets this direction.
pub struct SendHalf {
    inner: Inner,
}

enum Inner {
    Mux(mux::SendStream),
    Quic(quic::SendStream),
}

impl SendHalf {
    pub(crate) fn mux(stream: mux::SendStream) -> Self {
        Self { inner: Inner::Mux(stream) }
    }

    pub(crate) fn quic(stream: quic::SendStream) -> Self {
        Self { inner: Inner::Quic(stream) }
    }

    /// See [`Stream::write`](super::Stream::write).
    ///
    /// # Errors
    ///
    /// When the direction has ended on either side, or the link is closed.
    ///
    /// # Cancel safety
    ///
    /// Either all the bytes are taken or none.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        match &mut self.inner {
            Inner::Mux(stream) => stream.write(bytes).await,
            Inner::Quic(stream) => stream.write(bytes).await,
        }
    }

    /// See [`Stream::finish_with`](super::Stream::finish_with).
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub async fn finish_with(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        match &mut self.inner {
            Inner::Mux(stream) => stream.finish_with(bytes).await,
            Inner::Quic(stream) => stream.finish_with(bytes).await,
        }
    }

    /// See [`Stream::finish`](super::Stream::finish).
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn finish(&mut self) -> Result<(), StreamError> {
        match &mut self.inner {
            Inner::Mux(stream) => stream.finish(),
            Inner::Quic(stream) => stream.finish(),
        }
    }

    /// Ends this direction at once; what was not sent yet is forgotten.
    pub fn reset(&mut self, code: u32, message: &str) {
        match &mut self.inner {
            Inner::Mux(stream) => stream.reset(code, message),
            Inner::Quic(stream) => stream.reset(code, message),
        }
    }

    /// See [`Stream::stopped`](super::Stream::stopped).
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    pub async fn stopped(&mut self) -> StreamError {
        match &mut self.inner {
            Inner::Mux(stream) => stream.stopped().await,
            Inner::Quic(stream) => stream.stopped().await,
        }
    }

    /// See [`Stream::send`](super::Stream::send).
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub async fn send<T: Serialize>(&mut self, message: &T) -> Result<(), StreamError> {
        self.write(encode_framed(message)).await
    }
}

impl fmt::Debug for SendHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendHalf").finish_non_exhaustive()
    }
}
