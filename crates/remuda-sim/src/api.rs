//! Changes and linearizable reads by way of the leader, as `remuda-control` makes them.

use std::{rc::Rc, time::Duration};

use remuda_model::{ErrorKind, Failure, NodeId};
use remuda_runtime::Backoff;
use remuda_state::{Applied, Change, Command};
use tokio::time::{Instant, sleep};

use crate::{
    control::Control,
    mutant::Mutant,
    world::{mutated, trace},
};

const ATTEMPT: Duration = Duration::from_secs(3);

fn backoff() -> Backoff {
    Backoff::new(Duration::from_millis(50), Duration::from_millis(800), fastrand::u64(..))
}

fn random_id() -> [u8; 16] {
    let mut id = [0; 16];
    fastrand::fill(&mut id);
    id
}

impl Control {
    /// Commits a change under one id, trying again until the deadline.
    pub(crate) async fn propose(
        self: &Rc<Self>,
        change: Change,
        deadline: Duration,
    ) -> Result<(u64, Applied), Failure> {
        let end = Instant::now() + deadline;
        let mut command = Command::with_id(random_id(), change);
        let mut backoff = backoff();
        let mut unknown = false;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let failure = match self.propose_once(&command, left.min(ATTEMPT)).await {
                Ok((index, applied)) => {
                    let left = end.saturating_duration_since(Instant::now());
                    // It is committed; a replica that is behind only sees it later.
                    let _ = self.replica.wait_applied(index, left).await;
                    return Ok((index, applied));
                }
                Err(failure) => failure,
            };
            if !may_succeed_later(&failure) {
                return Err(failure);
            }
            unknown |= !failure.kind.nothing_was_done();
            if !pause(&mut backoff, end).await {
                let kind = if unknown { ErrorKind::OutcomeUnknown } else { ErrorKind::Unavailable };
                return Err(Failure::new(kind, failure.message));
            }
            if mutated(Mutant::RetryUnderNewId) {
                command.id = Some(random_id());
            }
        }
    }

    async fn propose_once(
        self: &Rc<Self>,
        command: &Command,
        limit: Duration,
    ) -> Result<(u64, Applied), Failure> {
        let command = command.clone();
        let Some(leader) = self.leader_elsewhere()? else {
            let committed = self.replica.propose(command, limit).await?;
            return Ok((committed.index, committed.applied));
        };
        self.ask(&leader, limit, move |control| async move {
            let committed = control.replica.propose(command, ATTEMPT).await?;
            Ok((committed.index, committed.applied))
        })
        .await
    }

    /// Waits until this node's state contains everything that was committed before the call.
    pub(crate) async fn catch_up(self: &Rc<Self>, deadline: Duration) -> Result<(), Failure> {
        let end = Instant::now() + deadline;
        let mut backoff = backoff();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.read_index_once(left.min(ATTEMPT)).await {
                Ok(index) => {
                    let left = end.saturating_duration_since(Instant::now());
                    self.replica.wait_applied(index, left).await?;
                    return Ok(());
                }
                Err(failure) => {
                    if !pause(&mut backoff, end).await {
                        return Err(Failure::new(ErrorKind::Unavailable, failure.message));
                    }
                }
            }
        }
    }

    async fn read_index_once(self: &Rc<Self>, limit: Duration) -> Result<u64, Failure> {
        let Some(leader) = self.leader_elsewhere()? else {
            if mutated(Mutant::ReadWithoutMajority) {
                return Ok(self.replica.state().applied());
            }
            return Ok(self.replica.read_index(limit).await?);
        };
        self.ask(&leader, limit, |control| async move {
            if mutated(Mutant::ReadWithoutMajority) {
                return Ok(control.replica.state().applied());
            }
            Ok(control.replica.read_index(ATTEMPT).await?)
        })
        .await
    }

    /// The leader, `None` when it is this node.
    pub(crate) fn leader_elsewhere(&self) -> Result<Option<NodeId>, Failure> {
        let leadership = self.replica.leadership();
        let leadership = leadership.borrow();
        match &leadership.leader {
            Some(leader) if *leader == self.me => Ok(None),
            Some(leader) => Ok(Some(leader.clone())),
            None if leadership.is_leader => Ok(None),
            None => Err(Failure::new(ErrorKind::Unavailable, "no leader is known")),
        }
    }

    /// Takes note of something that the node says about itself.
    pub(crate) fn note(&self, text: impl FnOnce() -> String) {
        trace(|| format!("{}: {}", self.me, text()));
    }
}

async fn pause(backoff: &mut Backoff, end: Instant) -> bool {
    let delay = backoff.next_delay().max(Duration::from_millis(10));
    if Instant::now() + delay >= end {
        return false;
    }
    sleep(delay).await;
    true
}

fn may_succeed_later(failure: &Failure) -> bool {
    matches!(
        failure.kind,
        ErrorKind::Unavailable
            | ErrorKind::NotConnected
            | ErrorKind::OutcomeUnknown
            | ErrorKind::TimedOut
    )
}
