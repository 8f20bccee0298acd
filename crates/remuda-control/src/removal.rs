//! Nodes are forgotten, and the process that was running stays out until it is started again.
//!
//! Before a connected node is forgotten, its present boot is revoked, in the place where
//! certificates are: under a mark that no certificate has as its serial number. So the mark is
//! replicated, and a forgotten node cannot make itself known again a moment later.

use std::{collections::BTreeSet, time::Duration};

use remuda_model::{ErrorKind, Failure, Generation, NodeId, NodeStatus, NodeView};
use remuda_runtime::wall_ms;
use remuda_state::{Change, ClusterState};

use crate::{Consistency, Control, proposals::CHANGE};

/// How long a removed control node may keep its vote.
const UNVOTED: Duration = Duration::from_secs(15);

/// Twelve bytes; serial numbers of certificates have sixteen.
fn mark(generation: Generation) -> Vec<u8> {
    [b"boot".as_slice(), &generation.0.to_be_bytes()].concat()
}

/// Whether this boot of the node was removed.
pub(crate) fn is_removed(state: &ClusterState, node: &NodeId, generation: Generation) -> bool {
    state.is_revoked(node, &mark(generation))
}

/// The refusal of a process whose node was removed while it ran.
pub(crate) fn removed(node: &NodeId) -> Failure {
    Failure::new(ErrorKind::Forbidden, format!("node `{node}` was removed from the cluster"))
        .code("node_removed")
        .hint("start its agent again to bring it back")
}

impl Control {
    /// Forgets a node. A connected one only by force: its session ends, and the agent comes back
    /// only when it is started again. A control node loses workers, vote and copy of the state.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound); [`Conflict`](ErrorKind::Conflict) with the code
    /// `node_connected`, or for the last active control node.
    pub async fn remove_node(&self, node: &NodeId, force: bool) -> Result<(), Failure> {
        let view = self.node(node, Consistency::Linearizable).await?;
        if !force && view.status != NodeStatus::NotConnected {
            let message = format!("node `{node}` is connected");
            return Err(Failure::new(ErrorKind::Conflict, message)
                .code("node_connected")
                .hint("stop its agent first, or remove it by force"));
        }
        let is_control = view.roles.is_control();
        if is_control && *node == self.shared.me {
            let message = format!("control node `{node}` cannot remove itself");
            return Err(Failure::new(ErrorKind::Conflict, message)
                .code("removes_itself")
                .hint("stop its agent, which leaves the cluster, or ask another control node"));
        }
        if is_control {
            self.refuse_last(node)?;
        }
        for generation in self.boots(&view) {
            let change = Change::Revoke { node: node.clone(), serial: mark(generation) };
            match self.propose(change, CHANGE).await {
                // A full list must not keep a node from being removed.
                Err(failure) if failure.kind == ErrorKind::NoCapacity => (),
                revoked => drop(revoked?),
            }
        }
        if is_control {
            let change = Change::SetActive { node: node.clone(), active: false };
            self.propose(change, CHANGE).await?;
        }
        let change = Change::RemoveNode { node: node.clone(), now_ms: wall_ms() };
        self.propose(change, CHANGE).await?;
        if is_control {
            self.without_vote(node).await?;
        }
        Ok(())
    }

    /// Refuses to remove the last active control node before its boot is revoked.
    fn refuse_last(&self, node: &NodeId) -> Result<(), Failure> {
        if self.shared.replica.state().controls() == std::slice::from_ref(node) {
            return Err(remuda_state::Refusal::LastControl(node.clone()).into());
        }
        Ok(())
    }

    /// The boots of a node that run, as far as it is known here.
    fn boots(&self, view: &NodeView) -> BTreeSet<Generation> {
        let mut boots = BTreeSet::new();
        if view.status != NodeStatus::NotConnected {
            boots.insert(view.generation);
        }
        if let Some(link) = self.shared.peers.link_to(&view.id) {
            boots.insert(link.peer().generation);
        }
        boots
    }

    /// Waits until a removed control node does not vote any more; the leader sees to it.
    async fn without_vote(&self, node: &NodeId) -> Result<(), Failure> {
        let mut leadership = self.shared.replica.leadership();
        let gone = leadership.wait_for(|now| !now.voters.contains(node));
        if let Ok(Ok(_)) = tokio::time::timeout(UNVOTED, gone).await {
            return Ok(());
        }
        let message = format!("node `{node}` is forgotten but still votes");
        Err(Failure::new(ErrorKind::Unavailable, message)
            .code("still_votes")
            .hint("it loses its vote once a majority of the control nodes runs"))
    }
}

#[cfg(test)]
mod tests {
    use remuda_state::Command;

    use super::*;

    #[test]
    fn one_boot_is_removed_and_the_next_is_not() {
        let node: NodeId = "w1".parse().unwrap();
        let mut state = ClusterState::new();
        let change = Change::Revoke { node: node.clone(), serial: mark(Generation(4)) };
        state.apply(1, &Command::once(change)).outcome.expect("revoked");
        assert!(is_removed(&state, &node, Generation(4)));
        assert!(!is_removed(&state, &node, Generation(5)));
        assert!(!is_removed(&state, &"w2".parse().unwrap(), Generation(4)));
    }
}
