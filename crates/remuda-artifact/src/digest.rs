//! Digests of content.

use std::{
    fs::File,
    io::{self, Read},
};

use blake3::Hasher;
use remuda_model::Digest;

use crate::BATCH;

/// The digest of bytes.
pub fn digest_of(bytes: &[u8]) -> Digest {
    of_hash(&blake3::hash(bytes))
}

/// The digest of a file from where it stands to its end. Blocks.
///
/// # Errors
///
/// When the file cannot be read.
pub fn digest_of_file(file: &File) -> io::Result<Digest> {
    let mut hasher = Hasher::new();
    hash(&mut hasher, file, u64::MAX)?;
    Ok(of_hash(&hasher.finalize()))
}

pub(crate) fn of_hash(hash: &blake3::Hash) -> Digest {
    hash.to_hex().parse().expect("64 hexadecimal digits")
}

/// Hashes at most so many bytes of a file from where it stands; tells how many there were.
pub(crate) fn hash(hasher: &mut Hasher, file: &File, max: u64) -> io::Result<u64> {
    let mut limited = file.take(max);
    let mut buffer = vec![0; BATCH];
    let mut hashed = 0;
    loop {
        match limited.read(&mut buffer) {
            Ok(0) => return Ok(hashed),
            Ok(n) => {
                hasher.update(&buffer[..n]);
                hashed += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_blake3() {
        // The test vector of the BLAKE3 paper for no input.
        let empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(digest_of(b"").as_str(), empty);
    }
}
