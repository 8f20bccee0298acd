//! Which control nodes vote: one, three or five of them, chosen without an operator.

use std::collections::BTreeSet;

use remuda_model::NodeId;

/// More voters would make every write slower and lose only what five survive already.
pub const MAX_VOTERS: usize = 5;

/// The voters that the cluster should have.
///
/// `controls` are the control nodes that the cluster knows, with whether they are active. The
/// number is the largest odd one up to [`MAX_VOTERS`] for which there are candidates: active nodes,
/// and present voters that the cluster still knows. Active present voters come first, so that a
/// plan moves no more votes than it must; then active learners; a dead voter keeps its vote only
/// while nobody can take it. Within each group the order is by name. A plan for its own result is
/// that result.
pub fn plan(controls: &[(NodeId, bool)], voters_now: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
    let rank = |(node, active): &(NodeId, bool)| match (active, voters_now.contains(node)) {
        (true, true) => Some(0),
        (true, false) => Some(1),
        (false, true) => Some(2),
        (false, false) => None,
    };
    let candidates: BTreeSet<(u8, &NodeId)> = controls
        .iter()
        .filter_map(|control| rank(control).map(|rank| (rank, &control.0)))
        .collect();
    let n_voters = match candidates.len().min(MAX_VOTERS) {
        0 => return voters_now.clone(),
        n if n % 2 == 0 => n - 1,
        n => n,
    };
    candidates.into_iter().take(n_voters).map(|(_, node)| node.clone()).collect()
}

#[cfg(test)]
mod tests;
