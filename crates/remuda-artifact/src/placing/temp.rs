//! The hidden file beside the target.

use std::{
    fs::File,
    os::fd::{AsFd, BorrowedFd},
};

use remuda_model::Digest;
use rustix::{
    fs::{
        AtFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags, Stat, flock, fstat, openat,
        renameat_with, statat, unlinkat,
    },
    io::Errno,
    process::geteuid,
};

use super::PlacingError;
use crate::Place;

/// How much of the digest and of the name the hidden name has, in characters and bytes.
const OF_DIGEST: usize = 16;
const OF_NAME: usize = 200;

/// The hidden file beside the target.
#[derive(Debug)]
pub(super) struct Temp {
    place: Place,
    hidden: String,
}

/// Opens the file that is at the target, if any.
pub(super) fn open_target(place: &Place) -> Result<Option<File>, PlacingError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match openat(&place.dir, &place.name, flags, Mode::empty()) {
        Ok(file) if is_file(&fstat(&file)?) => Ok(Some(file.into())),
        Ok(_) | Err(Errno::LOOP | Errno::NXIO) => Err(PlacingError::NoFile),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn is_file(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

impl Temp {
    /// Opens the hidden file at its end, alone, if it is there or these flags make it; tells how many
    /// bytes it has.
    pub(super) fn open(
        place: Place,
        digest: &Digest,
        create: OFlags,
    ) -> Result<Option<(Self, File, u64)>, PlacingError> {
        let short = &place.name[..place.name.floor_char_boundary(OF_NAME)];
        let hidden = format!(".{short}.{}.part", &digest.as_str()[..OF_DIGEST]);
        let temp = Self { place, hidden };
        let flags = OFlags::RDWR
            | OFlags::APPEND
            | create
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::CLOEXEC;
        let opened = openat(temp.dir(), &temp.hidden, flags, Mode::from_raw_mode(0o600));
        let file = match opened {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::NXIO | Errno::ISDIR) => return Err(PlacingError::NoFile),
            Err(error) => return Err(error.into()),
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(PlacingError::Busy),
            Err(error) => return Err(error.into()),
        }
        let stat = fstat(&file)?;
        let there = statat(temp.dir(), &temp.hidden, AtFlags::SYMLINK_NOFOLLOW);
        // Whoever had it before may have put it at its target between the two calls.
        if !there.is_ok_and(|there| (there.st_dev, there.st_ino) == (stat.st_dev, stat.st_ino)) {
            return Err(PlacingError::Busy);
        }
        // In a directory that others may write to it could be a trap.
        if !is_file(&stat) || stat.st_nlink != 1 || stat.st_uid != geteuid().as_raw() {
            return Err(PlacingError::NoFile);
        }
        let len = file.metadata()?.len();
        Ok(Some((temp, file, len)))
    }

    pub(super) fn dir(&self) -> BorrowedFd<'_> {
        self.place.dir.as_fd()
    }

    /// Puts the file at its target, and waits until the directory is on disk.
    pub(super) fn put(&self, file: &File, overwrite: bool) -> Result<(), PlacingError> {
        let there = statat(self.dir(), &self.hidden, AtFlags::SYMLINK_NOFOLLOW)?;
        let ours = fstat(file)?;
        if (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino) {
            return Err(PlacingError::Busy);
        }
        let flags = if overwrite { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        match renameat_with(self.dir(), &self.hidden, self.dir(), &self.place.name, flags) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Err(PlacingError::Exists),
            Err(Errno::ISDIR) => return Err(PlacingError::NoFile),
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = openat(self.dir(), ".", flags, Mode::empty())?;
        Ok(rustix::fs::fsync(dir)?)
    }

    /// Takes the hidden file away.
    pub(super) fn remove(&self) {
        match unlinkat(self.dir(), &self.hidden, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => {
                tracing::warn!(file = self.hidden, %error, "a file that did not come is left");
            }
        }
    }

    pub(super) fn remove_if_empty(&self, len: u64) {
        if len == 0 {
            self.remove();
        }
    }
}
