//! Which control node owns which worker: rendezvous hashing over the active control nodes.
//!
//! Each pair of worker and control node has a weight; the heaviest control node owns the worker. A
//! node that joins takes only workers that it now weighs heaviest for, and one that leaves gives
//! away only its own.

use std::cmp::Reverse;

use remuda_model::NodeId;
use sha2::{Digest, Sha256};

/// The first eight bytes of SHA-256 over the length of the worker's name, that name, and the
/// control node's name. Workers and control nodes of every version must compute the same.
fn weight(worker: &NodeId, control: &NodeId) -> u64 {
    let mut hash = Sha256::new();
    let name = worker.as_str().as_bytes();
    hash.update(u64::try_from(name.len()).unwrap_or(u64::MAX).to_be_bytes());
    hash.update(name);
    hash.update(control.as_str().as_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    digest.iter().take(8).fold(0, |weight, byte| weight << 8 | u64::from(*byte))
}

/// The heaviest of the control nodes; of equals the first by name.
pub(crate) fn owner_among<'a>(
    worker: &NodeId,
    controls: impl IntoIterator<Item = &'a NodeId>,
) -> Option<&'a NodeId> {
    controls.into_iter().max_by_key(|control| (weight(worker, control), Reverse(*control)))
}

/// The owner of the worker; `None` without control nodes. Their order does not matter.
pub fn owner_of(worker: &NodeId, controls: &[NodeId]) -> Option<NodeId> {
    owner_among(worker, controls).cloned()
}

/// All control nodes, the owner first, then the one that would follow it, and so on.
pub fn ranked(worker: &NodeId, controls: &[NodeId]) -> Vec<NodeId> {
    let mut ranked = controls.to_vec();
    ranked.sort_by_cached_key(|control| (Reverse(weight(worker, control)), control.clone()));
    ranked
}

#[cfg(test)]
mod tests;
