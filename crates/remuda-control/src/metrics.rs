//! What a control node counts, and the page that shows it.
//!
//! Counting is a few atomic operations; everything else happens when somebody looks. Classes are
//! labels only when this node knows them, so that nobody makes labels up.

mod owned;
mod requests;
mod runs;

use remuda_model::{ClassName, VERSION};
use remuda_runtime::metrics::Page;

pub(crate) use self::owned::Owned;
use self::{requests::Requests, runs::Runs};
use crate::Control;

/// What a control node counts.
#[derive(Debug)]
pub(crate) struct Stats {
    pub requests: Requests,
    pub owned: Owned,
    pub runs: Runs,
}

/// The classes that have a label of their own; all others are `other`.
#[derive(Debug)]
struct Classes(Vec<ClassName>);

impl Classes {
    const OTHER: &str = "other";

    fn new<'a>(known: impl Iterator<Item = &'a ClassName>) -> Self {
        let mut names: Vec<ClassName> = known.cloned().collect();
        // Every node has it.
        let node = "node".parse().expect("a class name");
        if !names.contains(&node) {
            names.push(node);
        }
        Self(names)
    }

    /// Where the counters of a class are: behind those of all known ones when it is not known.
    fn index(&self, class: &ClassName) -> usize {
        self.0.iter().position(|known| known == class).unwrap_or(self.0.len())
    }

    fn labels(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(ClassName::as_str).chain([Self::OTHER])
    }

    fn len(&self) -> usize {
        self.0.len() + 1
    }
}

impl Stats {
    pub(crate) fn new<'a>(classes: impl Iterator<Item = &'a ClassName> + Clone) -> Self {
        let (requests, owned) = (Requests::new(classes.clone()), Owned::new(classes));
        Self { requests, owned, runs: Runs::new() }
    }
}

impl Control {
    /// Writes what is known of this control node, its links, the workers that it owns, and the runs
    /// that it coordinates.
    pub fn write_metrics(&self, page: &mut Page) {
        page.gauge("remuda_build_info", "1, with the version that runs.")
            .sample(&[("version", VERSION)], 1);
        self.shared.replica.write_metrics(page);
        self.write_cluster(page);
        self.write_owned(page);
        self.shared.stats.requests.write(page);
        self.write_runs(page);
        remuda_link::write_metrics(page);
        self.write_rtt(page);
    }

    fn write_cluster(&self, page: &mut Page) {
        let state = self.shared.replica.state();
        let linked = self.shared.peers.linked();
        let controls: Vec<_> = state.nodes().filter(|node| node.roles.is_control()).collect();
        let unlinked = controls.iter().filter(|node| !linked.contains(&node.id)).count();
        page.gauge("remuda_nodes", "Nodes that the cluster knows, control nodes included.")
            .value(state.n_nodes());
        page.gauge("remuda_control_nodes", "Control nodes that the cluster knows.")
            .value(controls.len());
        page.gauge("remuda_control_nodes_unlinked", "Control nodes without a link to this one.")
            .value(unlinked);
        page.gauge("remuda_ownership_epoch", "Counts the changes of who owns workers.")
            .value(state.epoch().0);
    }

    fn write_rtt(&self, page: &mut Page) {
        let mut family = page.gauge(
            "remuda_link_rtt_seconds",
            "Round trip of open links by role of the peer: the middle one and the longest.",
        );
        for (role, mut all) in self.shared.links.round_trips() {
            all.sort_unstable();
            for (stat, at) in [("median", all.len() / 2), ("max", all.len().saturating_sub(1))] {
                if let Some(rtt) = all.get(at) {
                    let labels = [("role", role.as_str()), ("stat", stat)];
                    family = family.sample(&labels, rtt.as_secs_f64());
                }
            }
        }
    }
}
