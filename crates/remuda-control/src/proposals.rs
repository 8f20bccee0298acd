//! Changes and linearizable reads by way of the leader, wherever it is.

use std::time::Duration;

use remuda_link::Priority;
use remuda_model::{ErrorKind, Failure, NodeId};
use remuda_runtime::Backoff;
use remuda_state::{Applied, Change, Command, Outcome};
use remuda_wire::message::{CONTROL, control};
use tokio::time::Instant;

use crate::{Control, control::seed};

/// How long one attempt at the leader may take before the leader is looked for again.
const ATTEMPT: Duration = Duration::from_secs(3);
/// How long a linearizable read may take.
pub(crate) const READ: Duration = Duration::from_secs(5);
/// How long a change that a user asked for may take.
pub(crate) const CHANGE: Duration = Duration::from_secs(10);

/// Code of the failure of a call that the other control node is too old for.
pub(crate) const TOO_OLD: &str = "version_too_old";
/// Code of the failure that a control node gives whose replica has stopped.
const REPLICA_STOPPED: &str = "replica_stopped";

/// Pauses between attempts: a new leader is found within two to three seconds.
fn backoff() -> Backoff {
    Backoff::new(Duration::from_millis(50), Duration::from_millis(800), seed())
}

fn random_id() -> [u8; 16] {
    let mut id = [0; 16];
    getrandom::fill(&mut id).expect("the operating system gives randomness");
    id
}

impl Control {
    /// Commits a change and waits until this node has applied it.
    ///
    /// It is tried again under the same command id until the deadline, so it is made at most once.
    pub(crate) async fn propose(
        &self,
        change: Change,
        deadline: Duration,
    ) -> Result<Outcome, Failure> {
        let end = Instant::now() + deadline;
        let command = Command::with_id(random_id(), change);
        // What could not be read again would stop every replica for good.
        let written = remuda_state::encode(&command);
        if remuda_state::decode::<Command>(&written).ok().as_ref() != Some(&command) {
            return Err(Failure::invalid("the change cannot be written down").code("unwritable"));
        }
        let mut backoff = backoff();
        let mut unknown = false;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let failure = match self.propose_once(&command, left.min(ATTEMPT)).await {
                Ok((index, applied)) => {
                    let left = end.saturating_duration_since(Instant::now());
                    // It is committed; a replica that is behind only sees it later.
                    let _ = self.shared.replica.wait_applied(index, left).await;
                    return applied.into_result();
                }
                Err(failure) => failure,
            };
            if !may_succeed_later(&failure) {
                return Err(failure);
            }
            unknown |= !failure.kind.nothing_was_done();
            if failure.code == REPLICA_STOPPED {
                return Err(if unknown { outcome_unknown() } else { failure });
            }
            if !pause(&mut backoff, end).await {
                return Err(if unknown { outcome_unknown() } else { no_leader(&failure) });
            }
        }
    }

    async fn propose_once(
        &self,
        command: &Command,
        limit: Duration,
    ) -> Result<(u64, Applied), Failure> {
        let Some(leader) = self.leader_elsewhere()? else {
            let committed = self.shared.replica.propose(command.clone(), limit).await?;
            return Ok((committed.index, committed.applied));
        };
        let call = control::Call::Propose(remuda_state::encode(command));
        match self.call_control(&leader, &call, limit).await? {
            control::Done::Committed { index, outcome } => {
                let applied = remuda_state::decode(&outcome)
                    .map_err(|error| Failure::new(ErrorKind::OutcomeUnknown, error.to_string()))?;
                Ok((index, applied))
            }
            _ => Err(unexpected(&leader)),
        }
    }

    /// Waits until this node's state contains everything that was committed before the call.
    pub(crate) async fn catch_up(&self, deadline: Duration) -> Result<(), Failure> {
        let end = Instant::now() + deadline;
        let mut backoff = backoff();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.read_index_once(left.min(ATTEMPT)).await {
                Ok(index) => {
                    let left = end.saturating_duration_since(Instant::now());
                    self.shared.replica.wait_applied(index, left).await?;
                    return Ok(());
                }
                Err(failure) if failure.code == REPLICA_STOPPED => return Err(failure),
                Err(failure) => {
                    if !pause(&mut backoff, end).await {
                        return Err(no_leader(&failure));
                    }
                }
            }
        }
    }

    async fn read_index_once(&self, limit: Duration) -> Result<u64, Failure> {
        let Some(leader) = self.leader_elsewhere()? else {
            return Ok(self.shared.replica.read_index(limit).await?);
        };
        match self.call_control(&leader, &control::Call::ReadIndex, limit).await? {
            control::Done::ReadIndex(index) => Ok(index),
            _ => Err(unexpected(&leader)),
        }
    }

    /// The leader, `None` when it is this node.
    pub(crate) fn leader_elsewhere(&self) -> Result<Option<NodeId>, Failure> {
        let leadership = self.shared.replica.leadership();
        let leadership = leadership.borrow();
        if let Some(fault) = &leadership.fault {
            return Err(replica_stopped(fault));
        }
        match &leadership.leader {
            Some(leader) if *leader == self.shared.me => Ok(None),
            Some(leader) => Ok(Some(leader.clone())),
            None if leadership.is_leader => Ok(None),
            None => Err(Failure::new(ErrorKind::Unavailable, "no leader is known")
                .code("no_leader")
                .hint("a majority of the control nodes must run; see `remuda cluster status`")),
        }
    }

    /// Calls another control node.
    pub(crate) async fn call_control(
        &self,
        control: &NodeId,
        call: &control::Call,
        limit: Duration,
    ) -> Result<control::Done, Failure> {
        let Some(link) = self.shared.peers.link_to(control) else {
            let message = format!("no link to control node `{control}`");
            return Err(Failure::new(ErrorKind::Unavailable, message)
                .code("control_unreachable")
                .hint("it may be down, or be restarting; see `remuda cluster status`"));
        };
        if link.peer().protocol < call.since() {
            let message = format!("control node `{control}` is too old for this call");
            return Err(Failure::new(ErrorKind::Unavailable, message)
                .code(TOO_OLD)
                .hint("finish the upgrade; see `remuda cluster status`"));
        }
        let body = remuda_wire::encode(call);
        let what = || format!("control node `{control}`");
        match link.call(CONTROL, Priority::Calls, body, limit).await {
            Ok(reply) => remuda_wire::decode::<control::Reply>(&reply).unwrap_or_else(|error| {
                let message = format!("{} gave an answer that cannot be read: {error}", what());
                Err(Failure::new(ErrorKind::OutcomeUnknown, message).code("malformed_reply"))
            }),
            Err(error) => Err(error.into_failure(&what())),
        }
    }
}

/// Whether the state, or what every replica does, stands against the change: proposing it again
/// would not help.
pub(crate) fn is_refused(failure: &Failure) -> bool {
    !may_succeed_later(failure)
}

/// Waits before the next attempt; `false` when the deadline comes first.
async fn pause(backoff: &mut Backoff, end: Instant) -> bool {
    // Full jitter may say zero; the leader is not asked in a busy loop.
    let delay = backoff.next_delay().max(Duration::from_millis(10));
    if Instant::now() + delay >= end {
        return false;
    }
    tokio::time::sleep(delay).await;
    true
}

/// Whether the same command may be taken at another time or by another leader.
fn may_succeed_later(failure: &Failure) -> bool {
    matches!(
        failure.kind,
        ErrorKind::Unavailable
            | ErrorKind::NotConnected
            | ErrorKind::OutcomeUnknown
            | ErrorKind::TimedOut
    )
}

fn outcome_unknown() -> Failure {
    Failure::new(ErrorKind::OutcomeUnknown, "the change was sent and nobody confirmed it in time")
        .hint("look whether it was made before you repeat it; see `remuda cluster status`")
}

fn no_leader(cause: &Failure) -> Failure {
    let message = format!("no leader could be reached in time: {cause}");
    Failure::new(ErrorKind::Unavailable, message)
        .code("no_leader")
        .hint("a majority of the control nodes must run; see `remuda cluster status`")
}

/// Nothing but a restart helps.
fn replica_stopped(fault: &str) -> Failure {
    let message = format!("the replica of this control node has stopped: {fault}");
    Failure::new(ErrorKind::Unavailable, message)
        .code(REPLICA_STOPPED)
        .hint("look at the disk of its data directory, then restart it; others go on without it")
}

fn unexpected(control: &NodeId) -> Failure {
    let message = format!("control node `{control}` gave another answer than was asked for");
    Failure::new(ErrorKind::Internal, message)
}
