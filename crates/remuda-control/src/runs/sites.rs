//! Which workers may take part in a run, and from where.

use std::collections::BTreeSet;

use remuda_model::{Labels, NodeView, run::RunSpec};

/// Whether a node meets the run's condition.
pub(super) fn meets(spec: &RunSpec, view: &NodeView) -> bool {
    spec.on.as_ref().is_none_or(|on| view.meets(on))
}

/// Whether a node is at this site; every node is when the run has no sites.
pub(super) fn is_at(spec: &RunSpec, view: &NodeView, site: &str) -> bool {
    spec.from_each.as_ref().is_none_or(|label| value(&view.labels, label) == Some(site))
}

/// The sites of a run: the values of its label among these nodes, or one without a name.
pub(super) fn all(spec: &RunSpec, views: &[NodeView]) -> Vec<String> {
    let Some(label) = &spec.from_each else { return vec![String::new()] };
    let able = views.iter().filter(|view| meets(spec, view));
    let values: BTreeSet<&str> = able.filter_map(|view| value(&view.labels, label)).collect();
    values.into_iter().map(str::to_owned).collect()
}

/// The value of a label that is named `key=value`, or of an option `key=value` of any label.
fn value<'a>(labels: &'a Labels, key: &str) -> Option<&'a str> {
    let named = labels.iter().find_map(|label| {
        let (name, value) = label.name.split_once('=')?;
        (name == key).then_some(value)
    });
    named.or_else(|| labels.iter().find_map(|label| label.value(key)))
}
