//! Answers calls of other replicas.

use std::{borrow::Borrow, sync::PoisonError};

use bytes::Bytes;
use openraft::error::{Fatal, RaftError};
use remuda_model::{ErrorKind, Failure};

use super::Replica;
use crate::{
    incoming,
    rpc::{Envelope, MAX_CALL_BYTES, Part, Reply, Request},
    types::{RaftVote, Snapshot, raft_id},
};

impl Replica {
    /// Answers a call that another replica sent through its
    /// [`RaftTransport`](crate::RaftTransport). The caller must have been authenticated as a control
    /// node of this cluster.
    ///
    /// # Errors
    ///
    /// When the call is not meant for this replica, makes no sense, or the replica has stopped.
    pub async fn serve(&self, rpc: Bytes) -> Result<Bytes, Failure> {
        if rpc.len() > MAX_CALL_BYTES {
            return Err(Failure::invalid("the call is too large"));
        }
        let envelope: Envelope = remuda_state::decode(&rpc)
            .map_err(|error| Failure::invalid(remuda_model::Chain(&error).to_string()))?;
        self.check(&envelope)?;
        let raft = &self.inner.raft;
        let reply = match envelope.request {
            Request::Append(request) => {
                Reply::Append(raft.append_entries(request).await.map_err(stopped)?)
            }
            Request::Vote(request) => Reply::Vote(raft.vote(request).await.map_err(stopped)?),
            Request::Part(part) => Reply::Part(self.take_part(part).await?),
            Request::Ping => {
                let metrics = self.metrics();
                let caller = raft_id(&envelope.from);
                let membership = metrics.membership_config.membership();
                let is_voter = membership.voter_ids().any(|id| id == caller);
                metrics.running_state.clone().map_err(fatal)?;
                Reply::Pong { is_voter }
            }
            Request::Elect => {
                raft.trigger().elect().await.map_err(fatal)?;
                Reply::Elect
            }
        };
        Ok(Bytes::from(remuda_state::encode(&reply)))
    }

    fn check(&self, envelope: &Envelope) -> Result<(), Failure> {
        if envelope.to != self.inner.node {
            let text = format!("this is node `{}`, not `{}`", self.inner.node, envelope.to);
            return Err(Failure::new(ErrorKind::Conflict, text).code("wrong_node"));
        }
        let state = self.state();
        let ours = state.cluster().map(|cluster| &cluster.id);
        match (&envelope.cluster, ours) {
            (Some(theirs), Some(ours)) if theirs != ours => {
                let text = format!("node `{}` is of cluster {theirs}, not {ours}", envelope.from);
                Err(Failure::new(ErrorKind::Forbidden, text).code("foreign_cluster"))
            }
            _ => Ok(()),
        }
    }

    async fn take_part(&self, part: Part) -> Result<RaftVote, Failure> {
        let theirs = part.vote;
        let received = {
            let mut slot = self.inner.incoming.lock().unwrap_or_else(PoisonError::into_inner);
            incoming::take(&mut slot, part)?
        };
        let Some(received) = received else {
            let ours = self.inner.raft.with_raft_state(|state| *state.vote_ref()).await;
            let ours = ours.map_err(fatal)?;
            // Votes of two candidates of one term cannot be compared; the transfer then goes on.
            return Ok(if ours > theirs { ours } else { theirs });
        };
        if received.state.level() > self.inner.release.protocol {
            return Err(Failure::invalid("the snapshot is of a newer version of remuda")
                .code("version_too_old"));
        }
        let snapshot = Snapshot { meta: received.meta, snapshot: Box::new(received.state) };
        let installed = self.inner.raft.install_full_snapshot(received.vote, snapshot).await;
        Ok(installed.map_err(fatal)?.vote)
    }
}

fn fatal(error: impl Borrow<Fatal<u64>>) -> Failure {
    let text = remuda_model::Chain(error.borrow()).to_string();
    Failure::new(ErrorKind::Unavailable, text).code("stopped")
}

fn stopped(error: RaftError<u64>) -> Failure {
    match error {
        RaftError::Fatal(error) => fatal(error),
        RaftError::APIError(never) => match never {},
    }
}
