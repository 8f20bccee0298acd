//! Performs what the search for the owner decides.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use remuda_link::{KeyId, Link, Priority, Router};
use remuda_model::{Epoch, ErrorKind, Failure, LinkUrl, NodeId, Role};
use remuda_runtime::{CancellationToken, Supervisor};
use remuda_wire::{
    decode, encode,
    message::{
        ANNOUNCE,
        announce::{Answer, Placement},
    },
};
use tokio::sync::{mpsc, watch};
use tokio_util::task::TaskTracker;

use super::{
    ANNOUNCE_LIMIT, DIAL_LIMIT, Dialler, LINGER, News, RETIRE_LIMIT,
    core::{Core, DialId, Effect, Far, Input, LinkId, SessionId},
};
use crate::{
    agent::Agent,
    serve,
    session::{Moved, Session},
    status::Connection,
    store::Change,
};

/// Where known addresses of control nodes are kept.
pub(crate) const LEARNT_KEY: &str = "controls";
/// Inputs that wait for the actor.
const QUEUE: usize = 64;

/// What comes for the actor.
enum Message {
    Dialled { dial: DialId, url: LinkUrl, outcome: Result<Link, Failure> },
    Input(Input),
}

/// A link and the calls on it that are not answered yet.
struct Held {
    link: Link,
    calls: TaskTracker,
}

/// Finds the owner and keeps a session with it.
pub(crate) struct Actor {
    core: Core,
    started: Instant,
    agent: Arc<Agent>,
    dial: Dialler,
    /// What else is answered on dialled links.
    others: Router,
    supervisor: Supervisor,
    messages: mpsc::Sender<Message>,
    inbox: mpsc::Receiver<Message>,
    links: BTreeMap<LinkId, Held>,
    next_link: LinkId,
    sessions: BTreeMap<SessionId, CancellationToken>,
}

impl Actor {
    /// A search that begins with what was learnt in earlier boots.
    pub(crate) fn new(
        agent: Arc<Agent>,
        dial: Dialler,
        others: Router,
        learnt: Vec<LinkUrl>,
        supervisor: Supervisor,
    ) -> Self {
        let (messages, inbox) = mpsc::channel(QUEUE);
        Self {
            core: Core::new(learnt, agent.gate.highest(), fastrand::u64(..)),
            started: Instant::now(),
            agent,
            dial,
            others,
            supervisor,
            messages,
            inbox,
            links: BTreeMap::new(),
            next_link: 0,
            sessions: BTreeMap::new(),
        }
    }

    /// Searches and follows until the agent shuts down.
    pub(crate) async fn run(
        mut self,
        mut candidates: watch::Receiver<Vec<LinkUrl>>,
        mut news: mpsc::Receiver<News>,
    ) {
        self.agent.tasks.connection(Connection::Looking).await;
        candidates.mark_changed();
        let stop = self.agent.stop.clone();
        loop {
            let wake = self.core.next_deadline().map(|at| self.started + at);
            let input = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Ok(()) = candidates.changed() => {
                    Input::Candidates(candidates.borrow_and_update().clone())
                }
                Some(news) = news.recv() => match news {
                    News::Offered(link) => self.offered(link),
                    News::Trusted(trusted) => {
                        self.outdated(&trusted).await;
                        continue;
                    }
                },
                Some(message) = self.inbox.recv() => match message {
                    Message::Dialled { dial, url, outcome } => self.dialled(dial, url, outcome),
                    Message::Input(input) => input,
                },
                () = tokio::time::sleep_until(wake.unwrap_or(self.started).into()),
                    if wake.is_some() => Input::Tick,
            };
            self.step(input).await;
        }
        // Sessions say goodbye by themselves; links close with the endpoint.
    }

    fn dialled(&mut self, dial: DialId, url: LinkUrl, outcome: Result<Link, Failure>) -> Input {
        let outcome = outcome.and_then(control_node_only).map(|link| {
            let calls = TaskTracker::new();
            let mut router = self.others.clone();
            serve::register(&mut router, &self.agent, &calls);
            let (served, supervisor) = (link.clone(), self.supervisor.clone());
            self.supervisor.spawn("link", async move { router.serve(served, &supervisor).await });
            let far = far(&link, Some(url));
            (self.hold(link, calls), far)
        });
        Input::Dialled { dial, outcome }
    }

    fn offered(&mut self, link: Link) -> Input {
        let far = far(&link, None);
        let link = self.hold(link, TaskTracker::new());
        Input::Offered { link, far }
    }

    /// Has the link of the present session replaced, if it rests on another CA.
    async fn outdated(&mut self, trusted: &[KeyId]) {
        let outdated = |held: &Held| held.link.peer().is_outdated(trusted);
        let links = self.links.iter().filter(|(_, held)| outdated(held));
        let links: Vec<LinkId> = links.map(|(id, _)| *id).collect();
        for link in links {
            self.step(Input::Outdated { link }).await;
        }
    }

    fn hold(&mut self, link: Link, calls: TaskTracker) -> LinkId {
        self.next_link += 1;
        let id = self.next_link;
        let watched = link.clone();
        self.later("link watch", async move {
            watched.closed().await;
            Input::LinkLost { link: id }
        });
        self.links.insert(id, Held { link, calls });
        id
    }

    async fn step(&mut self, input: Input) {
        if let Input::LinkLost { link } = input {
            self.links.remove(&link);
        }
        if let Input::Ended { session } = input {
            self.sessions.remove(&session);
        }
        for effect in self.core.handle(self.started.elapsed(), input) {
            self.perform(effect).await;
        }
    }

    async fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Dial { dial, url } => self.start_dial(dial, url),
            Effect::Announce { link, unreachable } => self.announce(link, unreachable),
            Effect::Open { session, link, epoch } => self.open(session, link, epoch),
            Effect::End { session } => {
                if let Some(end) = self.sessions.remove(&session) {
                    end.cancel();
                }
            }
            Effect::Retire { link } => {
                let Some(Held { link, calls }) = self.links.remove(&link) else { return };
                calls.close();
                let stop = self.agent.stop.clone();
                self.supervisor.spawn("link retire", async move {
                    let retire = async {
                        // What is not answered by then is lost.
                        drop(tokio::time::timeout(RETIRE_LIMIT, calls.wait()).await);
                        // The last answers are still on their way.
                        drop(tokio::time::timeout(LINGER, link.closed()).await);
                    };
                    tokio::select! {
                        () = retire => (),
                        () = stop.cancelled() => (),
                    }
                    link.close("another link has taken its place");
                });
            }
            Effect::Close { link } => {
                if let Some(held) = self.links.remove(&link) {
                    held.link.close("not needed");
                }
            }
            Effect::Learn(urls) => {
                let known = Change::meta(LEARNT_KEY, encode(&urls).to_vec());
                // It only speeds up the next start.
                drop(self.agent.store.submit(vec![known]).await);
            }
            Effect::Show(connection) => self.agent.tasks.connection(connection).await,
            Effect::Complain(failure) => complain(&failure),
        }
    }

    fn start_dial(&self, dial: DialId, url: LinkUrl) {
        let messages = self.messages.clone();
        let (stop, dialling) = (self.agent.stop.clone(), (self.dial)(url.clone()));
        self.supervisor.spawn("dial", async move {
            let dialled = tokio::select! {
                dialled = tokio::time::timeout(DIAL_LIMIT, dialling) => dialled,
                () = stop.cancelled() => return,
            };
            let late = || Failure::new(ErrorKind::Unavailable, format!("no link to {url} in time"));
            let outcome = dialled.unwrap_or_else(|_late| Err(late()));
            if let Err(failure) = &outcome {
                tracing::debug!(%url, %failure, "cannot dial a control node");
            }
            // The actor ends only when the agent does.
            drop(messages.send(Message::Dialled { dial, url, outcome }).await);
        });
    }

    fn announce(&self, id: LinkId, unreachable: Vec<NodeId>) {
        let link = self.links.get(&id).map(|held| held.link.clone());
        let agent = Arc::clone(&self.agent);
        self.later("announce", async move {
            let outcome = match link {
                Some(link) => announce(&agent, &link, unreachable).await,
                None => Err(Failure::new(ErrorKind::NotConnected, "the link is gone")),
            };
            Input::Answered { link: id, outcome }
        });
    }

    fn open(&mut self, session: SessionId, link: LinkId, epoch: Epoch) {
        let end = CancellationToken::new();
        self.sessions.insert(session, end.clone());
        let link = self.links.get(&link).map(|held| held.link.clone());
        let (agent, messages) = (Arc::clone(&self.agent), self.messages.clone());
        self.supervisor.spawn("session", async move {
            let opened = match link {
                Some(link) => Session::open(agent, &link, epoch).await,
                None => Err(Failure::new(ErrorKind::NotConnected, "the link is gone")),
            };
            let say = async |input| drop(messages.send(Message::Input(input)).await);
            match opened {
                Ok(open) => {
                    say(Input::Opened { session, outcome: Ok(()) }).await;
                    converse(open, end, session, &messages).await;
                    say(Input::Ended { session }).await;
                }
                Err(failure) => say(Input::Opened { session, outcome: Err(failure) }).await,
            }
        });
    }

    /// Runs something whose end is an input.
    fn later(&self, name: &'static str, work: impl Future<Output = Input> + Send + 'static) {
        let (messages, stop) = (self.messages.clone(), self.agent.stop.clone());
        self.supervisor.spawn(name, async move {
            tokio::select! {
                // The actor ends only when the agent does.
                input = work => drop(messages.send(Message::Input(input)).await),
                () = stop.cancelled() => (),
            }
        });
    }
}

/// Every node of the cluster has a certificate; only control nodes may command this one.
fn control_node_only(link: Link) -> Result<Link, Failure> {
    let peer = link.peer();
    if peer.role == Role::Control {
        return Ok(link);
    }
    let text =
        format!("`{}` at the address of a control node has the role {}", peer.node, peer.role);
    link.close("only control nodes own workers");
    Err(Failure::new(ErrorKind::Forbidden, text)
        .code("not_a_control_node")
        .hint("give the addresses of control nodes with --join"))
}

fn far(link: &Link, dialled: Option<LinkUrl>) -> Far {
    let peer = link.peer();
    // Where it was reached is better than where it says that it can be.
    let addresses = dialled.into_iter().chain(peer.addresses.iter().cloned()).collect();
    Far { node: peer.node.clone(), addresses }
}

async fn announce(
    agent: &Agent,
    link: &Link,
    unreachable: Vec<NodeId>,
) -> Result<Placement, Failure> {
    let body = encode(&agent.announce(unreachable));
    let answer = link.call(ANNOUNCE, Priority::Calls, body, ANNOUNCE_LIMIT).await;
    let peer = &link.peer().node;
    let answer = answer.map_err(|error| error.into_failure(&format!("control node `{peer}`")))?;
    let unreadable = |error| Failure::internal(&error);
    decode::<Answer>(&answer).map_err(unreadable)?
}

async fn converse(
    open: Session,
    end: CancellationToken,
    session: SessionId,
    messages: &mpsc::Sender<Message>,
) {
    let (moved, mut moves) = mpsc::channel(4);
    let pass_on = async {
        while let Some(Moved { epoch, owner, addresses }) = moves.recv().await {
            let input = Input::Moved { session, epoch, owner, addresses };
            drop(messages.send(Message::Input(input)).await);
        }
    };
    tokio::join!(open.run(end, moved), pass_on);
}

fn complain(failure: &Failure) {
    let hint = failure.hint.as_deref().unwrap_or_default();
    let code = &failure.code;
    match failure.kind {
        // An announcement may be repeated, whatever became of it.
        ErrorKind::Unavailable
        | ErrorKind::NotConnected
        | ErrorKind::TimedOut
        | ErrorKind::OutcomeUnknown => {
            tracing::warn!(%failure, code, hint, "no control node takes this worker; trying again");
        }
        _ => tracing::error!(%failure, code, hint, "the cluster refuses this worker"),
    }
}

/// What was learnt in earlier boots; damaged knowledge is no knowledge.
pub(crate) fn learnt(saved: Option<&[u8]>) -> Vec<LinkUrl> {
    saved.and_then(|bytes| decode(bytes).ok()).unwrap_or_default()
}
