//! Why a file cannot be placed.

use std::io;

use remuda_model::{ErrorKind, Failure};

/// A file cannot be placed.
#[derive(Debug, thiserror::Error)]
pub enum PlacingError {
    /// Another file is there.
    #[error("another file is there already")]
    Exists,
    /// Something that is no file is there.
    #[error("something that is no regular file is there")]
    NoFile,
    /// Somebody else does the same.
    #[error("the same file is being written there just now")]
    Busy,
    /// The disk is too full.
    #[error("no room for {needed} bytes: {free} are free")]
    NoRoom {
        /// What was to come.
        needed: u64,
        /// What the disk has.
        free: u64,
    },
    /// More bytes came than were said.
    #[error("more bytes came than were said")]
    TooLong,
    /// Bytes are missing or others.
    #[error("the bytes that came do not have the digest that was said")]
    WrongContent,
    /// The system refused.
    #[error("cannot be written: {0}")]
    Io(#[from] io::Error),
}

impl From<rustix::io::Errno> for PlacingError {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Io(error.into())
    }
}

impl From<PlacingError> for Failure {
    fn from(error: PlacingError) -> Self {
        let text = error.to_string();
        match error {
            PlacingError::Exists => Self::new(ErrorKind::Exists, text)
                .code("file_exists")
                .hint("without --no-clobber it is replaced"),
            PlacingError::NoFile => Self::new(ErrorKind::Conflict, text).code("no_file"),
            PlacingError::Busy => Self::new(ErrorKind::Conflict, text).code("file_busy"),
            PlacingError::NoRoom { .. } => Self::new(ErrorKind::NoCapacity, text).code("disk_full"),
            PlacingError::TooLong | PlacingError::WrongContent => {
                Self::failed(text).code("wrong_digest").hint("nothing was written; send it again")
            }
            PlacingError::Io(source) => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Self::new(ErrorKind::NoCapacity, "the disk is full").code("disk_full")
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    Self::new(ErrorKind::Forbidden, text)
                        .hint("the agent works with the rights of its user")
                }
                _ => Self::failed(text),
            },
        }
    }
}
