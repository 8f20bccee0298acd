//! The conversation with the owner: status, measurements and events one way, acknowledgements and
//! moves the other.

use std::{sync::Arc, time::Duration};

use remuda_link::{Link, Priority, RecvHalf, SendHalf, StreamError};
use remuda_model::{Epoch, ErrorKind, Failure, LinkUrl, NodeId};
use remuda_runtime::CancellationToken;
use remuda_wire::message::{
    SESSION,
    session::{FromOwner, FromWorker},
};
use tokio::{sync::mpsc, time::Instant};

use crate::agent::Agent;

/// How long the owner may take to welcome.
const WELCOME_LIMIT: Duration = Duration::from_secs(10);
/// How long a farewell may take.
const FAREWELL_LIMIT: Duration = Duration::from_secs(2);
/// Between measurements.
const STATS_EVERY: Duration = Duration::from_secs(10);
/// How soon a changed number of tasks is told; many changes make one message.
const STATS_SOON: Duration = Duration::from_secs(1);
/// Events in one message.
const BATCH: usize = 256;
/// Their bytes, about.
const BATCH_BYTES: usize = 512 << 10;
/// The longest message of an owner, in bytes.
const MAX_MESSAGE: usize = 256 << 10;

/// The owner says that there is another one.
#[derive(Debug)]
pub(crate) struct Moved {
    pub(crate) epoch: Epoch,
    pub(crate) owner: NodeId,
    pub(crate) addresses: Vec<LinkUrl>,
}

/// A conversation that the owner has welcomed.
#[derive(Debug)]
pub(crate) struct Session {
    agent: Arc<Agent>,
    send: SendHalf,
    recv: RecvHalf,
    /// Every event up to this number was sent before, or need not be.
    sent: u64,
}

impl Session {
    /// Opens the conversation.
    pub(crate) async fn open(
        agent: Arc<Agent>,
        link: &Link,
        epoch: Epoch,
    ) -> Result<Self, Failure> {
        let opened = tokio::time::timeout(WELCOME_LIMIT, async {
            agent.gate.admit(epoch).await?;
            let stream = link.open(SESSION, Priority::Events).await;
            let (mut send, mut recv) = stream.map_err(|error| lost(&error))?.split();
            send.send(&hello(&agent, epoch)).await.map_err(|error| lost(&error))?;
            match recv.recv(MAX_MESSAGE).await.map_err(|error| lost(&error))? {
                Some(FromOwner::Welcome { acknowledged }) => {
                    agent.spool.acknowledge(acknowledged);
                    let first = agent.spool.first();
                    // What the owner has is not sent again; what it cannot have is not believed.
                    Ok(Self { send, recv, sent: first - 1, agent: Arc::clone(&agent) })
                }
                _ => Err(Failure::new(ErrorKind::Unavailable, "the owner does not welcome")),
            }
        });
        let late = || Failure::new(ErrorKind::TimedOut, "the owner does not answer");
        opened.await.unwrap_or_else(|_late| Err(late()))
    }

    /// Talks until the owner or the link ends it, or `end` is cancelled.
    pub(crate) async fn run(self, end: CancellationToken, moved: mpsc::Sender<Moved>) {
        let Self { agent, send, recv, sent } = self;
        let mut listening = std::pin::pin!(listen(&agent, recv, moved));
        let said = tokio::select! {
            said = talk(&agent, send, sent, &end) => said,
            () = &mut listening => return,
        };
        match said {
            // Last words are on their way until the owner has ended its side too.
            Ok(()) => drop(tokio::time::timeout(FAREWELL_LIMIT, listening).await),
            Err(error) => tracing::debug!(%error, "cannot talk to the owner any more"),
        }
    }
}

fn lost(error: &(dyn std::error::Error + 'static)) -> Failure {
    let text = format!("no session: {}", remuda_model::Chain(error));
    Failure::new(ErrorKind::Unavailable, text)
}

fn hello(agent: &Agent, epoch: Epoch) -> FromWorker {
    FromWorker::Hello {
        announce: Box::new(agent.announce(Vec::new())),
        epoch,
        status: *agent.tasks.status().borrow(),
        running_tasks: *agent.tasks.running().borrow(),
        next_event: agent.spool.first(),
        last_event: agent.spool.last(),
    }
}

async fn talk(
    agent: &Agent,
    mut send: SendHalf,
    mut sent: u64,
    end: &CancellationToken,
) -> Result<(), StreamError> {
    let mut status = agent.tasks.status();
    let mut labels = agent.labels.watch();
    let mut running = agent.tasks.running();
    let mut durable = agent.spool.durable();
    // They may have changed since the first message was written.
    status.mark_changed();
    labels.mark_changed();
    let mut stats_at = Instant::now();
    loop {
        // Once for each turn: what becomes durable later is for the next one.
        let upto = *durable.borrow_and_update();
        let message = tokio::select! {
            biased;
            () = agent.stop.cancelled() => {
                // The owner also learns it from the end of the link.
                drop(tokio::time::timeout(FAREWELL_LIMIT, send.send(&FromWorker::Goodbye)).await);
                return send.finish();
            }
            () = end.cancelled() => return send.finish(),
            Ok(()) = status.changed() => FromWorker::Status(*status.borrow_and_update()),
            Ok(()) = labels.changed() => FromWorker::Labels(labels.borrow_and_update().clone()),
            Ok(()) = running.changed() => {
                stats_at = stats_at.min(Instant::now() + STATS_SOON);
                continue;
            }
            () = tokio::time::sleep_until(stats_at) => {
                stats_at = Instant::now() + STATS_EVERY;
                let stats = agent.measure().await;
                FromWorker::Stats { stats, running_tasks: *running.borrow_and_update() }
            }
            () = std::future::ready(()), if upto > sent => {
                let events = agent.spool.after(sent, BATCH, BATCH_BYTES);
                let Some(last) = events.last() else {
                    // What was there has been acknowledged meanwhile.
                    sent = upto;
                    continue;
                };
                sent = last.seq;
                FromWorker::Events(events)
            }
            Ok(()) = durable.changed(), if upto <= sent => continue,
        };
        send.send(&message).await?;
    }
}

async fn listen(agent: &Agent, mut recv: RecvHalf, moved: mpsc::Sender<Moved>) {
    loop {
        match recv.recv(MAX_MESSAGE).await {
            Ok(Some(FromOwner::Acknowledge(upto) | FromOwner::Welcome { acknowledged: upto })) => {
                agent.spool.acknowledge(upto);
            }
            Ok(Some(FromOwner::Moved { epoch, owner, addresses })) => {
                // Whoever searches ends only with the agent.
                drop(moved.send(Moved { epoch, owner, addresses }).await);
            }
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(%error, "the session is lost");
                return;
            }
        }
    }
}
