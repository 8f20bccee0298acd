//! How far a copy is: a bar on a terminal, nothing elsewhere.

use std::{collections::HashMap, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use remuda_model::NodeId;

use crate::output::Stream;

const TEMPLATE: &str =
    "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} left";

/// A bar that goes when it is dropped.
pub(in crate::commands) struct Bar {
    shown: ProgressBar,
    total: u64,
    by_node: HashMap<NodeId, u64>,
    sum: u64,
}

impl Bar {
    pub(in crate::commands) fn new(what: &'static str, total: u64) -> Self {
        let terminal = Stream::Stderr.is_terminal();
        let target =
            if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total), target).with_message(what);
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        if terminal {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Self { shown: bar, total, by_node: HashMap::new(), sum: 0 }
    }

    /// What sets the bar of a single copy.
    pub(in crate::commands) fn teller(&self) -> impl Fn(u64) + Clone + Send + Sync + 'static {
        let bar = self.shown.clone();
        move |held| bar.set_position(held)
    }

    /// A node has so much.
    pub(in crate::commands) fn held(&mut self, node: &NodeId, held: u64) {
        let before = self.by_node.insert(node.clone(), held).unwrap_or(0);
        self.sum = self.sum.saturating_sub(before).saturating_add(held);
        self.shown.set_position(self.sum);
    }

    /// A node has all, or gets no more.
    pub(in crate::commands) fn done(&mut self, node: &NodeId, n_nodes: usize) {
        self.held(node, self.total / (n_nodes as u64).max(1));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.shown.finish_and_clear();
    }
}
