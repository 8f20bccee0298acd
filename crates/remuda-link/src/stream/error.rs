//! Why a stream cannot go on.

use remuda_wire::DecodeError;

use crate::CloseReason;

/// A stream cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The peer reset it, or reads no more.
    #[error("the peer reset the stream (code {code}): {message}")]
    Reset {
        /// One of [`code`](crate::code), or a number of the protocol.
        code: u32,
        /// For people.
        message: String,
    },
    /// The link is closed.
    #[error("the link is closed")]
    Closed(#[source] CloseReason),
    /// This side has finished or reset it already.
    #[error("the stream was finished here")]
    Finished,
    /// More bytes came than are allowed.
    #[error("more than {max} bytes came")]
    TooLarge {
        /// What is allowed.
        max: usize,
    },
    /// The peer finished within a message.
    #[error("the stream ended within a message")]
    Truncated,
    /// The bytes are not the expected message.
    #[error("cannot read the message")]
    Decode(#[source] DecodeError),
}
