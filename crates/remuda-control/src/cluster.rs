//! The state of the cluster as a whole, and whether it is well.

mod health;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::future::join_all;
use remuda_model::{ClusterId, Epoch, Failure, NodeId, NodeStatus};
use remuda_runtime::wall_ms;
use remuda_state::ClusterRecord;
use remuda_store::Leadership;
use remuda_wire::message::control::{self, Health};

pub use self::health::Problem;
use self::health::Sight;
use crate::{Consistency, Control};

/// How long a control node may take to tell how it is.
const ASKED: Duration = Duration::from_secs(1);

/// The cluster as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterView {
    /// Its identity.
    pub id: ClusterId,
    /// Its name, for people.
    pub name: String,
    /// The control node that leads, if known.
    pub leader: Option<NodeId>,
    /// The term of the leader.
    pub term: u64,
    /// The control nodes that vote.
    pub voters: Vec<NodeId>,
    /// The control nodes that replicate without a vote.
    pub learners: Vec<NodeId>,
    /// All control nodes.
    pub controls: Vec<ControlView>,
    /// The ownership counter.
    pub epoch: Epoch,
    /// The protocol version that every control node speaks; what is newer is not written yet.
    pub level: u16,
    /// The last log index of the answering node.
    pub last_log: u64,
    /// The last index that its state contains.
    pub applied: u64,
    /// How many nodes are known.
    pub nodes: usize,
    /// How many of them have each status.
    pub by_status: BTreeMap<NodeStatus, usize>,
    /// What needs attention; empty when the cluster is well.
    pub problems: Vec<Problem>,
}

/// A control node as the answering one sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlView {
    /// Its name.
    pub id: NodeId,
    /// Whether it owns workers.
    pub active: bool,
    /// Whether there is a link to it.
    pub linked: bool,
    /// How many entries of the answering node's log its log lacks, when known.
    pub lag: Option<u64>,
    /// How far its clock is ahead of that of the answering node, in milliseconds, when known.
    pub skew_ms: Option<i64>,
    /// When its last link was lost, in milliseconds since 1970.
    pub lost_ms: Option<u64>,
    /// What it says itself.
    pub health: Option<Health>,
}

impl Control {
    /// The cluster as a whole.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](remuda_model::ErrorKind::Unavailable) with the code `no_cluster` when this
    /// node belongs to none yet, and when a linearizable read finds no leader; a stale one then
    /// says so among the problems.
    pub async fn cluster(&self, consistency: Consistency) -> Result<ClusterView, Failure> {
        self.freshen(consistency).await?;
        let (nodes, said) = tokio::join!(self.nodes(Consistency::Stale), self.ask_controls());
        let (nodes, mut said) = (nodes?, said);
        let state = self.shared.replica.state();
        let Some(ClusterRecord { id, name, .. }) = state.cluster().cloned() else {
            return Err(no_cluster());
        };
        let now = self.shared.replica.leadership().borrow().clone();
        let linked = self.shared.peers.linked();
        let mut controls = Vec::new();
        for node in state.nodes().filter(|node| node.roles.is_control()) {
            let (health, skew_ms) = said.remove(&node.id).unzip();
            // A log that is ahead of ours is not behind.
            let log = now.matched.get(&node.id).copied();
            let log = log.or_else(|| health.as_ref().map(|health| health.last_log));
            controls.push(ControlView {
                id: node.id.clone(),
                active: node.active,
                linked: linked.contains(&node.id),
                lag: log.map(|at| now.last_log.saturating_sub(at)),
                skew_ms: skew_ms.filter(|_| node.id != self.shared.me),
                lost_ms: self.shared.peers.lost_ms(&node.id),
                health,
            });
        }
        let certificates = nodes
            .iter()
            .filter_map(|node| Some((node.id.clone(), state.certificate_until_ms(&node.id)?)))
            .collect();
        let problems = health::problems(&Sight {
            me: &self.shared.me,
            leadership: &now,
            controls: &controls,
            nodes: &nodes,
            certificates: &certificates,
            now_ms: wall_ms(),
        });
        let mut by_status = BTreeMap::new();
        for node in &nodes {
            *by_status.entry(node.status).or_default() += 1;
        }
        Ok(ClusterView {
            id,
            name,
            // A leader without a majority does not know whether there is another one.
            leader: now.leader.clone().filter(|_| !now.is_leader || has_majority(&now, &linked)),
            term: now.term,
            voters: now.voters.iter().cloned().collect(),
            learners: now.learners.iter().cloned().collect(),
            controls,
            epoch: state.epoch(),
            level: state.level(),
            last_log: now.last_log,
            applied: now.applied,
            nodes: nodes.len(),
            by_status,
            problems,
        })
    }

    /// Whether this node knows a leader, so that it can answer reads and make changes.
    pub fn is_ready(&self) -> bool {
        let now = self.shared.replica.leadership().borrow().clone();
        let may_lead = || has_majority(&now, &self.shared.peers.linked());
        self.is_member()
            && now.fault.is_none()
            && now.leader.is_some()
            && (!now.is_leader || may_lead())
    }

    /// What this node knows of the replication, for people who look for a fault.
    pub fn replica_state(&self) -> String {
        format!("{:#?}", *self.shared.replica.leadership().borrow())
    }

    /// What the linked control nodes say of themselves, each with how far its clock is ahead.
    async fn ask_controls(&self) -> BTreeMap<NodeId, (Health, i64)> {
        let asked = self.shared.peers.linked().into_iter().map(|node| async move {
            if node == self.shared.me {
                return Some((node, (self.own_health(), 0)));
            }
            let sent_ms = wall_ms();
            let answer = self.call_control(&node, &control::Call::Health, ASKED).await;
            let Ok(control::Done::Health(health)) = answer else { return None };
            // It read its clock somewhere between our two looks at ours.
            let between = sent_ms.midpoint(wall_ms());
            let skew = i128::from(health.wall_ms) - i128::from(between);
            Some((node, (*health, i64::try_from(skew).unwrap_or(i64::MAX))))
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// How this control node is.
    pub(crate) fn own_health(&self) -> Health {
        let now = self.shared.replica.leadership().borrow().clone();
        let proxies = self.shared.proxies.all();
        let live = proxies.iter().filter(|(_, proxy)| proxy.live().is_some()).count();
        Health {
            version: self.shared.release.version.to_owned(),
            wall_ms: wall_ms(),
            term: now.term,
            leader: now.leader,
            last_log: now.last_log,
            applied: now.applied,
            fault: now.fault,
            linked: self.shared.peers.linked().into_iter().collect(),
            workers: u32::try_from(live).unwrap_or(u32::MAX),
        }
    }
}

/// Whether a majority of the voters is among the linked control nodes.
fn has_majority(leadership: &Leadership, linked: &BTreeSet<NodeId>) -> bool {
    2 * leadership.voters.intersection(linked).count() > leadership.voters.len()
}

pub(crate) fn no_cluster() -> Failure {
    Failure::new(remuda_model::ErrorKind::Unavailable, "this node belongs to no cluster yet")
        .code("no_cluster")
        .hint("found one with `remuda agent --control --bootstrap`, or join one with `--join`")
}
