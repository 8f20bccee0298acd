//! Gives the lead away before a clean stop.

use std::{sync::atomic::Ordering, time::Duration};

use openraft::ServerState;
use remuda_runtime::Backoff;
use tokio::time::{Instant, sleep, timeout_at};

use super::Replica;
use crate::{
    rpc::Request,
    types::{Member, Metrics},
};

impl Replica {
    /// Lets another voter lead, so that a clean stop costs the others no election time. Takes about
    /// the longest election time. From here on this node takes no proposals and does not stand for
    /// election; call [`shutdown`](Self::shutdown) next. Tells whether another node leads now.
    pub async fn hand_over(&self, deadline: Duration) -> bool {
        let end = Instant::now() + deadline;
        let raft = &self.inner.raft;
        self.inner.leaving.store(true, Ordering::Relaxed);
        raft.runtime_config().elect(false);
        if self.metrics().state == ServerState::Leader && successor(&self.metrics()).is_some() {
            // Heartbeats forbid the others to vote for anybody else until the last one is old.
            raft.runtime_config().heartbeat(false);
            let handed = timeout_at(end, self.push()).await.is_ok();
            if !handed {
                // Nobody took it: the cluster is better off with this leader until it is gone.
                raft.runtime_config().heartbeat(true);
            }
        }
        let leader = self.metrics().current_leader;
        leader.is_some_and(|leader| leader != self.inner.id)
    }

    /// Asks the best follower to stand until somebody else leads.
    async fn push(&self) {
        let timing = self.inner.timing;
        sleep(timing.election_max).await;
        let mut backoff = Backoff::new(timing.heartbeat, timing.election_max, self.inner.id);
        let mut metrics = self.inner.raft.metrics();
        let other_leads = |metrics: &Metrics| {
            metrics.current_leader.is_some_and(|leader| leader != self.inner.id)
        };
        loop {
            let now = self.metrics();
            if other_leads(&now) {
                return;
            }
            if let Some(member) = successor(&now).or_else(|| any_other(&now))
                && let Err(error) =
                    self.inner.wire.call(&member, Request::Elect, timing.election_min).await
            {
                tracing::debug!(%error, "cannot hand over the lead, trying again");
            }
            let patience = timing.election_min + backoff.next_delay();
            let waited = tokio::time::timeout(patience, metrics.wait_for(other_leads)).await;
            if waited.is_ok() {
                return;
            }
        }
    }
}

/// The voter, other than this leader, that has most of the log.
fn successor(metrics: &Metrics) -> Option<Member> {
    let membership = metrics.membership_config.membership();
    let replication = metrics.replication.as_ref()?;
    let best = membership
        .voter_ids()
        .filter(|id| *id != metrics.id)
        .filter_map(|id| Some((replication.get(&id)?.as_ref()?.index, id)))
        .max()?;
    membership.get_node(&best.1).cloned()
}

/// Any other voter, once this node has stepped down and no longer knows who has what.
fn any_other(metrics: &Metrics) -> Option<Member> {
    let membership = metrics.membership_config.membership();
    let id = membership.voter_ids().find(|id| *id != metrics.id)?;
    membership.get_node(&id).cloned()
}
