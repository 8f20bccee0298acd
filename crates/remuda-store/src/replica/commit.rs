//! Group commit: commands that wait while an entry is being committed share the next one.
//!
//! The library waits for the disk after each entry, so that entries of one command each would be
//! committed no faster than the disk syncs. Source: "Implementation techniques for main memory
//! database systems" (SIGMOD 1984).

use std::{sync::Arc, time::Duration};

use openraft::error::RaftError;
use remuda_runtime::CancellationToken;
use remuda_state::{Applied, Batch, ClusterState, Command, Gather};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout_at},
};

use super::{Committed, leads};
use crate::{ProposeError, types::Raft};

/// How many commands may wait to be committed.
const MAX_WAITING: usize = 4096;

type Answer = Result<Committed, ProposeError>;

#[derive(Debug)]
struct Waiting {
    command: Command,
    bytes: usize,
    until: Instant,
    answer: oneshot::Sender<Answer>,
}

/// Where commands wait to be committed.
#[derive(Clone, Debug)]
pub(super) struct Queue(mpsc::Sender<Waiting>);

impl Queue {
    /// Commits a command of this many bytes.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the command may be committed or not.
    pub(super) async fn commit(
        &self,
        command: Command,
        bytes: usize,
        deadline: Duration,
    ) -> Answer {
        let until = Instant::now() + deadline;
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { command, bytes, until, answer };
        self.0.try_send(waiting).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ProposeError::Busy,
            mpsc::error::TrySendError::Closed(_) => ProposeError::Stopped,
        })?;
        match timeout_at(until, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(ProposeError::Stopped),
            Err(_elapsed) => Err(ProposeError::NoQuorum),
        }
    }
}

/// Commits what waits, one entry after the other.
pub(super) struct Committer {
    raft: Raft,
    state: watch::Receiver<Arc<ClusterState>>,
    queue: mpsc::Receiver<Waiting>,
    /// The one that could not share the last entry.
    next: Option<Waiting>,
}

impl Committer {
    pub(super) fn new(raft: Raft, state: watch::Receiver<Arc<ClusterState>>) -> (Queue, Self) {
        let (sender, queue) = mpsc::channel(MAX_WAITING);
        (Queue(sender), Self { raft, state, queue, next: None })
    }

    /// Runs until the replica stops. What waits then is dropped, and so answered.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        while let Some(first) = self.first(&stop).await {
            // Nobody waits any more for what has not been begun.
            if first.answer.is_closed() {
                continue;
            }
            let (batch, until, answers) = self.gather(first);
            if let Err(failure) = leads(&self.raft.metrics().borrow()) {
                tell(Err(failure), answers);
                continue;
            }
            let written = tokio::select! {
                () = stop.cancelled() => return,
                written = timeout_at(until, self.raft.client_write(batch)) => written,
            };
            let written = match written {
                Ok(Ok(done)) => Ok((done.log_id.index, done.data)),
                // The lead was lost after the entry had been taken: a follower may still have it.
                Ok(Err(RaftError::APIError(_))) | Err(_) => Err(ProposeError::NoQuorum),
                Ok(Err(RaftError::Fatal(_))) => Err(ProposeError::Stopped),
            };
            tell(written, answers);
        }
    }

    async fn first(&mut self, stop: &CancellationToken) -> Option<Waiting> {
        if let Some(waiting) = self.next.take() {
            return Some(waiting);
        }
        tokio::select! {
            () = stop.cancelled() => None,
            waiting = self.queue.recv() => waiting,
        }
    }

    /// All that waits and may share the entry of the first one.
    fn gather(&mut self, first: Waiting) -> (Batch, Instant, Vec<oneshot::Sender<Answer>>) {
        let Waiting { command, bytes, mut until, answer } = first;
        let mut gather = Gather::new(command, bytes);
        let mut answers = vec![answer];
        let shares = self.state.borrow().level() >= Batch::LEVEL;
        while shares
            && let Ok(Waiting { command, bytes, until: end, answer }) = self.queue.try_recv()
        {
            if answer.is_closed() {
                continue;
            }
            match gather.add(command, bytes) {
                None => {
                    answers.push(answer);
                    until = until.max(end);
                }
                Some(command) => {
                    self.next = Some(Waiting { command, bytes, until: end, answer });
                    break;
                }
            }
        }
        (gather.finish(), until, answers)
    }
}

/// Tells everybody what came of their command.
fn tell(written: Result<(u64, Vec<Applied>), ProposeError>, answers: Vec<oneshot::Sender<Answer>>) {
    let (index, applied, failure) = match written {
        Ok((index, applied)) => (index, applied, ProposeError::NoQuorum),
        Err(failure) => (0, Vec::new(), failure),
    };
    let mut applied = applied.into_iter();
    for answer in answers {
        let applied = applied.next().ok_or_else(|| failure.clone());
        // Who has gone away does not want to know.
        let _gone = answer.send(applied.map(|applied| Committed { index, applied }));
    }
}
