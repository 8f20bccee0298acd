//! The exchange of join secrets and of the CA while the cluster works.
//!
//! Both live in the replicated state once they were changed for the first time. A new join secret
//! counts at once. A new CA takes three steps, each of which waits until all nodes have followed,
//! but no longer than the grace:
//!
//! | step | CAs that count | who signs | a node has followed when it |
//! |---|---|---|---|
//! | announced | old and new | old | believes both |
//! | issuing | old and new | new | shows a certificate of the new one |
//! | settled | new | new | believes the new one only |
//!
//! Every owner tells its workers ([`push`]), which include the worker parts of control nodes; the
//! leader takes the steps. Links that rest on the old CA are replaced by new ones before they are
//! closed, a minute after the last step.

mod push;

use std::time::Duration;

use remuda_link::{AuthorityError, KeyId, pin_of};
use remuda_model::{Chain, ErrorKind, Failure, NodeId, Revision, Role};
use remuda_runtime::wall_ms;
use remuda_state::{AuthorityRecord, AuthorityStep, Change, NewAuthority};
use tokio::time::Instant;

use crate::{
    Consistency, Control,
    authority::{self, Keys},
    proposals::CHANGE,
};

/// How often it is looked what is to be done.
const LOOK: Duration = Duration::from_millis(500);
/// How long links of the former CA stay once it does not count any more: calls on them may take
/// that long to end, see the worker's exchange of links.
const OUTLIVE: Duration = Duration::from_secs(70);
/// Names of nodes that lag behind, in a view.
const MAX_WAITING: usize = 100;

/// How far the authority is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityView {
    /// How far a rotation has come.
    pub step: AuthorityStep,
    /// The CAs that count: the SHA-256 of the public key, and whether it signs.
    pub cas: Vec<([u8; 32], bool)>,
    /// When the next step is taken though nodes lag behind, in milliseconds since 1970.
    pub until_ms: Option<u64>,
    /// Nodes that have not done what the step asks of them: the first hundred.
    pub waiting: Vec<NodeId>,
    /// How many such nodes there are.
    pub n_waiting: usize,
}

impl Control {
    /// Makes the join token of a role worthless and returns another one.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) for clients, which do not join;
    /// [`Conflict`](ErrorKind::Conflict) when the authority was changed at the same moment, or when
    /// a control node of an older version may be there; when the change cannot be committed.
    pub async fn rotate_join_token(&self, role: Role) -> Result<String, Failure> {
        let (record, keys) = self.present().await?;
        let present = plan(record.as_ref(), &keys);
        let signs = keys.signs.with_new_secret(role);
        let signs = signs.map_err(|error| Failure::invalid(error.to_string()))?;
        let token =
            signs.join_token(role).ok_or_else(|| Failure::invalid("clients do not join"))?;
        let new = NewAuthority { secrets: Keys { signs, next: keys.next }.to_secrets(), ..present };
        self.propose(Change::SetAuthority(Box::new(new)), CHANGE).await?;
        Ok(token.to_string())
    }

    /// Begins to replace the CA; the rest happens by itself. Each step waits so long at most for
    /// nodes that lag behind; those that are away for longer have to join anew.
    ///
    /// # Errors
    ///
    /// [`Conflict`](ErrorKind::Conflict) while a rotation is under way, or when a control node of an
    /// older version may be there; when the change cannot be committed.
    pub async fn rotate_ca(&self, grace: Duration) -> Result<(), Failure> {
        let (record, keys) = self.present().await?;
        if record.as_ref().is_some_and(|record| record.step != AuthorityStep::Settled) {
            return Err(Failure::new(ErrorKind::Conflict, "the CA is being replaced already")
                .code("rotation_running")
                .hint("`remuda cluster ca` shows how far it is"));
        }
        let next = keys.signs.successor().map_err(|error| Failure::internal(&error))?;
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        let new = NewAuthority {
            step: AuthorityStep::Announced,
            trusted: vec![keys.signs.ca_der().to_vec(), next.ca_der().to_vec()],
            until_ms: wall_ms().saturating_add(grace_ms),
            grace_ms,
            secrets: Keys { signs: keys.signs.clone(), next: Some(next) }.to_secrets(),
            ..plan(record.as_ref(), &keys)
        };
        self.propose(Change::SetAuthority(Box::new(new)), CHANGE).await.map(drop)
    }

    /// How far the authority is.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) without a leader, or when this control node has no
    /// authority.
    pub async fn authority(&self, consistency: Consistency) -> Result<AuthorityView, Failure> {
        self.freshen(consistency).await?;
        let state = self.shared.replica.state();
        let signs = self.shared.authority()?.pin();
        let Some(record) = state.authority() else {
            return Ok(AuthorityView {
                step: AuthorityStep::Settled,
                cas: vec![(signs, true)],
                until_ms: None,
                waiting: Vec::new(),
                n_waiting: 0,
            });
        };
        let pins = record.trusted.iter().filter_map(|ca| pin_of(ca).ok());
        let waiting = || state.nodes().filter(|node| !record.is_followed_by(&node.id));
        Ok(AuthorityView {
            step: record.step,
            cas: pins.map(|pin| (pin, pin == signs)).collect(),
            until_ms: (record.step != AuthorityStep::Settled).then_some(record.until_ms),
            waiting: waiting().take(MAX_WAITING).map(|node| node.id.clone()).collect(),
            n_waiting: waiting().count(),
        })
    }

    /// The present authority, as the leader confirms it.
    async fn present(&self) -> Result<(Option<AuthorityRecord>, Keys), Failure> {
        self.freshen(Consistency::Linearizable).await?;
        let record = self.shared.replica.state().authority().cloned();
        let keys = match &record {
            Some(record) => Keys::of(record)?,
            None => Keys { signs: self.shared.authority()?, next: None },
        };
        Ok((record, keys))
    }

    /// Keeps this node, its workers and, on the leader, the rotation going, for ever.
    pub(crate) async fn keep_authority(self) {
        let stop = self.shared.supervisor.token();
        let mut taken = Revision(0);
        let mut close_at = None;
        loop {
            let record = self.shared.replica.state().authority().cloned();
            if let Some(record) = record {
                if record.revision != taken && self.take_up(&record).await {
                    taken = record.revision;
                    close_at = (record.step == AuthorityStep::Settled)
                        .then(|| (Instant::now() + OUTLIVE, key_ids(&record)));
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.push(&record) => (),
                }
                if self.shared.replica.leadership().borrow().is_leader {
                    self.advance().await;
                }
            }
            if let Some((_, trusted)) = close_at.take_if(|(at, _)| Instant::now() >= *at) {
                self.shared.links.close_outdated(&trusted);
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => (),
            }
        }
    }

    /// Uses what the state says, and keeps it for the next start.
    async fn take_up(&self, record: &AuthorityRecord) -> bool {
        let keys = match Keys::of(record) {
            Ok(keys) => keys,
            Err(failure) => {
                tracing::error!(%failure, "the cluster's authority cannot be read");
                return false;
            }
        };
        let (dir, signs) = (self.shared.data_dir.clone(), keys.signs.clone());
        let kept = tokio::task::spawn_blocking(move || authority::save(&dir, &signs)).await;
        if let Ok(Err(error)) = &kept {
            // The state has it too.
            tracing::error!(error = %Chain(error), "the cluster's authority cannot be kept");
        }
        self.shared.set_authority(keys.signs);
        self.shared.peers.trust(key_ids(record));
        tracing::info!(step = ?record.step, revision = %record.revision, "the authority has changed");
        true
    }

    /// Takes the next step of a rotation when it is time.
    async fn advance(&self) {
        let state = self.shared.replica.state();
        let Some(record) = state.authority().filter(|now| now.step != AuthorityStep::Settled)
        else {
            return;
        };
        let is_late = wall_ms() >= record.until_ms;
        let lags = state.nodes().find(|node| !record.is_followed_by(&node.id));
        if let Some(node) = lags.filter(|_| is_late) {
            tracing::warn!(node = %node.id, step = ?record.step, "a node has not followed in time");
        } else if lags.is_some() {
            return;
        }
        let new = match Keys::of(record).and_then(|keys| next_step(record, &keys)) {
            Ok(new) => new,
            Err(failure) => {
                tracing::error!(%failure, "the rotation of the CA is stuck");
                return;
            }
        };
        if let Err(failure) = self.propose(Change::SetAuthority(Box::new(new)), CHANGE).await {
            tracing::info!(%failure, "the next step of the rotation is not taken yet");
        }
    }
}

/// The names that the CAs that count have in certificates.
fn key_ids(record: &AuthorityRecord) -> Vec<KeyId> {
    record.trusted.iter().filter_map(|ca| KeyId::of_ca(ca).ok()).collect()
}

/// The authority as it is, to be changed.
fn plan(record: Option<&AuthorityRecord>, keys: &Keys) -> NewAuthority {
    match record {
        Some(record) => NewAuthority {
            replaces: record.revision,
            step: record.step,
            trusted: record.trusted.clone(),
            secrets: record.secrets.clone(),
            until_ms: record.until_ms,
            grace_ms: record.grace_ms,
        },
        None => NewAuthority {
            replaces: Revision(0),
            step: AuthorityStep::Settled,
            trusted: vec![keys.signs.ca_der().to_vec()],
            secrets: keys.to_secrets(),
            until_ms: 0,
            grace_ms: 0,
        },
    }
}

/// What follows a step that all nodes have followed, or that has taken long enough.
fn next_step(record: &AuthorityRecord, keys: &Keys) -> Result<NewAuthority, Failure> {
    let present = plan(Some(record), keys);
    let internal = |error: AuthorityError| Failure::internal(&error);
    match (record.step, &keys.next) {
        (AuthorityStep::Announced, Some(next)) => {
            // Join secrets may have been exchanged meanwhile.
            let signs = next.with_secrets_of(&keys.signs).map_err(internal)?;
            Ok(NewAuthority {
                step: AuthorityStep::Issuing,
                secrets: Keys { signs, next: None }.to_secrets(),
                until_ms: wall_ms().saturating_add(record.grace_ms),
                ..present
            })
        }
        (AuthorityStep::Issuing, _) => Ok(NewAuthority {
            step: AuthorityStep::Settled,
            trusted: vec![keys.signs.ca_der().to_vec()],
            until_ms: 0,
            ..present
        }),
        (step, _) => Err(Failure::failed(format!("no step follows {step:?}"))),
    }
}

#[cfg(test)]
mod tests;
