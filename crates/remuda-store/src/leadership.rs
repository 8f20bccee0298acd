//! Who leads and who votes, as one replica knows it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use openraft::ServerState;
use remuda_model::{LinkUrl, NodeId};
use remuda_runtime::CancellationToken;
use tokio::sync::watch;

use crate::{
    network::Wire,
    types::{Member, Metrics},
};

/// The replication as one replica knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The leader of the term, if known.
    pub leader: Option<NodeId>,
    /// Whether this node leads. An isolated leader does not know that others have elected another.
    pub is_leader: bool,
    /// The term.
    pub term: u64,
    /// The nodes that vote.
    pub voters: BTreeSet<NodeId>,
    /// The nodes that only replicate.
    pub learners: BTreeSet<NodeId>,
    /// The last index in the log of this node.
    pub last_log: u64,
    /// The last index that its state contains.
    pub applied: u64,
    /// The last index that its newest snapshot contains; 0 without one.
    pub snapshot: u64,
    /// Where voters and learners can be dialled.
    pub addresses: BTreeMap<NodeId, Vec<LinkUrl>>,
    /// On the leader: the last index that each other node has on its disk, once it has answered.
    pub matched: BTreeMap<NodeId, u64>,
    /// Why the replica has stopped by itself, such as a disk that failed. It stays stopped.
    pub fault: Option<String>,
}

impl Leadership {
    /// Translates what the library says.
    pub(crate) fn read(metrics: &Metrics) -> Self {
        let membership = metrics.membership_config.membership();
        let name = |id: u64| membership.get_node(&id).and_then(Member::node);
        let fault = metrics.running_state.as_ref().err().map(ToString::to_string);
        let runs = fault.is_none();
        let is_leader = runs && metrics.state == ServerState::Leader;
        let replication = metrics.replication.iter().flatten();
        let matched = replication
            .filter(|(id, _)| is_leader && **id != metrics.id)
            .filter_map(|(id, log_id)| Some((name(*id)?, log_id.as_ref()?.index)))
            .collect();
        Self {
            leader: metrics.current_leader.filter(|_| runs).and_then(name),
            is_leader,
            term: metrics.current_term,
            voters: membership.voter_ids().filter_map(name).collect(),
            learners: membership.learner_ids().filter_map(name).collect(),
            last_log: metrics.last_log_index.unwrap_or(0),
            applied: metrics.last_applied.map_or(0, |id| id.index),
            snapshot: metrics.snapshot.map_or(0, |id| id.index),
            addresses: membership
                .nodes()
                .filter_map(|(_, member)| Some((member.node()?, member.addresses.clone())))
                .collect(),
            matched,
            fault,
        }
    }
}

/// The library says something new with every entry of the log; it is looked at so often at most.
const GATHER: Duration = Duration::from_millis(5);

/// Publishes what the library says until stopped.
pub(crate) async fn follow(
    mut metrics: watch::Receiver<Metrics>,
    wire: Arc<Wire>,
    publish: watch::Sender<Leadership>,
    stop: CancellationToken,
) {
    loop {
        let (leadership, members) = {
            let metrics = metrics.borrow_and_update();
            let nodes = metrics.membership_config.membership().nodes();
            let members = nodes.map(|(id, member)| (*id, member.clone())).collect();
            (Leadership::read(&metrics), members)
        };
        wire.set_members(members);
        publish.send_if_modified(|present| {
            if let (None, Some(fault)) = (&present.fault, &leadership.fault)
                && !stop.is_cancelled()
            {
                tracing::error!(error = %fault, "the replica has stopped");
            }
            let is_news = *present != leadership;
            *present = leadership;
            is_news
        });
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(GATHER) => (),
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            changed = metrics.changed() => if changed.is_err() { return },
        }
    }
}
