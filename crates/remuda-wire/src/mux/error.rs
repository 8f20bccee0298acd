//! How a peer can break the protocol, and the codes of resets.

use crate::frame::FrameError;

/// The codes of resets that the link itself uses; protocols choose theirs from 256 on.
pub mod code {
    /// Whoever held the stream let go of it before it had ended.
    pub const CANCELLED: u32 = 1;
    /// Too many streams at a time; nothing was done.
    pub const REFUSED: u32 = 2;
    /// No such protocol here; nothing was done.
    pub const UNKNOWN_PROTOCOL: u32 = 3;
    /// The peer's role may not open this protocol; nothing was done.
    pub const FORBIDDEN: u32 = 4;
    /// Too many unread bytes.
    pub const OVERLOADED: u32 = 5;
    /// Go-away: the link was closed on purpose.
    pub const CLOSED: u32 = 6;
    /// Go-away: the other side broke the protocol.
    pub const PROTOCOL: u32 = 7;
}

/// The peer broke the protocol; the link cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The first bytes of a frame are wrong.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The payload of a frame does not fit its kind.
    #[error("malformed payload of a frame for stream {0}")]
    Payload(u32),
    /// A stream was opened with a number of the other side.
    #[error("stream {0} was opened by the wrong side")]
    WrongSide(u32),
    /// A stream was opened twice or out of order.
    #[error("stream {0} was opened twice or out of order")]
    OpenedTwice(u32),
    /// A frame for a stream that was never opened.
    #[error("stream {0} was never opened")]
    NeverOpened(u32),
    /// Data after the end of a direction.
    #[error("data after the end of stream {0}")]
    AfterEnd(u32),
    /// More data than was allowed.
    #[error("more data than allowed on stream {0}")]
    BeyondCredit(u32),
    /// Streams are opened and refused faster than the peer reads.
    #[error("streams are opened beyond the limit without end")]
    Flood,
    /// Credit beyond what can be counted.
    #[error("credit of stream {0} overflows")]
    CreditOverflow(u32),
}
