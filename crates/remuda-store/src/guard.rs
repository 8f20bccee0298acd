//! Keeps a voter that cannot reach a majority from standing for election.
//!
//! The library has no pre-vote: an isolated voter would raise its term again and again, and force an
//! election on the others when it comes back.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use openraft::ServerState;
use remuda_runtime::CancellationToken;

use crate::{
    network::Wire,
    rpc::{Reply, Request},
    types::{Member, Metrics, Raft},
};

/// What the guard watches over.
pub(crate) struct Guard {
    pub(crate) raft: Raft,
    pub(crate) wire: Arc<Wire>,
    /// How often voters are asked.
    pub(crate) period: Duration,
    /// How long they may take to answer.
    pub(crate) ttl: Duration,
    /// Set while the node gives its lead away: then it must not stand at all.
    pub(crate) leaving: Arc<AtomicBool>,
}

impl Guard {
    /// Runs until stopped.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut may_elect = true;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.period) => {}
            }
            let metrics = self.raft.metrics().borrow().clone();
            if self.leaving.load(Ordering::Relaxed) {
                continue;
            }
            let reaches = metrics.state == ServerState::Leader || self.reaches(&metrics).await;
            if reaches != may_elect {
                tracing::debug!(reaches, "a majority of voters is reachable, or no longer");
                may_elect = reaches;
            }
            self.raft.runtime_config().elect(may_elect && !self.leaving.load(Ordering::Relaxed));
        }
    }

    /// Whether enough voters answer and count this node in.
    async fn reaches(&self, metrics: &Metrics) -> bool {
        let membership = metrics.membership_config.membership();
        let others: Vec<(u64, Member)> = membership
            .voter_ids()
            .filter(|id| *id != metrics.id)
            .filter_map(|id| membership.get_node(&id).map(|member| (id, member.clone())))
            .collect();
        let pings = others.iter().map(async |(id, member)| {
            let pong = self.wire.call(member, Request::Ping, self.ttl).await;
            matches!(pong, Ok(Reply::Pong { is_voter: true })).then_some(*id)
        });
        let mut reached: BTreeSet<u64> = join_all(pings).await.into_iter().flatten().collect();
        reached.insert(metrics.id);
        has_majority(membership.get_joint_config(), &reached)
    }
}

/// Whether the nodes are a majority of each of the sets of voters.
fn has_majority(configs: &[BTreeSet<u64>], nodes: &BTreeSet<u64>) -> bool {
    configs.iter().all(|voters| 2 * voters.intersection(nodes).count() > voters.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_is_needed_of_both_sets() {
        let set = |ids: &[u64]| ids.iter().copied().collect::<BTreeSet<u64>>();
        assert!(has_majority(&[set(&[1, 2, 3])], &set(&[1, 2])));
        assert!(!has_majority(&[set(&[1, 2, 3])], &set(&[1, 9])));
        assert!(!has_majority(&[set(&[1, 2])], &set(&[1])));
        assert!(!has_majority(&[set(&[1]), set(&[2, 3, 4])], &set(&[1, 2])));
        assert!(has_majority(&[set(&[1]), set(&[2, 3, 4])], &set(&[1, 2, 4])));
    }
}
