//! Doors for hostile bytes: what a disk or another replica may hand to this crate.

use std::io;

use codeq::{Decode, Encode};

use crate::{
    log::codec::{Blob, Payload},
    rpc,
    types::{Entry, Meta, RaftLogId, RaftVote},
};

/// Reads bytes as everything that comes from the log or from another replica. Only panics and the
/// memory taken are of interest.
#[doc(hidden)]
pub fn read_records(bytes: &[u8]) {
    let mut rest = bytes;
    while let Ok(Payload(entry)) = Payload::decode(&mut rest) {
        drop(remuda_state::decode::<Entry>(&entry));
    }
    drop(Blob::<RaftLogId>::decode(bytes));
    drop(Blob::<RaftVote>::decode(bytes));
    drop(remuda_state::decode::<Meta>(bytes));
    drop(remuda_state::decode::<rpc::Envelope>(bytes));
    drop(remuda_state::decode::<rpc::Reply>(bytes));
}

/// A record of the log, for mutations to begin with.
#[doc(hidden)]
pub fn sample_record(entry: &[u8]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    Payload(entry.to_vec().into()).encode(&mut bytes)?;
    Ok(bytes)
}
