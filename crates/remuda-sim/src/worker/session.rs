//! The conversation with the owner, as `remuda-worker` leads it.

use std::{rc::Rc, time::Duration};

use remuda_model::{Epoch, ErrorKind, Failure, NodeStatus};
use remuda_wire::message::session::{FromOwner, FromWorker};
use remuda_worker::sim::OwnerInput as Input;
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use super::{Worker, owner::Message};
use crate::{
    attach,
    way::{End, Way},
    world::world,
};

const WELCOME_LIMIT: Duration = Duration::from_secs(10);
const FAREWELL_LIMIT: Duration = Duration::from_secs(2);

/// A conversation that the owner has welcomed.
pub(super) struct Session {
    way: Rc<Way>,
    send: mpsc::UnboundedSender<FromWorker>,
    recv: mpsc::UnboundedReceiver<FromOwner>,
    sent: u64,
}

/// Opens the conversation.
pub(super) async fn open(
    worker: &Rc<Worker>,
    way: &Rc<Way>,
    epoch: Epoch,
) -> Result<Session, Failure> {
    let opened = timeout(WELCOME_LIMIT, async {
        worker.admit(epoch).await?;
        world().ledger.borrow_mut().follows(&worker.me, epoch);
        let (send, to_owner) = way.stream(End::Worker);
        let (from_owner, mut recv) = way.stream(End::Control);
        let hello = FromWorker::Hello {
            announce: Box::new(worker.announce(Vec::new())),
            epoch,
            status: NodeStatus::Ready,
            running_tasks: 0,
            next_event: worker.spool.first(),
            last_event: worker.spool.last(),
        };
        drop(send.send(hello));
        attach::serve_session(worker, way, to_owner, from_owner);
        match recv.recv().await {
            Some(FromOwner::Welcome { acknowledged }) => {
                worker.spool.acknowledge(acknowledged);
                let sent = worker.spool.first() - 1;
                Ok(Session { way: Rc::clone(way), send, recv, sent })
            }
            _ => Err(Failure::new(ErrorKind::Unavailable, "the owner does not welcome")),
        }
    });
    let late = || Failure::new(ErrorKind::TimedOut, "the owner does not answer");
    opened.await.unwrap_or_else(|_late| Err(late()))
}

impl Session {
    /// Talks until the owner or the link ends it, or the search wants it to end.
    pub(super) async fn run(
        self,
        worker: &Rc<Worker>,
        ends: watch::Receiver<bool>,
        session: u64,
        messages: &mpsc::UnboundedSender<Message>,
    ) {
        let Self { way, send, recv, sent } = self;
        let mut listening = std::pin::pin!(listen(worker, recv, session, messages));
        tokio::select! {
            biased;
            () = way.gone(End::Worker) => return,
            () = &mut listening => return,
            () = talk(worker, send, sent, ends) => (),
        }
        drop(timeout(FAREWELL_LIMIT, listening).await);
    }
}

/// Returns when the session is to end; with it ends this side's stream.
async fn talk(
    worker: &Rc<Worker>,
    send: mpsc::UnboundedSender<FromWorker>,
    mut sent: u64,
    mut ends: watch::Receiver<bool>,
) {
    let mut durable = worker.spool.durable();
    let mut labels = worker.labels.subscribe();
    labels.mark_changed();
    loop {
        let upto = *durable.borrow_and_update();
        let message = tokio::select! {
            biased;
            _ = ends.changed() => return,
            Ok(()) = labels.changed() => FromWorker::Labels(labels.borrow_and_update().clone()),
            () = std::future::ready(()), if upto > sent => {
                let events = worker.spool.after(sent);
                let Some(last) = events.last() else {
                    sent = upto;
                    continue;
                };
                sent = last.seq;
                FromWorker::Events(events)
            }
            Ok(()) = durable.changed(), if upto <= sent => continue,
        };
        if send.send(message).is_err() {
            return;
        }
    }
}

async fn listen(
    worker: &Rc<Worker>,
    mut recv: mpsc::UnboundedReceiver<FromOwner>,
    session: u64,
    messages: &mpsc::UnboundedSender<Message>,
) {
    while let Some(said) = recv.recv().await {
        match said {
            FromOwner::Acknowledge(upto) | FromOwner::Welcome { acknowledged: upto } => {
                worker.spool.acknowledge(upto);
            }
            FromOwner::Moved { epoch, owner, addresses } => {
                let moved = Input::Moved { session, epoch, owner, addresses };
                drop(messages.send(Message::Input(moved)));
            }
        }
    }
}
