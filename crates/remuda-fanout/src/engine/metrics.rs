//! What a worker counts of its shares in fan-out runs.

use std::collections::BTreeMap;

use remuda_model::run::Outcome;
use remuda_runtime::metrics::{Counter, Page};

use super::Engine;

/// Attempts by how they ended.
#[derive(Debug)]
pub(super) struct Attempts(BTreeMap<Outcome, Counter>);

impl Attempts {
    pub(super) fn new() -> Self {
        Self(Outcome::ALL.map(|outcome| (outcome, Counter::new())).into())
    }

    /// An attempt has ended.
    pub(super) fn ended(&self, outcome: Outcome) {
        if let Some(counter) = self.0.get(&outcome) {
            counter.one();
        }
    }
}

impl Engine {
    /// Writes what this node does in fan-out runs, whoever coordinates them.
    pub fn write_metrics(&self, page: &mut Page) {
        let (runs, used) = self.parts.pool.load();
        page.gauge("remuda_fanout_runs", "Fan-out runs in which this node takes part.").value(runs);
        page.gauge("remuda_fanout_slots", "How many targets this node contacts at a time.")
            .value(self.parts.config.slots);
        page.gauge("remuda_fanout_slots_used", "How many targets this node contacts now.")
            .value(used);
        let mut family = page.counter(
            "remuda_fanout_attempts_total",
            "Attempts of this node to contact targets, repeated ones included, by outcome.",
        );
        for (outcome, counter) in &self.parts.attempts.0 {
            family = family.sample(&[("outcome", outcome.as_str())], counter.get());
        }
    }
}
