//! An owner tells its workers which CAs count.

use std::{sync::Arc, time::Duration};

use remuda_link::{MAX_REPLY, pin_of};
use remuda_model::{ErrorKind, Failure, NodeId};
use remuda_state::{AuthorityRecord, Change};
use remuda_wire::message::{TRUST, control, trust};
use tokio::task::JoinSet;

use crate::{
    Consistency, Control,
    proposals::CHANGE,
    proxies::not_connected,
    relay::{HOPS, OpenError},
};

/// How many workers are told at a time.
const AT_A_TIME: usize = 32;
/// How many answers are noted in one change.
const BATCH: usize = 1_000;
/// How long a worker may take: it asks for a certificate meanwhile.
const ANSWER: Duration = Duration::from_secs(20);

impl Control {
    /// Tells all workers that have a session here and have not followed yet.
    pub(super) async fn push(&self, record: &AuthorityRecord) {
        let lagging: Vec<NodeId> = (self.shared.proxies.all().into_iter())
            .filter(|(node, proxy)| !record.is_followed_by(node) && proxy.route().is_some())
            .map(|(node, _)| node)
            .collect();
        let Some(call) = self.call(record.trusted.clone(), false) else { return };
        let call = Arc::new(call);
        for batch in lagging.chunks(BATCH) {
            let (mut asked, mut followed) = (JoinSet::new(), Vec::new());
            for node in batch {
                if asked.len() >= AT_A_TIME {
                    followed.extend(asked.join_next().await.and_then(Result::ok).flatten());
                }
                asked.spawn(follows(self.clone(), node.clone(), Arc::clone(&call)));
            }
            followed.extend(asked.join_all().await.into_iter().flatten());
            if followed.is_empty() {
                continue;
            }
            let change = Change::FollowAuthority { revision: record.revision, nodes: followed };
            if let Err(failure) = self.propose(change, CHANGE).await {
                // They are told again.
                tracing::debug!(%failure, "not noted who has followed");
            }
        }
    }

    /// What to tell; `None` while this control node itself has not followed.
    fn call(&self, trusted: Vec<Vec<u8>>, renew: bool) -> Option<trust::Call> {
        let issuer = self.shared.authority().ok()?.pin();
        let counts = trusted.iter().any(|ca| pin_of(ca).is_ok_and(|pin| pin == issuer));
        counts.then_some(trust::Call { trusted, issuer, renew })
    }

    async fn tell(&self, node: &NodeId, call: &trust::Call) -> Result<trust::Followed, Failure> {
        let asked = async {
            let stream = self.open_here(node, TRUST, HOPS).await;
            let mut stream = stream.map_err(|error| match error {
                OpenError::NoWay => not_connected(node),
                error => Failure::new(ErrorKind::Unavailable, error.to_string()),
            })?;
            let broken = |error: remuda_link::StreamError| {
                Failure::new(ErrorKind::OutcomeUnknown, error.to_string())
            };
            stream.finish_with(remuda_wire::encode(call)).await.map_err(broken)?;
            let bytes = stream.read_to_end(MAX_REPLY).await.map_err(broken)?;
            remuda_wire::decode::<trust::Reply>(&bytes)
                .map_err(|error| Failure::internal(&error))?
        };
        let late = |_elapsed| {
            Failure::new(ErrorKind::TimedOut, format!("node `{node}` takes too long to follow"))
        };
        tokio::time::timeout(ANSWER, asked).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
    }

    /// Has a node get a new certificate now.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound); [`NotConnected`](ErrorKind::NotConnected); what the node
    /// or the signing control node says.
    pub async fn renew_certificate(&self, node: &NodeId) -> Result<(), Failure> {
        self.node(node, Consistency::Linearizable).await?;
        let owner = self.shared.replica.state().owner_of(node);
        match owner {
            Some(owner) if owner != self.shared.me => {
                let call = control::Call::Renew { node: node.clone() };
                self.call_control(&owner, &call, ANSWER).await.map(drop)
            }
            _ => self.renew_here(node).await,
        }
    }

    /// The same for a worker of this node.
    pub(crate) async fn renew_here(&self, node: &NodeId) -> Result<(), Failure> {
        let own = self.shared.authority()?;
        let record = self.shared.replica.state().authority().cloned();
        let trusted = record.map_or_else(|| vec![own.ca_der().to_vec()], |record| record.trusted);
        let call = self.call(trusted, true).ok_or_else(|| not_connected(node))?;
        self.tell(node, &call).await.map(drop)
    }
}

/// The node, once it has followed.
async fn follows(control: Control, node: NodeId, call: Arc<trust::Call>) -> Option<NodeId> {
    match control.tell(&node, &call).await {
        Ok(_) => Some(node),
        Err(failure) => {
            tracing::debug!(%node, %failure, "a node has not followed the authority yet");
            None
        }
    }
}
