//! One conversation on a link: bytes in order in both directions, each of which ends on its own.
//!
//! # What the streams of a connection must offer
//!
//! The sending type: `async fn write(&mut self, Bytes)`, `async fn finish_with(&mut self, Bytes)`
//! (write and finish at once), `fn finish(&mut self)`, `fn reset(&mut self, code, message)`, `async
//! fn stopped(&mut self) -> StreamError` (waits until the peer reads no more, or the link is
//! closed). Dropped before it finished, it resets.
//!
//! The receiving type: `async fn read_chunk(&mut self)`, cancel safe, and `fn stop(&mut self, code,
//! message)`, `fn at_end(&self) -> bool` (true only when the end was read already; false when not
//! known). Dropped before its end, it tells the peer to stop.

mod error;
mod recv;
mod send;
mod splice;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

pub use self::{error::StreamError, recv::RecvHalf, send::SendHalf, splice::splice};

/// One conversation on a link. Dropping it before both directions have ended resets what is left.
#[derive(Debug)]
pub struct Stream {
    send: SendHalf,
    recv: RecvHalf,
}

impl Stream {
    pub(crate) fn new(send: SendHalf, recv: RecvHalf) -> Self {
        Self { send, recv }
    }

    /// The next bytes, or `None` when the peer has finished.
    ///
    /// # Errors
    ///
    /// When the peer reset the stream or the link is closed.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn read_chunk(&mut self) -> Result<Option<Bytes>, StreamError> {
        self.recv.read_chunk().await
    }

    /// Everything up to the peer's finish, at most `max` bytes.
    ///
    /// # Errors
    ///
    /// As [`read_chunk`](Self::read_chunk), and [`StreamError::TooLarge`].
    ///
    /// # Cancel safety
    ///
    /// Bytes that were read are kept for the next call.
    pub async fn read_to_end(&mut self, max: usize) -> Result<Bytes, StreamError> {
        self.recv.read_to_end(max).await
    }

    /// Sends bytes; waits while too much of this stream is unsent.
    ///
    /// # Errors
    ///
    /// When the stream is finished, the peer reads no more, or the link is closed. Success does not
    /// mean that the peer has received anything.
    ///
    /// # Cancel safety
    ///
    /// Either all the bytes are taken or none.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.send.write(bytes).await
    }

    /// Sends the last bytes: like [`write`](Self::write) and [`finish`](Self::finish), in one frame
    /// when they are short.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub async fn finish_with(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.send.finish_with(bytes).await
    }

    /// Says that nothing more will be sent. The other direction stays open.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn finish(&mut self) -> Result<(), StreamError> {
        self.send.finish()
    }

    /// Ends both directions at once. The message is cut after 1 KiB and may be lost.
    pub fn reset(&mut self, code: u32, message: &str) {
        self.send.reset(code, message);
        self.recv.stop(code, message);
    }

    /// Sends one message: its length and its bytes.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub async fn send<T: Serialize>(&mut self, message: &T) -> Result<(), StreamError> {
        self.send.send(message).await
    }

    /// Receives one message of at most `max` bytes, or `None` when the peer has finished.
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
        self.recv.recv(max).await
    }

    /// Waits until the peer reads no more of this stream, or the link is closed: a caller who has
    /// given up.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    pub async fn stopped(&mut self) -> StreamError {
        self.send.stopped().await
    }

    /// Both directions for use in two places.
    pub fn split(self) -> (SendHalf, RecvHalf) {
        (self.send, self.recv)
    }
}
