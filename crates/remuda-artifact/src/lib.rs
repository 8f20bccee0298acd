//! Files that travel: content by digest, and files at paths that come from outside.
//!
//! - A [`Store`] keeps content under its BLAKE3 digest, so that what many want comes once. Content
//!   arrives in order, may break off and go on later, and is handed out while it still arrives.
//! - [`Roots`] says which paths of a machine may be read and written from outside: no path leaves
//!   them, no symbolic link is followed. A [`Placing`] receives a file beside its target and puts it
//!   there at once, when it is whole and has the right digest.
//! - [`FileReader`] and [`FileWriter`] read and write files in order without blocking the runtime.
//!
//! What is received is believed only when its digest is right.

mod beneath;
mod digest;
mod placing;
mod reader;
mod store;
mod writer;

pub use beneath::{FileInfo, Located, PathError, Place, Roots};
pub use digest::{digest_of, digest_of_file};
pub use placing::{Placing, PlacingError, Wanted};
pub use reader::FileReader;
pub use store::{Incoming, Outgoing, Presence, Receive, Store, StoreConfig, StoreError};
pub use writer::FileWriter;

/// How much of a file is read, hashed or written at a time, in bytes.
const BATCH: usize = 1 << 20;
