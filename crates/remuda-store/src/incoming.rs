//! A snapshot on its way in, part by part.

use bytes::BytesMut;
use remuda_model::Failure;
use remuda_state::ClusterState;

use crate::{
    rpc::{MAX_SNAPSHOT_BYTES, Part},
    types::{Meta, RaftVote},
};

/// The parts of one transfer so far. A new transfer replaces an old one.
#[derive(Debug)]
pub(crate) struct Incoming {
    transfer: u64,
    total: u64,
    checksum: u32,
    bytes: BytesMut,
}

/// A whole snapshot.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) vote: RaftVote,
    pub(crate) meta: Meta,
    pub(crate) state: ClusterState,
}

/// Takes one part into the slot; the last one empties it and gives the whole.
pub(crate) fn take(slot: &mut Option<Incoming>, part: Part) -> Result<Option<Received>, Failure> {
    if part.total > MAX_SNAPSHOT_BYTES {
        return Err(Failure::invalid("the snapshot is too large"));
    }
    let mut incoming = match slot.take() {
        Some(incoming) if incoming.transfer == part.transfer => incoming,
        _ if part.offset == 0 => Incoming {
            transfer: part.transfer,
            total: part.total,
            checksum: part.checksum,
            bytes: BytesMut::new(),
        },
        _ => return Err(Failure::invalid("a snapshot begins with its first part")),
    };
    let length = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    let end = part.offset.saturating_add(length(part.bytes.len()));
    if part.offset != length(incoming.bytes.len()) || end > incoming.total {
        return Err(Failure::invalid("a part of a snapshot is missing or too long"));
    }
    incoming.bytes.extend_from_slice(&part.bytes);
    if end < incoming.total {
        *slot = Some(incoming);
        return Ok(None);
    }
    if crc32c::crc32c(&incoming.bytes) != incoming.checksum {
        return Err(Failure::invalid("the checksum of the snapshot does not match"));
    }
    let state: ClusterState = remuda_state::decode(&incoming.bytes)
        .map_err(|error| Failure::invalid(remuda_model::Chain(&error).to_string()))?;
    state.invariants().map_err(Failure::invalid)?;
    Ok(Some(Received { vote: part.vote, meta: part.meta, state }))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn parts(state: &ClusterState, size: usize) -> Vec<Part> {
        let bytes = Bytes::from(remuda_state::encode(state));
        (0..bytes.len())
            .step_by(size)
            .map(|offset| Part {
                vote: RaftVote::new(1, 2),
                meta: Meta::default(),
                transfer: 7,
                total: bytes.len() as u64,
                checksum: crc32c::crc32c(&bytes),
                offset: offset as u64,
                bytes: bytes.slice(offset..bytes.len().min(offset + size)),
            })
            .collect()
    }

    #[test]
    fn parts_in_order_make_the_whole() {
        let mut state = ClusterState::new();
        state.advance(300);
        let mut slot = None;
        let mut parts = parts(&state, 3);
        let last = parts.pop().expect("several");
        for part in parts {
            assert!(take(&mut slot, part).expect("taken").is_none());
        }
        assert_eq!(take(&mut slot, last).expect("whole").expect("whole").state, state);
        assert!(slot.is_none());
    }

    #[test]
    fn a_part_that_is_missing_changed_or_too_long_ends_the_transfer() {
        let state = ClusterState::new();
        let mut slot = None;
        let mut all = parts(&state, 2);
        assert!(take(&mut slot, all.remove(1)).is_err(), "without the first");
        let mut all = parts(&state, 2);
        take(&mut slot, all.remove(0)).expect("taken");
        assert!(take(&mut slot, all.remove(1)).is_err(), "one left out");
        assert!(slot.is_none());
        let mut whole = parts(&state, 1000);
        let mut part = whole.remove(0);
        part.checksum ^= 1;
        assert!(take(&mut slot, part).is_err(), "changed");
        let mut part = parts(&state, 1000).remove(0);
        part.total -= 1;
        assert!(take(&mut slot, part).is_err(), "too long");
        let mut part = parts(&state, 1000).remove(0);
        part.total = u64::MAX;
        assert!(take(&mut slot, part).is_err(), "too large");
    }
}
