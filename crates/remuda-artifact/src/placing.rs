//! A file that arrives beside its target and is put there when it is whole.

mod error;
mod temp;

use std::{
    fs::File,
    io,
    os::{fd::AsFd, unix::fs::PermissionsExt},
    time::SystemTime,
};

use bytes::Bytes;
use remuda_model::Digest;
use rustix::fs::{Mode, OFlags};
use tokio::task::spawn_blocking;

pub use self::error::PlacingError;
use self::temp::Temp;
use crate::{FileWriter, Place, digest};

/// The permission bits that a file may have: others never write, and nothing runs with the rights
/// of its owner.
const MODES: u32 = 0o755;
/// How many bytes of a disk stay free.
const SPARE: u64 = 1 << 20;

/// What is wanted at the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The digest of the content.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Its permission bits, of which 0755 are kept.
    pub mode: u32,
    /// Whether a file that is there may be replaced.
    pub overwrite: bool,
}

/// A file that arrives. It lies hidden beside its target (`.NAME.DIGEST.part`) until it is whole,
/// has its digest and is on disk; then it replaces the target at once. Dropped before, it is left
/// for whoever goes on with the same content; [`discard`](Self::discard) takes it away.
#[derive(Debug)]
pub struct Placing {
    temp: Temp,
    writer: FileWriter,
    taken: u64,
    wanted: Wanted,
}

impl Placing {
    /// Begins to place a file, or returns `None` when it is there
    /// already with this content (its mode is made the wanted one). What came earlier is kept.
    ///
    /// # Errors
    ///
    /// When another file is there that may not be replaced, the same content is being placed there
    /// just now, or the disk has no room for it.
    pub async fn begin(place: Place, wanted: Wanted) -> Result<Option<Self>, PlacingError> {
        let begun = spawn_blocking(move || Self::begin_blocking(place, wanted)).await;
        begun.map_err(io::Error::other)?
    }

    /// When something came for a place last, if anything did. Blocks.
    ///
    /// # Errors
    ///
    /// When it cannot be looked at.
    pub fn last_change(place: Place, digest: &Digest) -> Result<Option<SystemTime>, PlacingError> {
        match Temp::open(place, digest, OFlags::empty()) {
            Ok(Some((_temp, file, _came))) => Ok(Some(file.metadata()?.modified()?)),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes away what came for a place earlier, unless somebody goes on with it just now. Blocks.
    ///
    /// # Errors
    ///
    /// [`PlacingError::Busy`] when somebody does; when what is there is nothing of ours.
    pub fn clear(place: Place, digest: &Digest) -> Result<(), PlacingError> {
        if let Some((temp, _file, _came)) = Temp::open(place, digest, OFlags::empty())? {
            temp.remove();
        }
        Ok(())
    }

    fn begin_blocking(place: Place, wanted: Wanted) -> Result<Option<Self>, PlacingError> {
        match temp::open_target(&place)? {
            Some(present) if has_content(&present, &wanted)? => {
                let now = Mode::from_raw_mode(present.metadata()?.permissions().mode());
                if wanted.overwrite && now != mode(&wanted) {
                    rustix::fs::fchmod(&present, mode(&wanted))?;
                }
                return Ok(None);
            }
            Some(_) if !wanted.overwrite => return Err(PlacingError::Exists),
            Some(_) | None => {}
        }
        let opened = Temp::open(place, &wanted.digest, OFlags::CREATE)?;
        // Somebody has taken it away in the same moment.
        let (temp, file, came) = opened.ok_or(PlacingError::Busy)?;
        let held = if came > wanted.size { 0 } else { came };
        let missing = wanted.size - held;
        let free = free_bytes(temp.dir())?;
        if free < missing.saturating_add(SPARE) {
            temp.remove_if_empty(came);
            return Err(PlacingError::NoRoom { needed: missing, free });
        }
        if came > wanted.size {
            file.set_len(0)?;
        }
        let mut hasher = blake3::Hasher::new();
        let held = digest::hash(&mut hasher, &file, held)?;
        let writer = FileWriter::resume(file, hasher, held);
        Ok(Some(Self { temp, writer, taken: held, wanted }))
    }

    /// How many bytes came: the next ones begin here.
    pub fn held(&self) -> u64 {
        self.taken
    }

    /// Takes the next bytes; waits for the disk.
    ///
    /// # Errors
    ///
    /// When there are too many, or the disk is full; [`discard`](Self::discard) it then.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the bytes have been taken.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), PlacingError> {
        self.taken += bytes.len() as u64;
        if self.taken > self.wanted.size {
            return Err(PlacingError::TooLong);
        }
        Ok(self.writer.write(bytes).await?)
    }

    /// Waits until what came is written, so that somebody can go on there later.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub async fn flush(&mut self) -> Result<(), PlacingError> {
        Ok(self.writer.flush().await?)
    }

    /// All bytes have come: puts the file at its target, durably. On an error nothing is left.
    ///
    /// # Errors
    ///
    /// When bytes are missing, the digest is another one, a file came in between that may not be
    /// replaced, or the disk is full.
    pub async fn finish(self) -> Result<(), PlacingError> {
        let Self { temp, mut writer, taken, wanted } = self;
        if let Err(error) = writer.flush().await {
            remove(temp, writer).await;
            return Err(error.into());
        }
        let (file, digest) = writer.finish().await?;
        spawn_blocking(move || {
            let placed = if taken < wanted.size || digest != wanted.digest {
                Err(PlacingError::WrongContent)
            } else {
                place(&temp, &file, &wanted)
            };
            if placed.is_err() {
                temp.remove();
            }
            // Only now may somebody else begin.
            drop(file);
            placed
        })
        .await
        .map_err(io::Error::other)?
    }

    /// Takes away what came.
    pub async fn discard(self) {
        let Self { temp, writer, .. } = self;
        remove(temp, writer).await;
    }
}

/// Takes the hidden file away while it is still locked.
async fn remove(temp: Temp, writer: FileWriter) {
    let removed = spawn_blocking(move || {
        temp.remove();
        drop(writer);
    });
    drop(removed.await);
}

fn place(temp: &Temp, file: &File, wanted: &Wanted) -> Result<(), PlacingError> {
    rustix::fs::fchmod(file, mode(wanted))?;
    file.sync_all()?;
    temp.put(file, wanted.overwrite)
}

/// Whether a file has the content already.
fn has_content(file: &File, wanted: &Wanted) -> io::Result<bool> {
    Ok(file.metadata()?.len() == wanted.size && crate::digest_of_file(file)? == wanted.digest)
}

fn mode(wanted: &Wanted) -> Mode {
    Mode::from_raw_mode(wanted.mode & MODES)
}

/// How many bytes of the disk on which an open directory lies are free.
pub(crate) fn free_bytes(dir: impl AsFd) -> io::Result<u64> {
    let stat = rustix::fs::fstatvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests;
