//! The state of the cluster as a whole, and whether it is well.

use remuda_model::{ClusterId, Epoch, Failure, NodeId, NodeStatus};
use remuda_state::ClusterRecord;
use remuda_store::Leadership;

use crate::{Consistency, Control};

/// How many log entries a control node may be behind before that is worth a word.
const LAG: u64 = 1000;
/// How many names a sentence lists.
const NAMES: usize = 5;

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
    /// All control nodes, with whether they own workers.
    pub controls: Vec<(NodeId, bool)>,
    /// The ownership counter.
    pub epoch: Epoch,
    /// The last log index of the answering node.
    pub last_log: u64,
    /// The last index that its state contains.
    pub applied: u64,
    /// How many nodes are known.
    pub nodes: usize,
    /// Whether nothing needs attention.
    pub healthy: bool,
    /// What needs attention, in words; empty when healthy.
    pub reasons: Vec<String>,
}

impl Control {
    /// The cluster as a whole.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](remuda_model::ErrorKind::Unavailable) with the code `no_cluster` when this
    /// node belongs to none yet, and when a linearizable read finds no leader; a stale one then
    /// says so among the reasons.
    pub async fn cluster(&self, consistency: Consistency) -> Result<ClusterView, Failure> {
        self.freshen(consistency).await?;
        let nodes = self.nodes(Consistency::Stale).await?;
        let state = self.shared.replica.state();
        let Some(ClusterRecord { id, name, .. }) = state.cluster().cloned() else {
            return Err(no_cluster());
        };
        let now = self.shared.replica.leadership().borrow().clone();
        let linked = self.shared.peers.linked();
        let controls: Vec<(NodeId, bool)> = state
            .nodes()
            .filter(|node| node.roles.is_control())
            .map(|node| (node.id.clone(), node.active))
            .collect();
        let unlinked = |node: &&NodeId| !linked.contains(*node);
        let health = Health {
            leadership: &now,
            down: now.voters.iter().filter(unlinked).cloned().collect(),
            inactive: controls
                .iter()
                .filter(|(_, active)| !active)
                .map(|(node, _)| node.clone())
                .collect(),
            away: nodes
                .iter()
                .filter(|node| node.status == NodeStatus::NotConnected)
                .map(|node| node.id.clone())
                .collect(),
        };
        let reasons = health.reasons();
        Ok(ClusterView {
            id,
            name,
            leader: now.leader.clone(),
            term: now.term,
            voters: now.voters.iter().cloned().collect(),
            learners: now.learners.iter().cloned().collect(),
            controls,
            epoch: state.epoch(),
            last_log: now.last_log,
            applied: now.applied,
            nodes: nodes.len(),
            healthy: reasons.is_empty(),
            reasons,
        })
    }
}

pub(crate) fn no_cluster() -> Failure {
    Failure::new(remuda_model::ErrorKind::Unavailable, "this node belongs to no cluster yet")
        .code("no_cluster")
        .hint("found one with `remuda agent --control --bootstrap`, or join one with `--join`")
}

/// What the judgement rests on.
struct Health<'a> {
    leadership: &'a Leadership,
    /// Voters that this node has no link to.
    down: Vec<NodeId>,
    /// Control nodes that own no workers.
    inactive: Vec<NodeId>,
    /// Nodes that are not connected.
    away: Vec<NodeId>,
}

impl Health<'_> {
    fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        let Leadership { voters, matched, last_log, .. } = self.leadership;
        if let Some(fault) = &self.leadership.fault {
            reasons.push(format!("the replica of the answering node has stopped: {fault}"));
        }
        if self.leadership.leader.is_none() {
            reasons.push("no leader is known: changes wait until a majority votes".to_owned());
        }
        if !self.down.is_empty() {
            let down = names(&self.down);
            let spare = voters.len().div_ceil(2).saturating_sub(1 + self.down.len());
            let more = match spare {
                0 => "no further voter may fail".to_owned(),
                n => format!("{n} more may fail"),
            };
            reasons.push(format!("voters out of reach: {down}; {more}"));
        }
        if voters.len() > 1 && voters.len().is_multiple_of(2) {
            let n = voters.len();
            reasons.push(format!("{n} voters survive no more failures than {}", n - 1));
        }
        let behind: Vec<NodeId> = matched
            .iter()
            .filter(|(_, at)| last_log.saturating_sub(**at) > LAG)
            .map(|(node, _)| node.clone())
            .collect();
        if !behind.is_empty() {
            reasons.push(format!("control nodes behind in the log: {}", names(&behind)));
        }
        let inactive: Vec<NodeId> =
            self.inactive.iter().filter(|node| !self.down.contains(node)).cloned().collect();
        if !inactive.is_empty() {
            reasons.push(format!("control nodes that own no workers: {}", names(&inactive)));
        }
        if !self.away.is_empty() {
            reasons.push(format!("nodes not connected: {}", names(&self.away)));
        }
        reasons
    }
}

fn names(nodes: &[NodeId]) -> String {
    let listed: Vec<_> = nodes.iter().take(NAMES).map(NodeId::as_str).collect();
    match nodes.len().saturating_sub(NAMES) {
        0 => listed.join(", "),
        more => format!("{} and {more} more", listed.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> Vec<NodeId> {
        text.split_whitespace().map(|id| id.parse().unwrap()).collect()
    }

    fn reasons(voters: &str, leader: Option<&str>, down: &str, away: &str) -> Vec<String> {
        let leadership = Leadership {
            leader: leader.map(|id| id.parse().unwrap()),
            voters: ids(voters).into_iter().collect(),
            ..Leadership::default()
        };
        let (down, away) = (ids(down), ids(away));
        Health { leadership: &leadership, down, inactive: Vec::new(), away }.reasons()
    }

    #[test]
    fn a_cluster_in_order_gives_no_reason() {
        assert_eq!(reasons("a b c", Some("a"), "", ""), Vec::<String>::new());
        assert_eq!(reasons("a", Some("a"), "", ""), Vec::<String>::new());
    }

    #[test]
    fn each_trouble_is_said_in_words() {
        assert!(reasons("a b c", None, "", "")[0].contains("no leader"));
        let down = reasons("a b c", Some("a"), "c", "");
        assert_eq!(down, ["voters out of reach: c; no further voter may fail"]);
        let down = reasons("a b c d e", Some("a"), "c", "");
        assert_eq!(down, ["voters out of reach: c; 1 more may fail"]);
        assert!(reasons("a b", Some("a"), "", "")[0].contains("2 voters"));
        let away = reasons("a", Some("a"), "", "w1 w2 w3 w4 w5 w6");
        assert_eq!(away, ["nodes not connected: w1, w2, w3, w4, w5 and 1 more"]);
    }
}
