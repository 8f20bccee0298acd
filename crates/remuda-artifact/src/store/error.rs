//! Why content cannot be kept or read.

use std::io;

use remuda_model::{ErrorKind, Failure};

/// Content cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is not here.
    #[error("the content is not here")]
    Absent,
    /// Somebody brings it just now.
    #[error("somebody else sends the same content just now")]
    Arriving,
    /// It has another size than was said.
    #[error("the content has {held} bytes, not {size}")]
    OtherSize {
        /// What is here.
        held: u64,
        /// What was said.
        size: u64,
    },
    /// The bytes do not begin where the others end.
    #[error("the bytes begin at {at}, but {held} bytes are here")]
    WrongOffset {
        /// Where they begin.
        at: u64,
        /// What is here.
        held: u64,
    },
    /// More bytes came than were said.
    #[error("more than {size} bytes came")]
    TooLong {
        /// What was said.
        size: u64,
    },
    /// The bytes that came are others than the digest says.
    #[error("the bytes do not have the digest under which they were sent")]
    WrongDigest,
    /// The disk is too full.
    #[error("no room for {needed} bytes: {free} are free, of which {spare} stay free")]
    NoRoom {
        /// What was to come.
        needed: u64,
        /// What the disk has.
        free: u64,
        /// What is left for others.
        spare: u64,
    },
    /// Whoever sent it has stopped before its end.
    #[error("the content has stopped to arrive")]
    BrokenOff,
    /// The disk failed.
    #[error("content cannot be kept or read: {0}")]
    Io(#[from] io::Error),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match error {
            StoreError::Absent => Self::not_found(text).code("no_artifact"),
            StoreError::Arriving => Self::new(ErrorKind::Conflict, text).code("artifact_arriving"),
            StoreError::OtherSize { .. } | StoreError::TooLong { .. } => {
                Self::invalid(text).code("wrong_size")
            }
            StoreError::WrongOffset { .. } => {
                Self::new(ErrorKind::Conflict, text).code("wrong_offset")
            }
            StoreError::WrongDigest => Self::invalid(text).code("wrong_digest"),
            StoreError::NoRoom { .. } => Self::new(ErrorKind::NoCapacity, text).code("disk_full"),
            StoreError::BrokenOff => Self::new(ErrorKind::Unavailable, text).code("broken_off"),
            StoreError::Io(source) if source.kind() == io::ErrorKind::StorageFull => {
                Self::new(ErrorKind::NoCapacity, "the disk is full").code("disk_full")
            }
            StoreError::Io(_) => Self::new(ErrorKind::Unavailable, text).code("disk_failed"),
        }
    }
}
