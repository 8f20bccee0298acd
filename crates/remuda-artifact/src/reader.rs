//! Reads a file in order on blocking threads, one piece ahead.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
};

use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};

/// How much is read at a time: what a stream of a link sends in one frame, several times.
const PIECE: usize = 512 << 10;

/// Reads a file in order from where it stands, one piece of 512 KiB ahead.
pub struct FileReader {
    next: Option<JoinHandle<Ahead>>,
}

pub(crate) type Ahead = (File, u64, io::Result<Bytes>);

impl fmt::Debug for FileReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileReader").finish_non_exhaustive()
    }
}

impl FileReader {
    /// Reads at most `max` bytes.
    pub fn new(file: File, max: u64) -> Self {
        Self { next: Some(ahead(file, max)) }
    }

    /// The next bytes, or `None` at the end or after `max` bytes.
    ///
    /// # Errors
    ///
    /// When the file cannot be read; afterwards there is `None`.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let Some(reading) = &mut self.next else { return Ok(None) };
        let read = reading.await;
        self.next = None;
        let (file, left, bytes) = read.map_err(io::Error::other)?;
        let bytes = bytes?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.next = Some(ahead(file, left));
        Ok(Some(bytes))
    }
}

/// Begins to read a piece; gives the file back, and how much of `left` is left then.
pub(crate) fn ahead(file: File, left: u64) -> JoinHandle<Ahead> {
    spawn_blocking(move || {
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE);
        let mut buffer = Vec::with_capacity(want);
        let read = (&file).take(want as u64).read_to_end(&mut buffer);
        let left = left - buffer.len() as u64;
        (file, left, read.map(|_n| buffer.into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_comes_in_order_up_to_the_limit() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        let whole: Vec<u8> = (0..3 * PIECE as u64 + 7).map(|n| (n % 251) as u8).collect();
        std::fs::write(&path, &whole).expect("writes");
        for max in [0, 1, PIECE as u64, 2 * PIECE as u64 + 1, u64::MAX] {
            let mut reader = FileReader::new(File::open(&path).expect("opens"), max);
            let mut read = Vec::new();
            while let Some(bytes) = reader.next().await.expect("reads") {
                read.extend_from_slice(&bytes);
            }
            let expected = usize::try_from(max).unwrap_or(usize::MAX).min(whole.len());
            assert!(read == whole[..expected]);
            assert!(reader.next().await.expect("has ended").is_none());
        }
    }
}
