//! Runs proxies as the actor in `remuda-control` does; what they decide is decided there.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    time::Duration,
};

use remuda_control::sim::{
    Effect, Facts, Hello, Input, Measured, NOT_HERE, Pace, Place, Process, Proposal, Proxy as Core,
    said_by_owner,
};
use remuda_model::{Epoch, ErrorKind, Event, EventBody, NodeId};
use remuda_state::Change;
use remuda_wire::message::session::{FromOwner, FromWorker};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep, sleep_until},
};

use crate::{
    control::Control,
    mutant::Mutant,
    way::{End, Way},
    world::{mutated, now_ms, spawn, world},
};

const LINGER: Duration = Duration::from_mins(1);
const PROPOSAL: Duration = Duration::from_secs(30);

/// A session that a worker asks for.
pub(crate) struct Asked {
    pub(crate) hello: Hello,
    pub(crate) way: Rc<Way>,
    pub(crate) send: mpsc::UnboundedSender<FromOwner>,
    pub(crate) recv: mpsc::UnboundedReceiver<FromWorker>,
}

/// The way to a worker, and what makes it obey.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) way: Rc<Way>,
    pub(crate) process: Process,
    pub(crate) epoch: Epoch,
}

/// The handle of one proxy.
pub(crate) struct Proxy {
    route: RefCell<Option<Route>>,
    place: watch::Sender<Place>,
    pub(crate) sessions: mpsc::UnboundedSender<Asked>,
    /// Whether it is connected, as its core sees it.
    pub(crate) connected: Cell<bool>,
}

impl Proxy {
    pub(crate) fn route(&self) -> Option<Route> {
        self.route.borrow().clone()
    }

    pub(crate) fn live(&self) -> Option<Process> {
        let route = self.route()?;
        (!route.way.is_gone(End::Control)).then_some(route.process)
    }

    pub(crate) fn place(&self) -> Place {
        self.place.borrow().clone()
    }

    pub(crate) fn placed(&self, place: Place) {
        self.place.send_if_modified(|present| {
            let differs = *present != place;
            *present = place;
            differs
        });
    }

    pub(crate) fn placed_by(&self, place: Place) {
        if self.place().epoch().is_some_and(|epoch| Some(epoch) < place.epoch()) {
            self.placed(place);
        }
    }
}

/// The proxy of a worker, made when there is none.
pub(crate) fn proxy_of(control: &Rc<Control>, node: &NodeId, place: Place) -> Rc<Proxy> {
    if let Some(proxy) = control.proxies.borrow().get(node)
        && !proxy.sessions.is_closed()
    {
        return Rc::clone(proxy);
    }
    let (sessions, waiting) = mpsc::unbounded_channel();
    let proxy = Rc::new(Proxy {
        route: RefCell::new(None),
        place: watch::Sender::new(place.clone()),
        sessions,
        connected: Cell::new(false),
    });
    let actor = Actor {
        core: Core::new(node.clone(), place),
        control: Rc::clone(control),
        node: node.clone(),
        place: proxy.place.subscribe(),
        proxy: Rc::clone(&proxy),
        waiting,
        session: None,
        replaced: None,
        proposal: None,
        pace: Pace::default(),
        leaves_by: None,
        finished: false,
    };
    spawn(actor.run());
    control.proxies.borrow_mut().insert(node.clone(), Rc::clone(&proxy));
    proxy
}

struct Open {
    way: Rc<Way>,
    send: mpsc::UnboundedSender<FromOwner>,
    recv: mpsc::UnboundedReceiver<FromWorker>,
}

impl Open {
    /// What the worker says next; `None` when the session is over.
    async fn said(&mut self) -> Option<FromWorker> {
        tokio::select! {
            biased;
            () = self.way.gone(End::Control) => None,
            said = self.recv.recv() => said,
        }
    }
}

async fn said(session: &mut Option<Open>) -> Option<FromWorker> {
    match session {
        Some(open) => open.said().await,
        None => std::future::pending().await,
    }
}

struct Actor {
    core: Core,
    control: Rc<Control>,
    node: NodeId,
    proxy: Rc<Proxy>,
    place: watch::Receiver<Place>,
    waiting: mpsc::UnboundedReceiver<Asked>,
    session: Option<Open>,
    /// A session that goes on by mistake.
    replaced: Option<Open>,
    proposal: Option<oneshot::Receiver<Proposal>>,
    pace: Pace,
    leaves_by: Option<Instant>,
    finished: bool,
}

impl Actor {
    async fn run(mut self) {
        while !self.finished {
            let leaves_by = self.leaves_by;
            tokio::select! {
                biased;
                Ok(()) = self.place.changed() => {
                    let place = self.place.borrow_and_update().clone();
                    self.step(Input::Placed(place));
                }
                Some(asked) = self.waiting.recv() => self.attach(asked),
                ended = async {
                    match &mut self.proposal {
                        Some(proposal) => proposal.await.unwrap_or(Proposal::Failed),
                        None => std::future::pending().await,
                    }
                } => {
                    self.proposal = None;
                    let recorded = self.recorded();
                    self.step(Input::Proposed { ended, recorded });
                }
                said = said(&mut self.session) => match said {
                    Some(message) => {
                        let recorded = self.recorded();
                        self.step(Input::Said { message, recorded });
                    }
                    None => self.lose(),
                },
                said = said(&mut self.replaced) => if let Some(message) = said {
                    let recorded = self.recorded();
                    self.step(Input::Said { message, recorded });
                } else {
                    self.replaced = None;
                    self.step(Input::Lost);
                },
                () = sleep_until(leaves_by.unwrap_or_else(Instant::now)), if leaves_by.is_some() => {
                    self.lose();
                }
            }
        }
        let mut proxies = self.control.proxies.borrow_mut();
        if proxies.get(&self.node).is_some_and(|present| Rc::ptr_eq(present, &self.proxy)) {
            proxies.remove(&self.node);
        }
        self.proxy.route.replace(None);
        self.proxy.connected.set(false);
    }

    fn recorded(&self) -> Option<Facts> {
        self.control.replica.state().node(&self.node).map(Facts::of)
    }

    fn attach(&mut self, asked: Asked) {
        let Asked { hello, way, send, recv } = asked;
        let alive = self.session.as_ref().is_some_and(|open| !open.way.is_gone(End::Control));
        let recorded = self.recorded();
        let input = Input::Attach { hello: Box::new(hello), alive, recorded };
        let mut effects = VecDeque::from(self.core.handle(input));
        if let Some(Effect::Refuse(failure)) = effects.front() {
            self.control.note(|| format!("refuses {}: {failure}", self.node));
            return;
        }
        let replaced = self.session.replace(Open { way, send, recv });
        self.leaves_by = None;
        self.perform(&mut effects);
        if mutated(Mutant::TwoSessions) {
            self.replaced = replaced;
        }
    }

    fn lose(&mut self) {
        self.end_session();
        self.step(Input::Lost);
    }

    fn end_session(&mut self) {
        self.leaves_by = None;
        self.session = None;
    }

    fn step(&mut self, input: Input) {
        let mut effects = VecDeque::from(self.core.handle(input));
        self.perform(&mut effects);
    }

    fn send(&self, message: FromOwner) -> bool {
        self.session.as_ref().is_none_or(|open| open.send.send(message).is_ok())
    }

    fn perform(&mut self, effects: &mut VecDeque<Effect>) {
        while let Some(effect) = effects.pop_front() {
            let sent = match effect {
                Effect::Refuse(_) | Effect::TooMuch(_) | Effect::Publish => true,
                Effect::Afresh => {
                    self.control.note(|| format!("{} counts its events afresh", self.node));
                    true
                }
                Effect::Welcome(acknowledged) => self.send(FromOwner::Welcome { acknowledged }),
                Effect::Acknowledge(number) => self.send(FromOwner::Acknowledge(number)),
                Effect::Moved { epoch, owner, addresses } => {
                    self.leaves_by = Some(Instant::now() + LINGER);
                    self.send(FromOwner::Moved { epoch, owner, addresses })
                }
                Effect::End => false,
                Effect::Route(epoch) => {
                    let route = epoch.and_then(|epoch| {
                        let way = Rc::clone(&self.session.as_ref()?.way);
                        Some(Route { way, process: self.core.process()?, epoch })
                    });
                    self.control.note(|| {
                        let epoch = route.as_ref().map(|route| route.epoch.0);
                        format!("route to {} is {epoch:?}", self.node)
                    });
                    self.proxy.connected.set(route.is_some());
                    self.proxy.route.replace(route);
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
        let event = said_by_owner(&self.node, seq, generation, now_ms(), body);
        self.control.publish(vec![event]);
    }

    fn report(&mut self, events: Vec<Event>, effects: &mut VecDeque<Effect>) {
        let Some(last) = events.iter().map(last_number).max() else { return };
        effects.extend(self.core.handle(Input::Seen(last)));
        if mutated(Mutant::EventAckedBeforeShown) {
            let control = Rc::clone(&self.control);
            spawn(async move {
                sleep(Duration::from_millis(300)).await;
                control.publish(events);
            });
            return;
        }
        self.control.publish(events);
    }

    fn propose(&mut self, change: Change) {
        let (done, proposal) = oneshot::channel();
        self.proposal = Some(proposal);
        let (control, pause) = (Rc::clone(&self.control), self.pace.pause(Instant::now()));
        spawn(async move {
            let ended = match control.propose(change, PROPOSAL).await {
                Ok((_, applied)) if applied.outcome.is_ok() => Proposal::Committed,
                Ok(_) => Proposal::Refused,
                Err(failure) => match failure.kind {
                    ErrorKind::Unavailable
                    | ErrorKind::NotConnected
                    | ErrorKind::OutcomeUnknown
                    | ErrorKind::TimedOut => Proposal::Failed,
                    _ => Proposal::Refused,
                },
            };
            sleep(pause).await;
            let _ = done.send(ended);
        });
    }
}

fn last_number(event: &Event) -> u64 {
    match event.body {
        EventBody::Gap { to, .. } => event.seq.max(to),
        _ => event.seq,
    }
}

impl Control {
    /// Shows events to all readers.
    pub(crate) fn publish(&self, events: Vec<Event>) {
        world().ledger.borrow_mut().shown(&events);
        let mut bus = self.bus.borrow_mut();
        for event in events {
            bus.push(Measured::from(event));
        }
    }
}
