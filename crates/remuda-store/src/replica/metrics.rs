//! Numbers about one replica.

use remuda_runtime::metrics::{Counter, Latency, Page};

use super::Replica;

/// What the replica counts of the commands that it was given as the leader.
#[derive(Debug, Default)]
pub(super) struct Stats {
    /// How long commands took that were committed.
    pub(super) committed: Latency,
    /// Commands whose outcome nobody knows.
    pub(super) unknown: Counter,
}

impl Replica {
    /// Writes what is known of the replication at this node.
    pub fn write_metrics(&self, page: &mut Page) {
        let now = self.leadership().borrow().clone();
        page.gauge("remuda_raft_term", "The term of the consensus, as this node knows it.")
            .value(now.term);
        page.gauge("remuda_raft_is_leader", "1 when this node leads.")
            .value(u8::from(now.is_leader));
        page.gauge("remuda_raft_has_leader", "1 when this node knows a leader.")
            .value(u8::from(now.leader.is_some()));
        page.gauge("remuda_raft_stopped", "1 when the replica has stopped by a fault.")
            .value(u8::from(now.fault.is_some()));
        page.gauge("remuda_raft_voters", "Control nodes that vote.").value(now.voters.len());
        page.gauge("remuda_raft_learners", "Control nodes that replicate without a vote.")
            .value(now.learners.len());
        page.gauge("remuda_raft_last_log_index", "The last entry in the log of this node.")
            .value(now.last_log);
        page.gauge("remuda_raft_applied_index", "The last entry in the state of this node.")
            .value(now.applied);
        page.gauge("remuda_raft_snapshot_index", "The last entry in the newest snapshot.")
            .value(now.snapshot);
        let behind = now.matched.values().map(|at| now.last_log.saturating_sub(*at)).max();
        page.gauge(
            "remuda_raft_replication_lag_entries",
            "On the leader: how many entries the slowest other control node lacks.",
        )
        .value(behind.unwrap_or(0));
        let stats = &self.inner.stats;
        page.histogram(
            "remuda_raft_commit_seconds",
            "On the leader: from the proposal of a command until it is committed and applied.",
        )
        .latency(&[], &stats.committed);
        page.counter(
            "remuda_raft_commits_unknown_total",
            "On the leader: commands that were proposed and not confirmed in time.",
        )
        .value(stats.unknown.get());
    }
}
