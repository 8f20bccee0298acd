//! Walks from an open directory, name by name, never through a link.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, mkdirat, openat, statat},
    io::Errno,
};

use super::{FileInfo, PathError};

const DIR: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens the directory at the end of the names.
pub(super) fn open_dir(root: &OwnedFd, names: &[String], text: &str) -> Result<OwnedFd, PathError> {
    walk(root, names, text, false)
}

/// Opens the directory at the end of the names and makes those that are missing.
pub(super) fn make_dir(root: &OwnedFd, names: &[String], text: &str) -> Result<OwnedFd, PathError> {
    walk(root, names, text, true)
}

fn walk(root: &OwnedFd, names: &[String], text: &str, make: bool) -> Result<OwnedFd, PathError> {
    let mut dir = root.try_clone().map_err(|error| PathError::io(text, error))?;
    for name in names {
        dir = match openat(&dir, name, DIR, Mode::empty()) {
            Ok(next) => next,
            Err(Errno::NOENT) if make => {
                match mkdirat(&dir, name, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(PathError::io(text, error)),
                }
                let made = openat(&dir, name, DIR, Mode::empty());
                made.map_err(|error| not_entered(&dir, name, text, error))?
            }
            Err(error) => return Err(not_entered(&dir, name, text, error)),
        };
    }
    Ok(dir)
}

/// A link looks like something that is no directory.
fn not_entered(dir: &OwnedFd, name: &str, text: &str, error: Errno) -> PathError {
    match kind(dir, name, text) {
        Ok(Some(FileType::Symlink)) => PathError::Symlink(text.to_owned()),
        _ => PathError::io(text, error),
    }
}

/// What there is of this name.
pub(super) fn kind(dir: impl AsFd, name: &str, text: &str) -> Result<Option<FileType>, PathError> {
    match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(PathError::io(text, error)),
    }
}

/// Opens a regular file. A pipe without a writer would block for ever.
pub(super) fn open_file(
    dir: &OwnedFd,
    name: &str,
    text: &str,
) -> Result<(File, FileInfo), PathError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat(dir, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::LOOP) => return Err(PathError::Symlink(text.to_owned())),
        Err(Errno::NXIO) => return Err(PathError::NoFile(text.to_owned())),
        Err(error) => return Err(PathError::io(text, error)),
    };
    let stat = rustix::fs::fstat(&file).map_err(|error| PathError::io(text, error))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(PathError::NoFile(text.to_owned()));
    }
    let size = u64::try_from(stat.st_size)
        .map_err(|_negative| PathError::io(text, io::Error::other("its size is negative")))?;
    let tag = format!(
        "{:x}-{:x}-{size:x}-{:x}.{:x}",
        stat.st_dev, stat.st_ino, stat.st_mtime, stat.st_mtime_nsec
    );
    Ok((file, FileInfo { size, mode: stat.st_mode & 0o7777, tag }))
}
