//! Who replicates and who votes.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    time::Duration,
};

use openraft::{
    ChangeMembers,
    error::{ChangeMembershipError, ClientWriteError, Fatal, RaftError},
    raft::ClientWriteResponse,
};
use remuda_model::{LinkUrl, NodeId};
use tokio::time::timeout;

use super::Replica;
use crate::{
    MembershipError, ProposeError,
    types::{Member, Metrics, Types, raft_id},
};

/// How long one change may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How many entries a learner may lack and still become a voter.
const MAX_LAG: u64 = 1000;

type Written = Result<ClientWriteResponse<Types>, RaftError<u64, ClientWriteError<u64, Member>>>;

impl Replica {
    /// Lets a node replicate without a vote, or changes the addresses of one that does. Returns
    /// when this is committed, not when the node has caught up; see
    /// [`Leadership::matched`](crate::Leadership).
    ///
    /// # Errors
    ///
    /// On a node that does not lead, while another change is under way, and after 10 s.
    pub async fn add_learner(
        &self,
        node: &NodeId,
        addresses: Vec<LinkUrl>,
    ) -> Result<(), MembershipError> {
        self.leads()?;
        let (id, member) = (raft_id(node), Member::new(node, addresses));
        let metrics = self.metrics();
        let raft = &self.inner.raft;
        match metrics.membership_config.membership().get_node(&id) {
            Some(known) if *known == member => Ok(()),
            Some(_) => {
                let change = ChangeMembers::SetNodes(BTreeMap::from([(id, member)]));
                self.within_limit(raft.change_membership(change, true)).await
            }
            None => self.within_limit(raft.add_learner(id, member, false)).await,
        }
    }

    /// Makes these nodes, and no others, vote; former voters go on as learners. A leader that is
    /// not among them steps down.
    ///
    /// # Errors
    ///
    /// As [`add_learner`](Self::add_learner), and when a new voter is no learner yet or has not
    /// caught up.
    pub async fn set_voters(&self, voters: BTreeSet<NodeId>) -> Result<(), MembershipError> {
        self.leads()?;
        if voters.is_empty() {
            return Err(MembershipError::NoVoter);
        }
        let metrics = self.metrics();
        let membership = metrics.membership_config.membership();
        let now: BTreeSet<u64> = membership.voter_ids().collect();
        let last_log = metrics.last_log_index.unwrap_or(0);
        let mut ids = BTreeSet::new();
        for node in voters {
            let id = raft_id(&node);
            if membership.get_node(&id).is_none() {
                return Err(MembershipError::UnknownNode(node));
            }
            let matched = metrics.replication.as_ref().and_then(|all| all.get(&id));
            let caught_up = matched
                .and_then(Option::as_ref)
                .is_some_and(|log_id| log_id.index.saturating_add(MAX_LAG) >= last_log);
            if !now.contains(&id) && !caught_up {
                return Err(MembershipError::Behind(node));
            }
            ids.insert(id);
        }
        if ids == now && membership.get_joint_config().len() == 1 {
            return Ok(());
        }
        self.within_limit(self.inner.raft.change_membership(ids, true)).await
    }

    /// Ends the replication to a node, after taking away its vote. Nothing happens to a node that
    /// does not replicate. A leader gives its lead away before it is removed.
    ///
    /// # Errors
    ///
    /// As [`set_voters`](Self::set_voters); the last voter stays.
    pub async fn remove(&self, node: &NodeId) -> Result<(), MembershipError> {
        self.leads()?;
        let id = raft_id(node);
        let metrics = self.metrics();
        let membership = metrics.membership_config.membership();
        if membership.get_node(&id).is_none() {
            return Ok(());
        }
        if membership.voter_ids().any(|voter| voter == id) {
            let others = membership.voter_ids().filter(|voter| *voter != id);
            let others = others.filter_map(|voter| membership.get_node(&voter)?.node());
            self.set_voters(others.collect()).await?;
        }
        let change = ChangeMembers::RemoveNodes(BTreeSet::from([id]));
        self.within_limit(self.inner.raft.change_membership(change, true)).await
    }

    async fn within_limit(
        &self,
        change: impl Future<Output = Written>,
    ) -> Result<(), MembershipError> {
        let seen = async {
            let index = change.await?.log_id.index;
            // The next change looks at the members as the metrics tell them, which come later.
            let mut metrics = self.inner.raft.metrics();
            let is_seen = |metrics: &Metrics| {
                metrics.membership_config.log_id().is_some_and(|id| id.index >= index)
            };
            metrics.wait_for(is_seen).await.map(drop).map_err(|_closed| Fatal::Stopped.into())
        };
        let error = match timeout(LIMIT, seen).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => return Err(ProposeError::NoQuorum.into()),
        };
        Err(match error {
            RaftError::Fatal(_) => ProposeError::Stopped.into(),
            RaftError::APIError(ClientWriteError::ForwardToLeader(_)) => {
                ProposeError::NotLeader { leader: self.leader() }.into()
            }
            RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => match error {
                ChangeMembershipError::InProgress(_) => MembershipError::InProgress,
                ChangeMembershipError::EmptyMembership(_) => MembershipError::NoVoter,
                ChangeMembershipError::LearnerNotFound(error) => {
                    let member = self.inner.wire.member(error.node_id);
                    let name = member.and_then(|member| member.node());
                    name.map_or(MembershipError::NoVoter, MembershipError::UnknownNode)
                }
            },
        })
    }
}
