//! Frames: what a multiplexed link is made of.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | length of the payload, at most 64 KiB |
//! | 1 | kind |
//! | 1 | flags of the kind; unknown ones are refused |
//! | 4 | stream, 0 for frames about the link |
//! | … | payload |
//!
//! Numbers are big-endian. The side that dialled opens odd streams, the other one even streams,
//! each in ascending order.

use bytes::BufMut;

/// The bytes before the payload.
pub const HEADER: usize = 10;
/// The longest payload.
pub const MAX_PAYLOAD: usize = 64 * 1024;
/// The longest text in a reset or go-away frame; longer ones are cut.
pub const MAX_TEXT: usize = 1024;

/// What a frame does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Opens a stream: length of the protocol name (1 byte), the name, first data.
    Open = 1,
    /// Data of a stream.
    Data = 2,
    /// Allows the peer to send this many more bytes on a stream (`u32`).
    Credit = 3,
    /// Ends directions of a stream: code (`u32`), text.
    Reset = 4,
    /// Asks for a [`Pong`](Self::Pong) with the same 8 bytes.
    Ping = 5,
    /// Answers a [`Ping`](Self::Ping).
    Pong = 6,
    /// The link ends now: code (`u32`), text.
    GoAway = 7,
}

/// The flags of a frame.
pub mod flag {
    /// Open and data: the sender sends nothing more on this stream.
    pub const FIN: u8 = 1;
    /// Open: where the priority is.
    pub const PRIORITY_SHIFT: u8 = 1;
    /// Open: the bits of the priority.
    pub const PRIORITY: u8 = 0b110;
    /// Reset: the sender sends nothing more.
    pub const ENDS: u8 = 1;
    /// Reset: the sender wants nothing more.
    pub const STOPS: u8 = 2;
}

impl Kind {
    /// The flags that this kind may carry.
    pub fn allowed_flags(self) -> u8 {
        match self {
            Self::Open => flag::FIN | flag::PRIORITY,
            Self::Data => flag::FIN,
            Self::Reset => flag::ENDS | flag::STOPS,
            Self::Credit | Self::Ping | Self::Pong | Self::GoAway => 0,
        }
    }

    /// Whether it is about the link rather than about one stream.
    pub fn is_about_link(self) -> bool {
        matches!(self, Self::Ping | Self::Pong | Self::GoAway)
    }

    fn from_u8(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Open,
            2 => Self::Data,
            3 => Self::Credit,
            4 => Self::Reset,
            5 => Self::Ping,
            6 => Self::Pong,
            7 => Self::GoAway,
            _ => return None,
        })
    }
}

/// The first bytes of a frame, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Length of the payload.
    pub length: usize,
    /// What it does.
    pub kind: Kind,
    /// How.
    pub flags: u8,
    /// On which stream.
    pub stream: u32,
}

/// The first bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The payload would be too long.
    #[error("a frame of {0} bytes is too long")]
    TooLong(u32),
    /// There is no such kind.
    #[error("unknown kind of frame {0}")]
    UnknownKind(u8),
    /// The kind has no such flags.
    #[error("unknown flags {1:#04x} on a frame of kind {0}")]
    UnknownFlags(u8, u8),
    /// A frame about the link names a stream, or one about a stream names none.
    #[error("a frame of kind {0} for stream {1}")]
    WrongStream(u8, u32),
}

impl Header {
    /// Reads and checks the first bytes, before anything is allocated for the rest.
    pub fn read(bytes: &[u8; HEADER]) -> Result<Self, FrameError> {
        let [l0, l1, l2, l3, kind_byte, flags, s0, s1, s2, s3] = *bytes;
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        let stream = u32::from_be_bytes([s0, s1, s2, s3]);
        let kind = Kind::from_u8(kind_byte).ok_or(FrameError::UnknownKind(kind_byte))?;
        if flags & !kind.allowed_flags() != 0 {
            return Err(FrameError::UnknownFlags(kind_byte, flags));
        }
        if kind.is_about_link() != (stream == 0) {
            return Err(FrameError::WrongStream(kind_byte, stream));
        }
        match usize::try_from(length) {
            Ok(length) if length <= MAX_PAYLOAD => Ok(Self { length, kind, flags, stream }),
            _ => Err(FrameError::TooLong(length)),
        }
    }

    /// Writes the first bytes.
    ///
    /// # Panics
    ///
    /// When the length is beyond [`MAX_PAYLOAD`].
    pub fn write(self, to: &mut impl BufMut) {
        assert!(self.length <= MAX_PAYLOAD, "frames are short");
        #[expect(clippy::cast_possible_truncation, reason = "at most MAX_PAYLOAD")]
        let [l0, l1, l2, l3] = (self.length as u32).to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        to.put_slice(&[l0, l1, l2, l3, self.kind as u8, self.flags, s0, s1, s2, s3]);
    }
}

/// Cuts a text to at most [`MAX_TEXT`] bytes, between characters.
pub fn cut_text(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

#[cfg(test)]
mod tests;
