//! Nodes: the records of the state together with what their owners see.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use remuda_model::{Failure, NodeId, NodeStatus, NodeView, Roles, Selector};
use remuda_state::NodeRecord;
use remuda_wire::message::control;

use crate::{
    Control,
    proposals::{READ, TOO_OLD},
    work::unknown_node,
};

/// How long an owner may take to tell what it sees.
const VIEWS: Duration = Duration::from_secs(1);

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// Everything that was acknowledged before the call is seen; needs the leader.
    #[default]
    Linearizable,
    /// What this control node knows; works without a leader.
    Stale,
}

impl Control {
    /// Makes this node's state as fresh as asked.
    pub(crate) async fn freshen(&self, consistency: Consistency) -> Result<(), Failure> {
        match consistency {
            Consistency::Linearizable => self.catch_up(READ).await,
            Consistency::Stale => Ok(()),
        }
    }

    /// All nodes by name. Nodes whose owner does not answer within a second show as not connected.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](remuda_model::ErrorKind::Unavailable) when a linearizable read finds no leader.
    pub async fn nodes(&self, consistency: Consistency) -> Result<Vec<NodeView>, Failure> {
        self.freshen(consistency).await?;
        let live = self.live_views().await;
        Ok(self.merge(live))
    }

    /// The nodes that meet a condition at the moment, by name; those without a link too.
    ///
    /// # Errors
    ///
    /// As [`nodes`](Self::nodes). That no node meets it is none.
    pub async fn nodes_on(
        &self,
        on: &Selector,
        consistency: Consistency,
    ) -> Result<Vec<NodeView>, Failure> {
        let mut nodes = self.nodes(consistency).await?;
        nodes.retain(|node| node.meets(on));
        Ok(nodes)
    }

    /// One node.
    ///
    /// # Errors
    ///
    /// [`NotFound`](remuda_model::ErrorKind::NotFound), and as [`nodes`](Self::nodes).
    pub async fn node(&self, node: &NodeId, consistency: Consistency) -> Result<NodeView, Failure> {
        self.freshen(consistency).await?;
        let state = self.shared.replica.state();
        let record = state.node(node).ok_or_else(|| unknown_node(node))?;
        let owner = state.owner_of(node);
        let mut seen = self.owned_view(node);
        // A worker that moves may still be with a former owner.
        let former = self.shared.history.moved_from(node, &state).unwrap_or_default();
        for control in owner.iter().chain(&former).filter(|control| **control != self.shared.me) {
            if seen.as_ref().is_some_and(|view| view.status != NodeStatus::NotConnected) {
                break;
            }
            seen = self.view_at(control, node).await.or(seen);
        }
        Ok(match seen {
            Some(view) => placed(view, record, owner),
            None => absent(record, owner),
        })
    }

    /// What another control node sees of one worker.
    async fn view_at(&self, control: &NodeId, node: &NodeId) -> Option<NodeView> {
        let call = control::Call::OwnedNode { node: node.clone() };
        let answer = match self.call_control(control, &call, VIEWS).await {
            Err(failure) if failure.code == TOO_OLD => {
                self.call_control(control, &control::Call::OwnedNodes, VIEWS).await
            }
            answer => answer,
        };
        let Ok(control::Done::Nodes(views)) = answer else { return None };
        views.into_iter().find(|view| view.id == *node)
    }

    /// What the owners see, asked at the same time.
    async fn live_views(&self) -> BTreeMap<NodeId, NodeView> {
        let others = self.shared.peers.linked().into_iter().filter(|node| *node != self.shared.me);
        let asked = others.map(|control| async move {
            match self.call_control(&control, &control::Call::OwnedNodes, VIEWS).await {
                Ok(control::Done::Nodes(views)) => views,
                _ => Vec::new(),
            }
        });
        let theirs = join_all(asked).await;
        let mut live: BTreeMap<NodeId, NodeView> = BTreeMap::new();
        for view in theirs.into_iter().flatten().chain(self.owned_views()) {
            // A moving worker may be seen by two; whoever has a session sees more.
            let better = view.status != NodeStatus::NotConnected;
            if better || !live.contains_key(&view.id) {
                live.insert(view.id.clone(), view);
            }
        }
        live
    }

    /// What this node sees of a worker that has a proxy here.
    pub(crate) fn owned_view(&self, node: &NodeId) -> Option<NodeView> {
        self.shared.proxies.get(node)?.view()
    }

    /// What this node sees of the workers that have a proxy here.
    pub(crate) fn owned_views(&self) -> Vec<NodeView> {
        self.shared.proxies.all().iter().filter_map(|(_, proxy)| proxy.view()).collect()
    }

    fn merge(&self, mut live: BTreeMap<NodeId, NodeView>) -> Vec<NodeView> {
        let state = self.shared.replica.state();
        state
            .nodes()
            .map(|record| {
                let owner = state.owner_of(&record.id);
                match live.remove(&record.id) {
                    Some(view) => placed(view, record, owner),
                    None => absent(record, owner),
                }
            })
            .collect()
    }
}

/// A live view with what only the state knows.
fn placed(mut view: NodeView, record: &NodeRecord, owner: Option<NodeId>) -> NodeView {
    if view.status == NodeStatus::NotConnected || view.owner.is_none() {
        view.owner = owner;
    }
    if record.roles.is_control() {
        view.roles = Roles::CONTROL;
    }
    view
}

/// A node that nobody is connected to.
fn absent(record: &NodeRecord, owner: Option<NodeId>) -> NodeView {
    NodeView {
        id: record.id.clone(),
        roles: record.roles,
        status: NodeStatus::NotConnected,
        version: record.version.clone(),
        generation: record.generation,
        addresses: record.addresses.clone(),
        labels: record.labels.clone(),
        attributes: record.attributes.clone(),
        stats: None,
        owner,
        via: None,
        rtt_us: None,
        running_tasks: 0,
    }
}
