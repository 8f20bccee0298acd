//! Where attempts are made: a few tasks for each run, each with many attempts.
//!
//! One task with many futures costs less than many tasks; a few of them let one run use more than
//! one processor.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use remuda_model::run::{Outcome, Record, Trouble, TroubleKind};
use remuda_runtime::wall_ms;
use remuda_wire::message::run::Given;
use tokio::{sync::mpsc, task::JoinSet, time::Instant};

use super::{core::Target, pool::Slot};
use crate::{Again, Attempt, Contact};

/// How many jobs a lane takes over at a time.
const TURN: usize = 64;
/// How long it may take to drop what goes on.
const END_LIMIT: Duration = Duration::from_secs(5);

/// A target, and the slot that its attempt uses.
type Job = (Target, Slot);

/// An attempt that has ended.
pub(super) type Ended = (Target, Attempt);

/// The tasks of a run. Dropping them drops all attempts that go on.
#[derive(Debug)]
pub(super) struct Lanes {
    jobs: Vec<mpsc::Sender<Job>>,
    next: usize,
    ended: mpsc::Receiver<Ended>,
    tasks: JoinSet<()>,
}

/// The lanes have ended, which only a defect does.
#[derive(Debug, thiserror::Error)]
#[error("the tasks of the run have ended")]
pub(super) struct LanesEnded;

impl Lanes {
    /// So many lanes; at most so many attempts go on at a time.
    pub(super) fn start(contact: &Arc<dyn Contact>, count: usize, most: usize) -> Self {
        let (sender, ended) = mpsc::channel(most.max(1));
        let mut tasks = JoinSet::new();
        let jobs = (0..count.max(1)).map(|_| {
            // Never full, as each job needs one of `most` slots.
            let (jobs, receiver) = mpsc::channel(most.max(1));
            tasks.spawn(lane(Arc::clone(contact), receiver, sender.clone()));
            jobs
        });
        let jobs = jobs.collect();
        Self { jobs, next: 0, ended, tasks }
    }

    /// Begins an attempt.
    pub(super) fn begin(&mut self, target: Target, slot: Slot) -> Result<(), LanesEnded> {
        self.next = (self.next + 1) % self.jobs.len();
        self.jobs[self.next].try_send((target, slot)).map_err(|_full_or_closed| LanesEnded)
    }

    /// Waits for attempts that have ended.
    ///
    /// # Cancel safety
    ///
    /// None is lost when the future is dropped.
    pub(super) async fn ended(&mut self, into: &mut Vec<Ended>) -> Result<(), LanesEnded> {
        const AT_ONCE: usize = 256;
        let came = self.ended.recv_many(into, AT_ONCE).await;
        if came == 0 { Err(LanesEnded) } else { Ok(()) }
    }

    /// Drops all attempts and waits until they are dropped.
    pub(super) async fn end(mut self) {
        if tokio::time::timeout(END_LIMIT, self.tasks.shutdown()).await.is_err() {
            tracing::error!("attempts of a run block their tasks");
        }
    }
}

async fn lane(
    contact: Arc<dyn Contact>,
    mut jobs: mpsc::Receiver<Job>,
    ended: mpsc::Sender<Ended>,
) {
    let mut going_on = FuturesUnordered::new();
    let mut taken = Vec::with_capacity(TURN);
    loop {
        tokio::select! {
            biased;
            Some(end) = going_on.next(), if !going_on.is_empty() => {
                if ended.send(end).await.is_err() {
                    return;
                }
            }
            count = jobs.recv_many(&mut taken, TURN) => {
                if count == 0 {
                    return;
                }
                going_on.extend(taken.drain(..).map(|job| attempt(&*contact, job)));
            }
        }
    }
}

/// Makes one attempt, whose panic is its own.
async fn attempt(contact: &dyn Contact, (target, slot): Job) -> Ended {
    let (began_ms, began) = (wall_ms(), Instant::now());
    // What the contact has left behind broken is dropped with it.
    let made = AssertUnwindSafe(async { contact.attempt(&target.given).await });
    let made = made.catch_unwind().await.unwrap_or_else(|panic| {
        let text = text(panic.as_ref());
        tracing::error!(host = target.given.host, panic = text, "an attempt panicked");
        panicked(&target.given, text, began_ms, began.elapsed())
    });
    drop(slot);
    (target, made)
}

fn panicked(given: &Given, text: &str, started_ms: u64, took: Duration) -> Attempt {
    let message = format!("a defect of the worker: its code panicked: {text}");
    let trouble = Trouble::new(TroubleKind::Internal, message);
    let record = Record {
        started_ms,
        duration_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        ..Record::without_answer(given.index, Outcome::Failed, trouble)
    };
    Attempt { record, again: Again::No }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let said = panic.downcast_ref::<&str>().copied();
    said.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
