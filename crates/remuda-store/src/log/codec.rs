//! Our values inside the records of the log.
//!
//! Each is `kind (u8), length (u32), CRC-32C of both (u32), bytes`, big endian. raft-log takes a
//! record that the end of the file cuts short for one that was never acknowledged, and drops it. A
//! damaged length must not look like that, so it has a checksum of its own; the bytes are covered by
//! that of the record.

use std::io::{self, Read, Write};

use bytes::Bytes;
use openraft::{LogId, Vote};
use serde::{Serialize, de::DeserializeOwned};

/// No entry is larger: commands are limited, and memberships are small.
const MAX_BYTES: u32 = 16 * 1024 * 1024;

/// A value that tells apart its bytes from those of others.
pub(crate) trait Kind {
    /// Not 0 or 1, which other parts of a record begin with.
    const KIND: u8;
}

impl Kind for LogId<u64> {
    const KIND: u8 = 0xA1;
}
impl Kind for Vote<u64> {
    const KIND: u8 = 0xA2;
}
impl Kind for () {
    const KIND: u8 = 0xA3;
}
const PAYLOAD: u8 = 0xA4;

/// A small value, written as postcard.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Blob<T>(pub(crate) T);

/// A log entry, written already.
#[derive(Clone, Debug)]
pub(crate) struct Payload(pub(crate) Bytes);

fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn write(kind: u8, bytes: &[u8], mut to: impl Write) -> io::Result<usize> {
    let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= MAX_BYTES);
    let length = length.ok_or_else(|| damaged("a log entry is too large"))?.to_be_bytes();
    let check = crc32c::crc32c_append(crc32c::crc32c(&[kind]), &length).to_be_bytes();
    to.write_all(&[kind])?;
    to.write_all(&length)?;
    to.write_all(&check)?;
    to.write_all(bytes)?;
    Ok(1 + 4 + 4 + bytes.len())
}

fn read(kind: u8, mut from: impl Read) -> io::Result<Vec<u8>> {
    let mut found = [0; 1];
    from.read_exact(&mut found)?;
    if found != [kind] {
        return Err(damaged("a value is of another kind"));
    }
    let (mut length, mut check) = ([0; 4], [0; 4]);
    from.read_exact(&mut length)?;
    from.read_exact(&mut check)?;
    if crc32c::crc32c_append(crc32c::crc32c(&found), &length).to_be_bytes() != check {
        return Err(damaged("the checksum of a length does not match"));
    }
    let length = u32::from_be_bytes(length);
    if length > MAX_BYTES {
        return Err(damaged("a value is too large"));
    }
    let mut bytes = Vec::new();
    let n_read = from.take(u64::from(length)).read_to_end(&mut bytes)?;
    if u32::try_from(n_read).ok() == Some(length) {
        Ok(bytes)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

impl<T: Kind + Serialize> codeq::Encode for Blob<T> {
    fn encode<W: Write>(&self, to: W) -> io::Result<usize> {
        write(T::KIND, &remuda_state::encode(&self.0), to)
    }
}

impl<T: Kind + DeserializeOwned> codeq::Decode for Blob<T> {
    fn decode<R: Read>(from: R) -> io::Result<Self> {
        let bytes = read(T::KIND, from)?;
        remuda_state::decode(&bytes)
            .map(Self)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

impl codeq::Encode for Payload {
    fn encode<W: Write>(&self, to: W) -> io::Result<usize> {
        write(PAYLOAD, &self.0, to)
    }
}

impl codeq::Decode for Payload {
    fn decode<R: Read>(from: R) -> io::Result<Self> {
        read(PAYLOAD, from).map(|bytes| Self(bytes.into()))
    }
}

#[cfg(test)]
mod tests {
    use codeq::{Decode, Encode};
    use openraft::CommittedLeaderId;

    use super::*;

    fn sample() -> (Blob<LogId<u64>>, Vec<u8>) {
        let value = Blob(LogId::new(CommittedLeaderId::new(3, 4), 5));
        let mut bytes = Vec::new();
        value.encode(&mut bytes).expect("written");
        (value, bytes)
    }

    #[test]
    fn the_bytes_of_a_log_id_never_change() {
        let (value, bytes) = sample();
        assert_eq!(bytes, [0xA1, 0, 0, 0, 3, 0x1b, 0x39, 0x8a, 0x66, 3, 4, 5]);
        assert_eq!(Blob::<LogId<u64>>::decode(bytes.as_slice()).expect("read"), value);
    }

    #[test]
    fn only_a_cut_looks_like_a_cut() {
        let (_, good) = sample();
        for at in 0..good.len() {
            let error = Blob::<LogId<u64>>::decode(&good[..at]).expect_err("cut");
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
        for at in 0..9 {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                let error = Blob::<LogId<u64>>::decode(bad.as_slice()).expect_err("flipped");
                assert_eq!(error.kind(), io::ErrorKind::InvalidData, "bit {bit} of byte {at}");
            }
        }
    }
}
