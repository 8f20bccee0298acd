//! Lists of targets that the cluster keeps under a name.

use remuda_model::{Failure, NodeView, Selector, TargetListId};
use remuda_run::{Collector, Target, targets};
use remuda_runtime::{blocking, wall_ms};
use remuda_state::{Change, ClusterState, Limit, Refusal, TargetListRecord};

use crate::{Consistency, Control, proposals::CHANGE};

/// A list of targets, without its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetListView {
    /// Its name.
    pub name: TargetListId,
    /// How many targets it had when it was saved.
    pub targets: u32,
    /// How many bytes its lines have.
    pub bytes: usize,
    /// When it was saved, in milliseconds since 1970.
    pub changed_ms: u64,
}

impl TargetListView {
    fn new(name: &TargetListId, record: &TargetListRecord) -> Self {
        let (targets, bytes) = (record.targets, record.lines.len());
        Self { name: name.clone(), targets, bytes, changed_ms: record.changed_ms }
    }
}

impl Control {
    /// Keeps lines of targets under a name, in place of what was there. They are read when they are
    /// saved, to see that they can be, and again whenever they are used.
    ///
    /// # Errors
    ///
    /// [`Invalid`](remuda_model::ErrorKind::Invalid) names the lines that are wrong, or says that
    /// there are no targets; [`NoCapacity`](remuda_model::ErrorKind::NoCapacity) for more than 256 KiB,
    /// 1,000 lists, or 16 MiB of all lists together;
    /// [`Conflict`](remuda_model::ErrorKind::Conflict) while a control node of an older version may be
    /// there; when the change cannot be committed.
    ///
    /// # Cancel safety
    ///
    /// The list may be saved when the future is dropped; never a part of it.
    pub async fn save_targets(
        &self,
        name: &TargetListId,
        lines: String,
    ) -> Result<TargetListView, Failure> {
        // Before they are expanded, which costs more.
        if lines.len() > Limit::TargetLines.bound() {
            return Err(Refusal::TooMuch(Limit::TargetLines).into());
        }
        let (lines, found) = blocking(move || {
            let found = targets::from_lines(&lines).map(|set| set.targets.len());
            (lines, found)
        })
        .await
        .map_err(|error| Failure::internal(&error))?;
        let targets = u32::try_from(found?).map_err(|error| Failure::internal(&error))?;
        if targets == 0 {
            return Err(Failure::invalid("lines: there are no targets").code("bad_targets"));
        }
        let change = Change::PutTargets { list: name.clone(), lines, targets, now_ms: wall_ms() };
        self.propose(change, CHANGE).await?;
        self.target_list(name).await.map(|(view, _)| view)
    }

    /// The lists of targets, by name.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](remuda_model::ErrorKind::Unavailable) without a leader.
    pub async fn target_lists(&self) -> Result<Vec<TargetListView>, Failure> {
        self.freshen(Consistency::Linearizable).await?;
        let state = self.shared.replica.state();
        Ok(state.target_lists().map(|(name, record)| TargetListView::new(name, record)).collect())
    }

    /// One list of targets, and its lines.
    ///
    /// # Errors
    ///
    /// [`NotFound`](remuda_model::ErrorKind::NotFound);
    /// [`Unavailable`](remuda_model::ErrorKind::Unavailable) without a leader.
    pub async fn target_list(
        &self,
        name: &TargetListId,
    ) -> Result<(TargetListView, String), Failure> {
        self.freshen(Consistency::Linearizable).await?;
        let state = self.shared.replica.state();
        let record = known(&state, name)?;
        Ok((TargetListView::new(name, record), record.lines.clone()))
    }

    /// Forgets a list of targets. Schedules that name it begin nothing from then on, and say so.
    ///
    /// # Errors
    ///
    /// [`NotFound`](remuda_model::ErrorKind::NotFound); when the change cannot be committed.
    pub async fn remove_targets(&self, name: &TargetListId) -> Result<(), Failure> {
        self.propose(Change::RemoveTargets(name.clone()), CHANGE).await.map(drop)
    }

    /// The targets of lists, of further lines, and the cluster's own nodes that meet a condition;
    /// each once.
    ///
    /// # Errors
    ///
    /// [`NotFound`](remuda_model::ErrorKind::NotFound) names a list that is not there, or says that no
    /// node meets the condition; [`Invalid`](remuda_model::ErrorKind::Invalid) names lines that are
    /// wrong; [`Unavailable`](remuda_model::ErrorKind::Unavailable) without a leader.
    pub async fn saved_targets(
        &self,
        lists: &[TargetListId],
        lines: String,
        nodes: Option<&Selector>,
    ) -> Result<Vec<Target>, Failure> {
        let mut texts = Vec::new();
        if !lists.is_empty() {
            self.freshen(Consistency::Linearizable).await?;
            let state = self.shared.replica.state();
            for name in lists {
                texts.push(known(&state, name)?.lines.clone());
            }
        }
        texts.push(lines);
        let nodes = match nodes {
            Some(on) => self.node_targets(on).await?,
            None => Vec::new(),
        };
        let read = move || {
            let mut collector = Collector::default();
            for text in &texts {
                collector.lines(text);
            }
            for (at, node) in (1..).zip(&nodes) {
                collector.canonical(at, &node.to_line());
            }
            collector.finish()
        };
        let found = blocking(read).await.map_err(|error| Failure::internal(&error))?;
        Ok(found?.targets)
    }

    /// The cluster's own nodes that meet a condition, as targets: by the first address at which they
    /// can be dialled, or their name. `{{vars.node}}` is their name.
    ///
    /// # Errors
    ///
    /// [`NotFound`](remuda_model::ErrorKind::NotFound) when no node meets it.
    pub async fn node_targets(&self, on: &Selector) -> Result<Vec<Target>, Failure> {
        let nodes = self.nodes_on(on, Consistency::Stale).await?;
        if nodes.is_empty() {
            return Err(Failure::not_found(format!("no node meets `{on}`")));
        }
        nodes.iter().map(node_target).collect()
    }
}

fn node_target(node: &NodeView) -> Result<Target, Failure> {
    let host = match node.addresses.first() {
        Some(address) => address.host.clone(),
        None => node.id.to_string(),
    };
    let target = Target::new(&host, [("node", node.id.as_str())]);
    target.map_err(|error| Failure::invalid(format!("node `{}` is no target: {error}", node.id)))
}

fn known<'a>(
    state: &'a ClusterState,
    name: &TargetListId,
) -> Result<&'a TargetListRecord, Failure> {
    state.target_list(name).ok_or_else(|| Refusal::UnknownTargets(name.clone()).into())
}
