//! What a worker does with its shares of fan-out runs.
//!
//! Each run has one stream (`remuda/run/1`), opened by the control node that coordinates it, and
//! one actor here. The pure parts decide: [`shares`] divides the slots of the worker among the
//! runs, [`core`] which target begins and what is said, [`window`] how many go on at a time,
//! [`rate`] how many begin a second, [`retry`] which ones begin again, [`batch`] which records go
//! together. The others act: [`pool`] hands out slots, [`lanes`] makes attempts, [`run`] owns the
//! stream.

mod batch;
mod core;
mod lanes;
mod metrics;
mod pool;
mod rate;
mod retry;
mod run;
mod shares;
mod window;

use std::{fmt, num::NonZeroUsize, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use remuda_link::{RecvHalf, Router, SendHalf, Stream, code};
use remuda_model::{
    Epoch, ErrorKind, Failure, NodeId, Role,
    run::{RunSpec, Secrets},
};
use remuda_wire::message::{
    RUN,
    run::{FromWorker, Open, ToWorker},
};
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::{core::Core, metrics::Attempts, pool::Pool, run::Run};
use crate::Contact;

/// How many targets a worker contacts at a time unless told otherwise, over all runs.
pub const DEFAULT_SLOTS: u32 = 2_500;
/// Only control nodes command workers.
const ROLES: &[Role] = &[Role::Control];
/// The longest first message: a spec with a script, a body, and certificates.
const MAX_OPEN: usize = 32 << 20;
/// How long the control node may take to send it.
const READ_LIMIT: Duration = Duration::from_secs(30);
/// How long it may take to get ready for a run.
const OPEN_LIMIT: Duration = Duration::from_secs(30);
/// How long the control node may take to take a refusal.
const REFUSE_LIMIT: Duration = Duration::from_secs(10);

/// Makes what contacts the targets of a run, or says why it cannot: once for each run.
pub type Opener = Arc<
    dyn Fn(RunSpec, Secrets) -> BoxFuture<'static, Result<Arc<dyn Contact>, Failure>> + Send + Sync,
>;

/// Lets a run of this epoch in, or says why not.
pub type Admit = Arc<dyn Fn(Epoch) -> BoxFuture<'static, Result<(), Failure>> + Send + Sync>;

/// What an engine needs to know.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The name of this node, for records.
    pub node: NodeId,
    /// How many targets are contacted at a time, over all runs; [`DEFAULT_SLOTS`] unless a worker
    /// is told otherwise. For a moment up to an eighth more, when a run comes while others hold
    /// them all.
    pub slots: u32,
    /// How many processors one run may use for its attempts.
    pub lanes: NonZeroUsize,
}

impl EngineConfig {
    /// The usual configuration.
    pub fn new(node: NodeId) -> Self {
        let lanes = NonZeroUsize::MIN.saturating_add(1);
        Self { node, slots: DEFAULT_SLOTS, lanes }
    }
}

/// Contacts the targets of all runs in which this worker takes part. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    parts: Arc<Parts>,
}

struct Parts {
    config: EngineConfig,
    pool: Pool,
    attempts: Arc<Attempts>,
    open: Opener,
    admit: Admit,
    stop: CancellationToken,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("config", &self.parts.config).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine without runs. It drops all of them when `stop` is cancelled.
    pub fn new(config: EngineConfig, open: Opener, admit: Admit, stop: CancellationToken) -> Self {
        let pool = Pool::new(config.slots);
        let attempts = Arc::new(Attempts::new());
        Self { parts: Arc::new(Parts { config, pool, attempts, open, admit, stop }) }
    }

    /// Answers control nodes that want this worker to take part in a run.
    ///
    /// # Panics
    ///
    /// When the router knows the protocol already.
    pub fn register(&self, router: &mut Router) {
        let engine = self.clone();
        router.route(RUN, ROLES, move |_link, stream| {
            let parts = Arc::clone(&engine.parts);
            async move { parts.serve(stream).await }
        });
    }
}

impl Parts {
    /// Takes part in one run.
    async fn serve(&self, stream: Stream) {
        let (send, mut recv) = stream.split();
        let opened = tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Some(run::shutting_down())),
            // Whoever waits for it has a deadline itself.
            opened = self.open(&mut recv) => opened,
        };
        match opened {
            Ok(run) => self.take_part(run, send, recv).await,
            Err(Some(failure)) => refuse(failure, send, recv).await,
            // The control node is gone, or sent nothing: there is nobody to tell.
            Err(None) => (),
        }
    }

    async fn take_part(&self, run: Run, mut send: SendHalf, recv: RecvHalf) {
        let welcome = FromWorker::Welcome { slots: self.config.slots };
        if send.send(&welcome).await.is_ok() {
            run.serve(send, recv).await;
        }
    }

    /// Reads the first message and gets ready.
    async fn open(&self, recv: &mut RecvHalf) -> Result<Run, Option<Failure>> {
        let Ok(first) = timeout(READ_LIMIT, recv.recv::<ToWorker>(MAX_OPEN)).await else {
            return Err(None);
        };
        let first = first.map_err(|error| Some(run::unreadable(&error)))?.ok_or(None)?;
        let ToWorker::Open(open) = first else {
            let text = "the first message of a run must open it";
            return Err(Some(Failure::invalid(text).code("protocol_violation")));
        };
        let ready = timeout(OPEN_LIMIT, self.prepare(open)).await;
        ready.unwrap_or_else(|_elapsed| Err(slow())).map_err(Some)
    }

    async fn prepare(&self, open: Open) -> Result<Run, Failure> {
        (self.admit)(open.epoch).await?;
        let spec: RunSpec = json(&open.spec, "spec")?;
        let secrets: Secrets = json(&open.secrets, "secrets")?;
        let member = self.pool.join(spec.priority).ok_or_else(too_many)?;
        let seed = fastrand::u64(..);
        let node = self.config.node.clone();
        let core = Core::new(node, &spec, open.share, open.hold, seed);
        let contact = (self.open)(spec, secrets).await?;
        // Slots of the spare eighth, and the one that is never refused.
        let most = self.config.slots.saturating_add(self.config.slots / 8).saturating_add(1);
        Ok(Run {
            core,
            member,
            contact,
            attempts: Arc::clone(&self.attempts),
            lanes: self.config.lanes.get(),
            most: usize::try_from(most).unwrap_or(usize::MAX),
            stop: self.stop.clone(),
        })
    }
}

async fn refuse(failure: Failure, mut send: SendHalf, mut recv: RecvHalf) {
    tracing::debug!(%failure, "a run was refused");
    recv.stop(code::REFUSED, "no more is wanted");
    let said = timeout(REFUSE_LIMIT, send.send(&FromWorker::Failed(failure))).await;
    if let Ok(Ok(())) = said {
        // The control node may be gone.
        drop(send.finish());
    }
}

fn json<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, Failure> {
    serde_json::from_slice(bytes).map_err(|error| {
        // What stands in secrets must not stand in messages.
        let place = format!("line {}, column {}", error.line(), error.column());
        Failure::invalid(format!("the {what} of the run cannot be read at {place}"))
            .code("bad_run")
            .hint("the control node may be newer than this worker; upgrade the worker")
    })
}

fn too_many() -> Failure {
    Failure::new(ErrorKind::NoCapacity, "this worker takes part in too many runs")
        .code("too_many_runs")
        .hint("wait until other runs have ended")
}

fn slow() -> Failure {
    let text = format!("this worker was not ready for the run within {} s", OPEN_LIMIT.as_secs());
    Failure::new(ErrorKind::TimedOut, text).code("run_not_opened")
}

#[cfg(test)]
mod tests;
