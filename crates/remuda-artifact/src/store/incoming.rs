//! Content that arrives.

use std::fs::File;

use blake3::Hasher;
use bytes::Bytes;
use remuda_model::Digest;
use tokio::{sync::watch, task::spawn_blocking};

use super::{Item, Progress, Stage, Store, StoreError};
use crate::FileWriter;

/// Content that arrives. Dropped before its end, what came is kept for whoever goes on.
#[derive(Debug)]
pub struct Incoming {
    claim: Claim,
    writer: FileWriter,
    taken: u64,
    size: u64,
}

/// The right to bring some content, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    store: Store,
    digest: Digest,
    progress: watch::Sender<Progress>,
    /// What the store shall say of it afterwards.
    left: Option<Item>,
}

impl Claim {
    pub(super) fn new(store: Store, digest: Digest, progress: watch::Sender<Progress>) -> Self {
        Self { store, digest, progress, left: None }
    }

    pub(super) fn advance(&mut self, held: u64) {
        self.left = Some(Item::Part { held });
        self.progress.send_modify(|progress| progress.len = held);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut shelf = self.store.shelf();
        let stage = if let Some(item) = self.left.take() {
            let whole = matches!(item, Item::Whole { .. });
            shelf.put(self.digest.clone(), item);
            // Just arrived is just used.
            shelf.used(&self.digest);
            if whole { Stage::Whole } else { Stage::BrokenOff }
        } else {
            shelf.take(&self.digest);
            Stage::BrokenOff
        };
        self.progress.send_modify(|progress| progress.stage = stage);
    }
}

impl Incoming {
    pub(super) fn new(claim: Claim, file: File, hasher: Hasher, size: u64) -> Self {
        let taken = claim.progress.borrow().len;
        Self { claim, writer: FileWriter::resume(file, hasher, taken), taken, size }
    }

    /// How many bytes came: the next ones begin here.
    pub fn held(&self) -> u64 {
        self.taken
    }

    /// Takes the next bytes; waits for the disk.
    ///
    /// # Errors
    ///
    /// When there are too many, or the disk is full.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the bytes have been taken.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.taken += bytes.len() as u64;
        if self.taken > self.size {
            return Err(StoreError::TooLong { size: self.size });
        }
        let written = self.writer.write(bytes).await;
        self.claim.advance(self.writer.written());
        Ok(written?)
    }

    /// Ends for now: what came stays for whoever goes on.
    ///
    /// # Errors
    ///
    /// When the disk is full.
    pub async fn pause(mut self) -> Result<u64, StoreError> {
        let flushed = self.writer.flush().await;
        self.claim.advance(self.writer.written());
        flushed?;
        Ok(self.taken)
    }

    /// Ends: all bytes have come. Content with another digest is thrown away.
    ///
    /// # Errors
    ///
    /// [`StoreError::WrongDigest`]; [`StoreError::BrokenOff`] when bytes are missing, which may
    /// come later.
    pub async fn finish(mut self) -> Result<(), StoreError> {
        self.writer.flush().await?;
        self.claim.advance(self.writer.written());
        if self.taken < self.size {
            return Err(StoreError::BrokenOff);
        }
        let (file, found) = self.writer.finish().await?;
        let (store, digest, size) =
            (self.claim.store.clone(), self.claim.digest.clone(), self.size);
        let completed = spawn_blocking(move || {
            let completed = if found == digest {
                store.inner.complete(&digest, &file, size)
            } else {
                Err(StoreError::WrongDigest)
            };
            if matches!(completed, Err(StoreError::WrongDigest)) {
                store.inner.remove(&digest);
            }
            // Only now may somebody else begin.
            drop(file);
            completed
        });
        let completed = completed.await.map_err(std::io::Error::other)?;
        if matches!(completed, Err(StoreError::WrongDigest)) {
            self.claim.left = None;
        }
        completed?;
        self.claim.left = Some(Item::Whole { size: self.size, checked: true });
        Ok(())
    }
}
