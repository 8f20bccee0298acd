//! Events: what this node's workers report, and streams of it over the whole cluster.

pub(crate) mod ring;
pub(crate) mod sequence;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use remuda_link::{Link, Priority, Stream, StreamError};
use remuda_model::{Event, EventBody, Failure, Generation, NodeId, Role};
use remuda_runtime::CancellationToken;
use remuda_wire::message::{EVENTS, control::Subscribe};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};
use tokio_util::sync::DropGuard;

pub(crate) use self::sequence::{NOT_HERE, said_by_owner};
use self::{
    ring::{KEPT, KEPT_BYTES, Measured, Ring},
    sequence::Sequence,
};
use crate::{Control, tokens::token_of};

/// How many events are taken from the ring at a time.
const BATCH: usize = 256;
/// How many events wait for a subscriber; then it falls behind, and may see gaps.
const WAITING: usize = 256;
/// The longest event on a link.
const MAX_EVENT: usize = 1 << 20;
/// How often it is looked whether a control node's events are missing.
const LOOK: Duration = Duration::from_secs(1);
/// The pause before a control node is asked for its events again.
const AGAIN: Duration = Duration::from_millis(200);
/// How long a new subscription waits until the other control nodes were asked.
const ASKED: Duration = Duration::from_secs(1);
/// How long the first message of an event stream may take.
const RECEIVE: Duration = Duration::from_secs(10);

/// The events of this node's workers.
#[derive(Debug)]
pub(crate) struct Bus {
    ring: Mutex<Ring>,
    end: watch::Sender<u64>,
}

impl Bus {
    pub(crate) fn new() -> Self {
        Self { ring: Mutex::new(Ring::new(KEPT, KEPT_BYTES)), end: watch::Sender::new(0) }
    }

    /// Shows events to all readers.
    pub(crate) fn publish(&self, events: impl IntoIterator<Item = Event>) {
        // Measured before the lock is taken.
        let events: Vec<Measured> = events.into_iter().map(Measured::from).collect();
        let end = {
            let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
            for event in events {
                ring.push(event);
            }
            ring.end()
        };
        self.end.send_replace(end);
    }

    fn reader(self: &Arc<Self>, from_oldest: bool) -> Reader {
        let end = self.ring.lock().unwrap_or_else(PoisonError::into_inner).end();
        let next = if from_oldest { 0 } else { end };
        Reader { bus: Arc::clone(self), end: self.end.subscribe(), next }
    }
}

/// One reader's place in the ring.
struct Reader {
    bus: Arc<Bus>,
    end: watch::Receiver<u64>,
    next: u64,
}

impl Reader {
    /// The next events; waits for one. Cancel safe: the place changes only with the return.
    async fn next(&mut self) -> Vec<Arc<Event>> {
        let next = self.next;
        // The bus lives as long as this reader.
        drop(self.end.wait_for(|end| *end > next).await);
        let ring = self.bus.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let batch = ring.read(self.next, BATCH);
        self.next = batch.next;
        batch.events
    }
}

/// Events as they happen, until it is dropped.
#[derive(Debug)]
pub struct EventStream {
    events: mpsc::Receiver<Event>,
    _stop: DropGuard,
}

impl EventStream {
    /// The next event, or `None` when the node shuts down.
    ///
    /// Events of one node come in order and once. What could not be kept for a slow reader shows
    /// as [`Gap`](remuda_model::EventBody::Gap).
    ///
    /// # Cancel safety
    ///
    /// No event is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

impl Control {
    /// Events of the nodes that this control node owns, or of all nodes, from now on; with `node`
    /// and `after`, kept ones first.
    ///
    /// # Errors
    ///
    /// [`Invalid`](remuda_model::ErrorKind::Invalid) for `after` without `node`.
    pub async fn events(&self, subscribe: Subscribe) -> Result<EventStream, Failure> {
        if subscribe.after.is_some() && subscribe.node.is_none() {
            return Err(Failure::invalid("a number to go on from needs the node that counts")
                .hint("numbers belong to one node; name it as well"));
        }
        let stop = self.shared.supervisor.token().child_token();
        let (out, events) = mpsc::channel(WAITING);
        let (asked, was_asked) = oneshot::channel();
        let reader = self.shared.bus.reader(subscribe.after.is_some());
        let subscription =
            Subscription { control: self.clone(), subscribe, reader, out, stop: stop.clone() };
        self.shared.supervisor.spawn("event subscription", subscription.run(asked));
        drop(tokio::time::timeout(ASKED, was_asked).await);
        Ok(EventStream { events, _stop: stop.drop_guard() })
    }

    /// Sends events to another control node or to a client.
    pub(crate) async fn serve_events(&self, link: Link, mut stream: Stream) {
        let received = tokio::time::timeout(RECEIVE, stream.recv::<Subscribe>(64 * 1024)).await;
        let Ok(Ok(Some(mut subscribe))) = received else { return };
        if self.is_out(link.peer()) {
            stream.reset(remuda_link::code::FORBIDDEN, "the node was removed");
            return;
        }
        if link.peer().role == Role::Control {
            self.shared.peers.note(&link);
            // Each control node tells of its own workers only, or events would go round.
            subscribe.whole_cluster = false;
        } else if let Err(failure) = self.client_may(link.peer(), remuda_state::Scope::Read) {
            stream.reset(remuda_link::code::FORBIDDEN, &failure.message);
            return;
        }
        let Ok(mut events) = self.events(subscribe).await else { return };
        let (mut send, mut recv) = stream.split();
        if link.peer().role == Role::Control && send.send(&ready(&self.shared.me)).await.is_err() {
            return;
        }
        let ended = async {
            match token_of(link.peer()).filter(|_| link.peer().role == Role::Client) {
                Some(token) => self.token_ended(&token).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(ended);
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = &mut ended => {
                    send.reset(remuda_link::code::FORBIDDEN, "the token is not valid any more");
                    return;
                }
                // Nothing more is expected; an end or an error means that nobody reads.
                said = recv.read_chunk() => match said {
                    Ok(Some(_)) => continue,
                    Ok(None) | Err(_) => return,
                },
            };
            let Some(event) = event else { return };
            // A client that reads nothing is no reason to wait for longer than its token holds.
            let sent = tokio::select! {
                sent = send.send(&event) => sent.is_ok(),
                () = &mut ended => {
                    send.reset(remuda_link::code::FORBIDDEN, "the token is not valid any more");
                    false
                }
            };
            if !sent {
                return;
            }
        }
    }
}

struct Subscription {
    control: Control,
    subscribe: Subscribe,
    reader: Reader,
    out: mpsc::Sender<Event>,
    stop: CancellationToken,
}

impl Subscription {
    async fn run(mut self, asked: oneshot::Sender<()>) {
        let mut sequence = Sequence::new(self.subscribe.clone());
        let (others, mut from_others) = mpsc::channel(WAITING);
        let mut peers_changed = self.control.shared.peers.watch();
        let mut followed: BTreeSet<NodeId> = BTreeSet::new();
        let mut followers: JoinSet<NodeId> = JoinSet::new();
        let (asking, mut all_asked) = mpsc::channel::<()>(1);
        let mut asking = Some(asking);
        let mut asked = Some(asked);
        loop {
            if self.subscribe.whole_cluster {
                for node in self.control.shared.peers.linked() {
                    if node != self.control.shared.me && followed.insert(node.clone()) {
                        // One that comes later, or comes back, may have had events meanwhile.
                        let after = sequence.position().or(self.subscribe.after);
                        let follow = follow(
                            self.control.clone(),
                            node,
                            Subscribe { after, ..self.subscribe.clone() },
                            others.clone(),
                            asking.clone(),
                        );
                        followers.spawn(follow);
                    }
                }
            }
            asking = None;
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = self.out.closed() => return,
                _ = all_asked.recv(), if asked.is_some() => {
                    if let Some(asked) = asked.take() {
                        // Whoever asked may have stopped waiting.
                        let _ = asked.send(());
                    }
                }
                batch = self.reader.next() => {
                    for event in batch {
                        if !self.show(&mut sequence, &event).await {
                            return;
                        }
                    }
                }
                Some(event) = from_others.recv() => {
                    if !self.show(&mut sequence, &event).await {
                        return;
                    }
                }
                Some(ended) = followers.join_next() => {
                    // It is followed again with the next look, when there is a link.
                    if let Ok(node) = ended {
                        followed.remove(&node);
                    }
                }
                _ = peers_changed.changed() => (),
                () = tokio::time::sleep(LOOK) => (),
            }
        }
    }

    async fn show(&self, sequence: &mut Sequence, event: &Event) -> bool {
        for event in sequence.accept(event) {
            tokio::select! {
                () = self.stop.cancelled() => return false,
                sent = self.out.send(event) => if sent.is_err() { return false },
            }
        }
        true
    }
}

/// Passes on the events of another control node until its link or the stream ends.
async fn follow(
    control: Control,
    node: NodeId,
    subscribe: Subscribe,
    out: mpsc::Sender<Event>,
    asking: Option<mpsc::Sender<()>>,
) -> NodeId {
    // Classes and tasks are sorted out here, because a hole shows only among all events of a node.
    let subscribe = Subscribe { class: None, task: None, whole_cluster: false, ..subscribe };
    if let Some(link) = control.shared.peers.link_to(&node)
        && let Err(error) = pass_on(&link, &subscribe, &out, asking).await
    {
        tracing::debug!(%node, %error, "the events of a control node ended");
    }
    // Whoever refuses is not asked in a busy loop.
    tokio::time::sleep(AGAIN).await;
    node
}

async fn pass_on(
    link: &Link,
    subscribe: &Subscribe,
    out: &mpsc::Sender<Event>,
    mut asking: Option<mpsc::Sender<()>>,
) -> Result<(), StreamError> {
    let Ok(mut stream) = link.open(EVENTS, Priority::Events).await else { return Ok(()) };
    stream.send(subscribe).await?;
    while let Some(event) = stream.recv::<Event>(MAX_EVENT).await? {
        // The first word says that nothing is missed from now on.
        asking.take();
        if !is_ready(&event) && out.send(event).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// The first event of a stream to another control node: a gap in which nothing is missing. Whoever
/// has it will see all that follows.
fn ready(me: &NodeId) -> Event {
    let body = EventBody::Gap { from: 1, to: 0 };
    Event { node: me.clone(), seq: 0, generation: Generation(0), time_ms: 0, body }
}

fn is_ready(event: &Event) -> bool {
    matches!(event.body, EventBody::Gap { from: 1, to: 0 })
}
