//! Runs one proxy: its session, its timer, its proposals.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use remuda_link::{RecvHalf, SendHalf, Stream, code};
use remuda_model::{Epoch, Event, EventBody, NodeId};
use remuda_runtime::{CancellationToken, wall_ms};
use remuda_state::Change;
use remuda_wire::message::session::{FromOwner, FromWorker};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

use super::{
    Place, Proxy, Route,
    core::{Core, Effect, Facts, Hello, Input, Proposal},
    dispatch::{self, Batch, Seen, WAITING_BATCHES},
    pace::Pace,
    route::Path,
};
use crate::{
    Control,
    events::{NOT_HERE, said_by_owner},
    proposals::is_refused,
};

/// The longest message of a worker in its session.
const MAX_MESSAGE: usize = 2 << 20;
/// How long a message to the worker may wait for credit before the session counts as lost.
const SEND: Duration = Duration::from_secs(10);
/// How long a moved worker may take to leave.
const LINGER: Duration = Duration::from_mins(1);
/// How long a record may take to be committed before the worker's next words bring it again.
const PROPOSAL: Duration = Duration::from_secs(30);

/// A session that a worker asks for.
#[derive(Debug)]
pub(crate) struct Session {
    pub hello: Hello,
    pub path: Path,
    pub stream: Stream,
}

struct Open {
    send: SendHalf,
    recv: RecvHalf,
    path: Path,
}

pub(super) struct Actor {
    control: Control,
    node: NodeId,
    proxy: Arc<Proxy>,
    core: Core,
    waiting: mpsc::Receiver<Box<Session>>,
    place: watch::Receiver<Place>,
    session: Option<Open>,
    batches: Option<mpsc::Sender<Batch>>,
    seen: mpsc::Receiver<Seen>,
    seen_by_classes: mpsc::Sender<Seen>,
    /// How often the worker has begun to count its events from the start.
    numbering: u64,
    in_flight: usize,
    proposal: Option<oneshot::Receiver<Proposal>>,
    pace: Pace,
    leaves_by: Option<Instant>,
    stop: CancellationToken,
    finished: bool,
}

impl Actor {
    pub(super) fn new(
        control: Control,
        node: NodeId,
        proxy: Arc<Proxy>,
        core: Core,
        waiting: mpsc::Receiver<Box<Session>>,
    ) -> Self {
        let (seen_by_classes, seen) = mpsc::channel(WAITING_BATCHES);
        Self {
            node,
            core,
            waiting,
            place: proxy.place.subscribe(),
            proxy,
            session: None,
            batches: None,
            seen,
            seen_by_classes,
            numbering: 0,
            in_flight: 0,
            proposal: None,
            pace: Pace::default(),
            leaves_by: None,
            stop: control.shared.supervisor.token().child_token(),
            finished: false,
            control,
        }
    }

    /// Runs until the worker belongs elsewhere and has left, or the node shuts down.
    ///
    /// In a box, because the future would keep the actor twice.
    pub(super) async fn run(mut self: Box<Self>) {
        while !self.finished {
            let leaves_by = self.leaves_by;
            let reads = self.in_flight < WAITING_BATCHES;
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                Ok(()) = self.place.changed() => {
                    let place = self.place.borrow_and_update().clone();
                    self.step(Input::Placed(place)).await;
                }
                Some(session) = self.waiting.recv() => Box::pin(self.attach(*session)).await,
                Some(seen) = self.seen.recv() => {
                    self.in_flight = self.in_flight.saturating_sub(1);
                    if seen.numbering == self.numbering {
                        self.step(Input::Seen(seen.last)).await;
                    }
                }
                ended = async {
                    match &mut self.proposal {
                        Some(proposal) => proposal.await.unwrap_or(Proposal::Failed),
                        None => std::future::pending().await,
                    }
                } => {
                    self.proposal = None;
                    let recorded = self.recorded();
                    self.step(Input::Proposed { ended, recorded }).await;
                }
                said = async {
                    match &mut self.session {
                        Some(open) => open.recv.recv::<FromWorker>(MAX_MESSAGE).await,
                        None => std::future::pending().await,
                    }
                }, if reads => match said {
                    Ok(Some(message)) => {
                        let compares =
                            matches!(message, FromWorker::Labels(_) | FromWorker::Stats { .. });
                        let recorded = if compares { self.recorded() } else { None };
                        self.step(Input::Said { message, recorded }).await;
                    }
                    Ok(None) => self.lose().await,
                    Err(error) => {
                        tracing::debug!(node = %self.node, %error, "session ended");
                        self.lose().await;
                    }
                },
                () = tokio::time::sleep_until(leaves_by.unwrap_or_else(Instant::now)),
                    if leaves_by.is_some() => self.lose().await,
            }
        }
        self.stop.cancel();
        self.control.shared.proxies.remove(&self.node, &self.proxy);
        self.proxy.route.store(None);
    }

    /// What the state says about the worker.
    fn recorded(&self) -> Option<Facts> {
        let state = self.control.shared.replica.state();
        state.node(&self.node).map(Facts::of)
    }

    async fn attach(&mut self, asked: Session) {
        let Session { hello, path, mut stream } = asked;
        let alive = self.session.as_ref().is_some_and(|open| match &open.path {
            Path::Direct(link) => !link.is_closed(),
            Path::Via(_) => true,
        });
        let recorded = self.recorded();
        let input = Input::Attach { hello: Box::new(hello), alive, recorded };
        let mut effects = VecDeque::from(self.core.handle(input));
        if let Some(Effect::Refuse(failure)) = effects.front() {
            tracing::info!(node = %self.node, reason = %failure, "session refused");
            stream.reset(code::REFUSED, &failure.message);
            return;
        }
        let (send, recv) = stream.split();
        let replaced = self.session.replace(Open { send, recv, path });
        self.control.shared.stats.owned.sessions.one();
        self.leaves_by = None;
        self.perform(&mut effects).await;
        // Only now that calls go the new way: a session that is relayed takes its way along.
        if let Some(mut replaced) = replaced {
            replaced.send.reset(code::CANCELLED, "replaced by a newer session");
        }
    }

    async fn lose(&mut self) {
        if self.leaves_by.is_none() {
            self.control.shared.stats.owned.sessions_lost.one();
        }
        self.end_session();
        self.step(Input::Lost).await;
    }

    async fn step(&mut self, input: Input) {
        let mut effects = VecDeque::from(self.core.handle(input));
        self.perform(&mut effects).await;
    }

    async fn perform(&mut self, effects: &mut VecDeque<Effect>) {
        while let Some(effect) = effects.pop_front() {
            let sent = match effect {
                // Refusals are answered where the session was asked for.
                Effect::Refuse(_) => true,
                Effect::Afresh => {
                    tracing::warn!(node = %self.node, "the node counts its events from the start");
                    self.numbering += 1;
                    true
                }
                Effect::Welcome(acknowledged) => {
                    self.send(&FromOwner::Welcome { acknowledged }).await
                }
                Effect::Acknowledge(number) => self.send(&FromOwner::Acknowledge(number)).await,
                Effect::Moved { epoch, owner, addresses } => {
                    self.control.shared.stats.owned.moves.one();
                    self.leaves_by = Some(Instant::now() + LINGER);
                    self.send(&FromOwner::Moved { epoch, owner, addresses }).await
                }
                Effect::End => false,
                Effect::Route(epoch) => {
                    let route = epoch.and_then(|epoch| self.route(epoch));
                    self.proxy.route.store(route.map(Arc::new));
                    true
                }
                Effect::Publish => {
                    let view = self.core.view(&self.control.shared.me);
                    self.proxy.view.send_replace(view);
                    true
                }
                Effect::Report(events) => {
                    self.report(events, effects);
                    true
                }
                Effect::Missed(upto) => {
                    self.say(upto, EventBody::Gap { from: NOT_HERE, to: upto });
                    true
                }
                Effect::Say(seq, status) => {
                    self.say(seq, EventBody::NodeStatus { status });
                    true
                }
                Effect::Propose(change) => {
                    self.propose(*change);
                    true
                }
                Effect::TooMuch(limit) => {
                    tracing::warn!(node = %self.node, %limit, "the node announces too much; its record stays as it is");
                    true
                }
                Effect::Finish => {
                    self.finished = true;
                    true
                }
            };
            if !sent && self.session.is_some() {
                self.end_session();
                effects.extend(self.core.handle(Input::Lost));
            }
        }
    }

    fn say(&self, seq: u64, body: EventBody) {
        let generation = self.core.generation().unwrap_or_default();
        let event = said_by_owner(&self.node, seq, generation, wall_ms(), body);
        self.control.shared.bus.publish([event]);
    }

    fn route(&self, epoch: Epoch) -> Option<Route> {
        let path = self.session.as_ref()?.path.clone();
        Some(Route { path, process: self.core.process()?, epoch })
    }

    /// Ends this side of the session in good order; the worker may be waiting for that.
    fn end_session(&mut self) {
        self.leaves_by = None;
        if let Some(mut open) = self.session.take() {
            // A link that is lost ends the session too.
            drop(open.send.finish());
        }
    }

    async fn send(&mut self, message: &FromOwner) -> bool {
        let Some(open) = &mut self.session else { return true };
        matches!(tokio::time::timeout(SEND, open.send.send(message)).await, Ok(Ok(())))
    }

    /// Shows events to subscribers at once, and to job classes in their own time.
    fn report(&mut self, events: Vec<Event>, effects: &mut VecDeque<Effect>) {
        let Some(last) = events.iter().map(last_number).max() else { return };
        for event in &events {
            self.control.shared.stats.owned.reported(event);
        }
        let classes = &self.control.shared.classes;
        let concerns =
            |event: &Event| event.body.class().is_some_and(|class| classes.contains_key(class));
        let for_classes: Vec<Event> =
            events.iter().filter(|event| concerns(event)).cloned().collect();
        self.control.shared.bus.publish(events);
        if for_classes.is_empty() && self.in_flight == 0 {
            effects.extend(self.core.handle(Input::Seen(last)));
            return;
        }
        let batches = self.batches.get_or_insert_with(|| {
            let (batches, waiting) = mpsc::channel(WAITING_BATCHES);
            let run = dispatch::run(
                Arc::clone(classes),
                waiting,
                self.seen_by_classes.clone(),
                self.stop.clone(),
            );
            self.control.shared.supervisor.spawn("event dispatch", run);
            batches
        });
        let seen = Seen { numbering: self.numbering, last };
        // The session is read only while there is room.
        if batches.try_send(Batch { events: for_classes, seen }).is_ok() {
            self.in_flight += 1;
        }
    }

    /// Has the record committed. That it is done is known only after a pause, so that a worker that
    /// changes its mind all the time does not fill the log.
    fn propose(&mut self, change: Change) {
        let (done, proposal) = oneshot::channel();
        self.proposal = Some(proposal);
        let (control, stop) = (self.control.clone(), self.stop.clone());
        let (node, pause) = (self.node.clone(), self.pace.pause(Instant::now()));
        self.control.shared.supervisor.spawn("node record", async move {
            let proposed = tokio::select! {
                () = stop.cancelled() => return,
                // Boxed, because it is over long before the pause is.
                proposed = Box::pin(control.propose(change, PROPOSAL)) => proposed,
            };
            let ended = match proposed {
                Ok(_) => Proposal::Committed,
                Err(failure) => {
                    tracing::info!(%node, %failure, "the record of a node was not committed");
                    if is_refused(&failure) { Proposal::Refused } else { Proposal::Failed }
                }
            };
            tokio::select! {
                () = stop.cancelled() => (),
                () = tokio::time::sleep(pause) => drop(done.send(ended)),
            }
        });
    }
}

fn last_number(event: &Event) -> u64 {
    match event.body {
        EventBody::Gap { to, .. } => event.seq.max(to),
        _ => event.seq,
    }
}
