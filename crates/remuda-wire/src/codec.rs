//! Messages as bytes: postcard, whole messages only.
//!
//! Enums and structs of messages only ever grow at the end, so that the bytes of older versions
//! keep their meaning.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

/// The bytes are no message of the expected type.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// They cannot be read.
    #[error("malformed message")]
    Malformed(#[source] postcard::Error),
    /// A message was read and bytes are left.
    #[error("{0} bytes follow the message")]
    Trailing(usize),
}

/// Writes one message.
///
/// # Panics
///
/// When the type cannot be written as postcard at all, which its golden test shows.
pub fn encode<T: Serialize>(message: &T) -> Bytes {
    postcard::to_stdvec(message).expect("message types are writable").into()
}

/// Writes one message behind its length, a big-endian `u32`, as messages follow each other on a
/// stream.
///
/// # Panics
///
/// As [`encode`], and when the message is longer than 4 GiB.
pub fn encode_framed<T: Serialize>(message: &T) -> Bytes {
    let mut bytes =
        postcard::to_extend(message, vec![0_u8; 4]).expect("message types are writable");
    let length = u32::try_from(bytes.len() - 4).expect("messages are short");
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    bytes.into()
}

/// Reads one message that fills the bytes.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let (message, rest) = postcard::take_from_bytes(bytes).map_err(DecodeError::Malformed)?;
    if rest.is_empty() { Ok(message) } else { Err(DecodeError::Trailing(rest.len())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_framed_message_starts_with_its_length() {
        assert_eq!(&encode_framed(&"ab")[..], [0, 0, 0, 3, 2, b'a', b'b']);
    }

    #[test]
    fn a_message_must_fill_its_bytes() {
        assert_eq!(decode::<u32>(&encode(&7_u32)).expect("whole"), 7);
        assert!(matches!(decode::<u32>(&[7, 0]), Err(DecodeError::Trailing(1))));
        assert!(matches!(decode::<u32>(&[0x80]), Err(DecodeError::Malformed(_))));
    }
}
