//! Performs what the search for the owner decides, as the actor in `remuda-worker` does.

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use remuda_model::{ErrorKind, Failure, LinkUrl, NodeId};
use remuda_wire::message::announce::Placement;
use remuda_worker::sim::{Far, OwnerCore, OwnerEffect as Effect, OwnerInput as Input};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{sleep, sleep_until, timeout},
};

use super::{Change, Worker, disk, session};
use crate::{
    attach,
    control::at,
    net::travel,
    way::{End, Way},
    world::{self, spawn, spawn_on, world},
};

const DIAL_LIMIT: Duration = Duration::from_secs(15);
const ANNOUNCE_LIMIT: Duration = Duration::from_secs(5);
const RETIRE_LIMIT: Duration = Duration::from_secs(5);

/// Something for the actor.
pub(super) enum Message {
    Dialled { dial: u64, url: LinkUrl, outcome: Result<Rc<Way>, Failure> },
    Input(Input),
}

struct Actor {
    worker: Rc<Worker>,
    core: OwnerCore,
    messages: mpsc::UnboundedSender<Message>,
    links: BTreeMap<u64, Rc<Way>>,
    next_link: u64,
    /// Dropped when the session is to end.
    sessions: BTreeMap<u64, watch::Sender<bool>>,
}

/// Searches and follows for as long as the worker lives.
pub(super) async fn run(worker: Rc<Worker>) {
    let (messages, mut inbox) = mpsc::unbounded_channel();
    let learnt = worker.learnt.borrow().clone();
    let mut actor = Actor {
        core: OwnerCore::new(learnt, worker.highest(), fastrand::u64(..)),
        worker,
        messages,
        links: BTreeMap::new(),
        next_link: 0,
        sessions: BTreeMap::new(),
    };
    actor.step(Input::Candidates(Worker::candidates()));
    loop {
        let wake = actor.core.next_deadline();
        let input = tokio::select! {
            biased;
            Some(message) = inbox.recv() => match message {
                Message::Dialled { dial, url, outcome } => actor.dialled(dial, url, outcome),
                Message::Input(input) => input,
            },
            () = sleep_until(world().started + wake.unwrap_or_default()),
                if wake.is_some() => Input::Tick,
        };
        actor.step(input);
    }
}

impl Actor {
    fn step(&mut self, input: Input) {
        if let Input::LinkLost { link } = input {
            self.links.remove(&link);
        }
        if let Input::Ended { session } = input {
            self.sessions.remove(&session);
        }
        for effect in self.core.handle(world::elapsed(), input) {
            self.perform(effect);
        }
    }

    fn dialled(&mut self, dial: u64, url: LinkUrl, outcome: Result<Rc<Way>, Failure>) -> Input {
        let outcome = outcome.map(|way| {
            let node = name(&way);
            self.next_link += 1;
            let id = self.next_link;
            let watched = Rc::clone(&way);
            self.later(async move {
                watched.gone(End::Worker).await;
                Input::LinkLost { link: id }
            });
            self.links.insert(id, way);
            (id, Far { node, addresses: vec![url] })
        });
        Input::Dialled { dial, outcome }
    }

    fn later(&self, work: impl Future<Output = Input> + 'static) {
        let messages = self.messages.clone();
        spawn(async move { drop(messages.send(Message::Input(work.await))) });
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Dial { dial, url } => {
                let (messages, worker) = (self.messages.clone(), Rc::clone(&self.worker));
                spawn(async move {
                    let late = || Failure::new(ErrorKind::Unavailable, "no link in time");
                    let dialled = timeout(DIAL_LIMIT, dial_there(&worker, &url)).await;
                    let outcome = dialled.unwrap_or_else(|_late| Err(late()));
                    drop(messages.send(Message::Dialled { dial, url, outcome }));
                });
            }
            Effect::Announce { link, unreachable } => {
                let (way, worker) = (self.links.get(&link).cloned(), Rc::clone(&self.worker));
                self.later(async move {
                    let outcome = match way {
                        Some(way) => announce(&worker, &way, unreachable).await,
                        None => Err(Failure::new(ErrorKind::NotConnected, "the link is gone")),
                    };
                    Input::Answered { link, outcome }
                });
            }
            Effect::Open { session, link, epoch } => {
                let (end, ends) = watch::channel(false);
                self.sessions.insert(session, end);
                let (way, worker) = (self.links.get(&link).cloned(), Rc::clone(&self.worker));
                let messages = self.messages.clone();
                spawn(async move {
                    let say = |input| drop(messages.send(Message::Input(input)));
                    let opened = match way {
                        Some(way) => session::open(&worker, &way, epoch).await,
                        None => Err(Failure::new(ErrorKind::NotConnected, "the link is gone")),
                    };
                    match opened {
                        Ok(open) => {
                            say(Input::Opened { session, outcome: Ok(()) });
                            open.run(&worker, ends, session, &messages).await;
                            say(Input::Ended { session });
                        }
                        Err(failure) => say(Input::Opened { session, outcome: Err(failure) }),
                    }
                });
            }
            Effect::End { session } => drop(self.sessions.remove(&session)),
            Effect::Retire { link } => {
                if let Some(way) = self.links.remove(&link) {
                    spawn(async move {
                        sleep(RETIRE_LIMIT).await;
                        way.close(End::Worker);
                    });
                }
            }
            Effect::Close { link } => {
                if let Some(way) = self.links.remove(&link) {
                    way.close(End::Worker);
                }
            }
            Effect::Learn(urls) => {
                spawn(disk::write(self.worker.host, vec![Change::Learnt(urls)]));
            }
            Effect::Show(connection) => self.worker.note(|| format!("{connection:?}")),
            Effect::Complain(failure) => self.worker.note(|| format!("complains: {failure}")),
        }
    }
}

/// The name of the control node at the other end.
fn name(way: &Way) -> NodeId {
    let world = world();
    let names = world.names.borrow();
    let name = names.iter().find(|(_, host)| **host == way.control.0);
    name.map(|(name, _)| name.clone()).expect("control nodes have names")
}

async fn dial_there(worker: &Worker, url: &LinkUrl) -> Result<Rc<Way>, Failure> {
    let unreachable = || Failure::new(ErrorKind::Unavailable, "nobody listens");
    let to = at(url).ok_or_else(unreachable)?;
    if !travel(worker.host, to).await {
        // Packets into the void.
        return std::future::pending().await;
    }
    let there = world::control(to);
    if !travel(to, worker.host).await {
        return std::future::pending().await;
    }
    let control = there.filter(|there| crate::fleet::life(to) == Some(there.life));
    let control = control.ok_or_else(unreachable)?;
    Ok(Way::open((worker.host, worker.life), (to, control.life), None))
}

async fn announce(
    worker: &Worker,
    way: &Rc<Way>,
    unreachable: Vec<NodeId>,
) -> Result<Placement, Failure> {
    let lost = || Failure::new(ErrorKind::OutcomeUnknown, "the link is lost");
    let announce = worker.announce(unreachable);
    let peer = worker.me.clone();
    let call = async {
        if !way.carry(End::Worker).await {
            return Err(lost());
        }
        let control = world::control(way.control.0).filter(|there| there.life == way.control.1);
        let control = control.ok_or_else(lost)?;
        let (done, doing) = oneshot::channel();
        spawn_on(control.life, async move {
            drop(done.send(attach::placement(&control, &peer, &announce).await));
        });
        let answer = doing.await.map_err(|_crashed| lost())?;
        if !way.carry(End::Control).await {
            return Err(lost());
        }
        answer
    };
    tokio::select! {
        biased;
        () = way.gone(End::Worker) => Err(lost()),
        answer = timeout(ANNOUNCE_LIMIT, call) => answer.unwrap_or_else(|_late| Err(lost())),
    }
}
