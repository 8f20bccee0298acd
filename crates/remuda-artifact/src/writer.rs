//! Writes a file in order on blocking threads, and hashes what it writes.

use std::{
    fmt,
    fs::File,
    io::{self, Write},
    mem,
};

use blake3::Hasher;
use bytes::Bytes;
use remuda_model::Digest;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::{BATCH, digest};

/// Writes a file in order and hashes it. While one batch is written the next is gathered, at most
/// 2 MiB in memory. Dropping it leaves in the file what was written by then.
pub struct FileWriter {
    sink: Sink,
    pending: Vec<Bytes>,
    pending_len: usize,
    /// What the file holds for certain.
    written: u64,
}

enum Sink {
    Idle(Box<Output>),
    Busy(JoinHandle<(Box<Output>, io::Result<u64>)>),
    /// A batch failed or panicked.
    Lost,
}

struct Output {
    file: File,
    hasher: Hasher,
}

impl fmt::Debug for FileWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileWriter").field("written", &self.written).finish_non_exhaustive()
    }
}

impl FileWriter {
    /// Goes on at the end of a file of which `held` bytes are there, hashed already by `hasher`.
    pub(crate) fn resume(file: File, hasher: Hasher, held: u64) -> Self {
        let sink = Sink::Idle(Box::new(Output { file, hasher }));
        Self { sink, pending: Vec::new(), pending_len: 0, written: held }
    }

    /// Writes a new, empty file.
    pub fn new(file: File) -> Self {
        Self::resume(file, Hasher::new(), 0)
    }

    /// How many bytes of the file are written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Takes bytes; waits while an earlier batch is written.
    ///
    /// # Errors
    ///
    /// When bytes taken earlier could not be written. Afterwards everything fails.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the bytes have been taken.
    pub async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        self.pending_len += bytes.len();
        self.pending.push(bytes);
        if self.pending_len >= BATCH {
            self.settle().await?;
            self.begin();
        }
        Ok(())
    }

    /// Waits until all that was taken is written.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub async fn flush(&mut self) -> io::Result<()> {
        self.settle().await?;
        if !self.pending.is_empty() {
            self.begin();
            self.settle().await?;
        }
        Ok(())
    }

    /// Writes what is left; gives the file back and tells its digest.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub async fn finish(mut self) -> io::Result<(File, Digest)> {
        self.flush().await?;
        match self.sink {
            Sink::Idle(output) => {
                let digest = digest::of_hash(&output.hasher.finalize());
                Ok((output.file, digest))
            }
            Sink::Busy(_) | Sink::Lost => Err(lost()),
        }
    }

    fn begin(&mut self) {
        let batch = mem::take(&mut self.pending);
        self.pending_len = 0;
        self.sink = match mem::replace(&mut self.sink, Sink::Lost) {
            Sink::Idle(mut output) => Sink::Busy(spawn_blocking(move || {
                let result = output.write(&batch);
                (output, result)
            })),
            other => other,
        };
    }

    async fn settle(&mut self) -> io::Result<()> {
        let Sink::Busy(batch) = &mut self.sink else {
            return if matches!(self.sink, Sink::Lost) { Err(lost()) } else { Ok(()) };
        };
        let done = batch.await;
        self.sink = Sink::Lost;
        let (output, result) = done.map_err(io::Error::other)?;
        self.written += result?;
        self.sink = Sink::Idle(output);
        Ok(())
    }
}

impl Output {
    fn write(&mut self, batch: &[Bytes]) -> io::Result<u64> {
        let mut written = 0;
        for bytes in batch {
            self.file.write_all(bytes)?;
            self.hasher.update(bytes);
            written += bytes.len() as u64;
        }
        Ok(written)
    }
}

fn lost() -> io::Error {
    io::Error::other("an earlier write failed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_is_what_came() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        let mut writer = FileWriter::new(File::create(&path).expect("creates"));
        let mut whole = Vec::new();
        for round in 0..40_u8 {
            let piece = vec![round; 100_000];
            whole.extend_from_slice(&piece);
            writer.write(piece.into()).await.expect("writes");
        }
        let (_file, digest) = writer.finish().await.expect("finishes");
        assert_eq!(digest, crate::digest_of(&whole));
        assert!(std::fs::read(path).expect("reads") == whole);
    }

    #[tokio::test]
    async fn a_full_disk_is_reported_and_not_forgotten() {
        let full = File::options().write(true).open("/dev/full").expect("opens");
        let mut writer = FileWriter::new(full);
        writer.write(vec![0; BATCH].into()).await.expect("is taken");
        let error = writer.flush().await.expect_err("fails");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(writer.write(vec![0; BATCH].into()).await.is_err());
        assert!(writer.finish().await.is_err());
    }
}
