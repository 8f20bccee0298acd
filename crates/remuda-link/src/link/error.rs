//! Why links close and calls fail.

use remuda_model::{ErrorKind, Failure};
use remuda_wire::mux::{ProtocolError, code};

use crate::StreamError;

/// Why a link is closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// This side closed it.
    #[error("closed here: {0}")]
    Here(String),
    /// The peer closed it and said why.
    #[error("closed by the peer: {0}")]
    Peer(String),
    /// The connection below broke.
    #[error("connection lost: {0}")]
    Lost(String),
    /// Nothing was heard from the peer for too long.
    #[error("the peer fell silent")]
    Silent,
    /// The peer broke the protocol.
    #[error("the peer broke the protocol: {0}")]
    Protocol(ProtocolError),
}

/// A stream cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The link is closed.
    #[error("the link is closed")]
    Closed(#[source] CloseReason),
    /// A protocol name has 1 to 255 bytes.
    #[error("`{0}` is no protocol name: 1 to 255 bytes are allowed")]
    ProtocolName(String),
}

/// A call had no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nothing was sent.
    #[error("the call was not sent")]
    NotSent(#[source] LinkError),
    /// The link closed before the answer came; what the peer did is unknown.
    #[error("the link closed before the answer came")]
    Lost,
    /// The deadline passed; what the peer did is unknown.
    #[error("no answer before the deadline")]
    TimedOut,
    /// The peer reset the stream.
    #[error("the peer reset the call (code {code}): {message}")]
    Reset {
        /// One of [`code`], or a number of the protocol.
        code: u32,
        /// For people.
        message: String,
    },
    /// The reply is longer than [`MAX_REPLY`](super::MAX_REPLY).
    #[error("the reply is too long")]
    TooLarge,
}

impl CallError {
    /// What a user is told; `what` names the peer or the call, such as ``node `w1` ``.
    pub fn into_failure(self, what: &str) -> Failure {
        let reconnects = "it reconnects by itself when it can; see `remuda node list`";
        match self {
            Self::NotSent(error @ LinkError::ProtocolName(_)) => {
                Failure::invalid(format!("the call to {what} was not sent: {error}"))
            }
            Self::NotSent(LinkError::Closed(_)) => {
                Failure::new(ErrorKind::NotConnected, format!("{what} has no link"))
                    .hint(reconnects)
            }
            Self::Lost => Failure::new(
                ErrorKind::OutcomeUnknown,
                format!("the link to {what} was lost before the answer came"),
            )
            .hint("look whether it was done before you repeat it"),
            Self::TimedOut => Failure::new(
                ErrorKind::TimedOut,
                format!("no answer from {what} before the deadline"),
            )
            .hint("look whether it was done before you repeat it, or allow more time"),
            Self::TooLarge => {
                Failure::failed(format!("the answer of {what} is longer than 16 MiB"))
                    .code("reply_too_large")
            }
            Self::Reset { code: number, message } => match number {
                code::UNKNOWN_PROTOCOL => Failure::new(
                    ErrorKind::Unavailable,
                    format!("{what} does not know this call: {message}"),
                )
                .code("unknown_protocol")
                .hint("it may run an older version, or have another role"),
                code::FORBIDDEN => Failure::new(
                    ErrorKind::Forbidden,
                    format!("{what} does not allow this call: {message}"),
                ),
                code::REFUSED | code::OVERLOADED => {
                    Failure::new(ErrorKind::NoCapacity, format!("{what} is overloaded: {message}"))
                        .hint("try again later, with fewer calls at a time")
                }
                code::CANCELLED => Failure::new(
                    ErrorKind::OutcomeUnknown,
                    format!("{what} ended the call without an answer"),
                )
                .code("no_answer"),
                _ => Failure::failed(format!("{what} ended the call: {message}")),
            },
        }
    }
}

impl From<StreamError> for CallError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Reset { code, message } => Self::Reset { code, message },
            StreamError::TooLarge { .. } => Self::TooLarge,
            _ => Self::Lost,
        }
    }
}
