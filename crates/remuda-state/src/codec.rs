//! State and commands as bytes: postcard, whole values only.

use serde::{Serialize, de::DeserializeOwned};

/// The bytes are no value of the expected type.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// They cannot be read.
    #[error("malformed bytes")]
    Malformed(#[source] postcard::Error),
    /// A value was read and bytes are left.
    #[error("{0} bytes follow the value")]
    Trailing(usize),
}

/// Writes one value.
///
/// # Panics
///
/// When the type cannot be written as postcard at all, which its golden test shows.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("state types are writable")
}

/// Reads one value that fills the bytes.
///
/// # Errors
///
/// When the bytes are no such value, or more than one.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let (value, rest) = postcard::take_from_bytes(bytes).map_err(DecodeError::Malformed)?;
    if rest.is_empty() { Ok(value) } else { Err(DecodeError::Trailing(rest.len())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_must_fill_its_bytes() {
        assert_eq!(decode::<u32>(&encode(&7_u32)).expect("whole"), 7);
        assert!(matches!(decode::<u32>(&[7, 0]), Err(DecodeError::Trailing(1))));
        assert!(matches!(decode::<u32>(&[0x80]), Err(DecodeError::Malformed(_))));
    }
}
