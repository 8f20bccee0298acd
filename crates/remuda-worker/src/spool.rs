//! Keeps what the node reports until its owner has acknowledged it.
//!
//! Events are numbered and written in groups, away from whoever emits them, and handed to a session
//! only once they are on disk.

pub(crate) mod core;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use remuda_model::{Chain, Event, EventBody, Generation, NodeId, TaskId};
use remuda_runtime::{Backoff, CancellationToken, wall_ms};
use remuda_wire::{DecodeError, decode, encode};
use tokio::sync::{Notify, mpsc, watch};

use self::core::{Bounds, Core, Effect};
use crate::{
    store::{Change, Loaded, Store, StoreError, Table},
    told,
};

/// What is kept for an owner that does not come: enough for hours of ordinary life.
const BOUNDS: Bounds = Bounds { events: 10_000, bytes: 16 << 20 };
/// Events that wait for the disk; a full queue holds back the emitters.
const QUEUE: usize = 1024;
/// Events that are written together.
const GROUP: usize = 256;
/// Where the acknowledged number is kept.
const KEY: &str = "acknowledged";

/// The events, and what the disk does not know of them yet.
#[derive(Debug)]
struct Shelf {
    core: Core,
    unwritten: Vec<Effect>,
}

/// An event of a task that is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// Its start.
    Start(TaskId),
    /// Its end.
    End(TaskId),
}

impl Written {
    pub(crate) fn of(body: &EventBody) -> Option<Self> {
        match body {
            EventBody::TaskStarted { task, .. } => Some(Self::Start(task.clone())),
            EventBody::TaskEnded { task, .. } => Some(Self::End(task.clone())),
            _ => None,
        }
    }
}

/// Events of tasks that have reached the disk, for whoever keeps the records of the tasks.
#[derive(Debug, Default)]
struct News {
    events: Mutex<Vec<Written>>,
    more: Notify,
}

/// A handle to the spool; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Spool {
    shelf: Arc<Mutex<Shelf>>,
    events: mpsc::Sender<EventBody>,
    durable: watch::Receiver<u64>,
    acknowledged: Arc<Notify>,
    news: Arc<News>,
}

/// What writes the events down.
#[derive(Debug)]
pub(crate) struct Actor {
    shelf: Arc<Mutex<Shelf>>,
    events: mpsc::Receiver<EventBody>,
    durable: watch::Sender<u64>,
    acknowledged: Arc<Notify>,
    news: Arc<News>,
    store: Store,
}

/// Makes a spool that goes on where the last boot stopped.
pub(crate) fn open(
    node: NodeId,
    generation: Generation,
    loaded: &Loaded,
    store: Store,
) -> Result<(Spool, Actor), DecodeError> {
    let acknowledged =
        loaded.meta(KEY).and_then(|bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?)));
    let read = |(_, bytes): &(Vec<u8>, Vec<u8>)| {
        let event: Event = decode(bytes)?;
        let size = core::size(&event);
        Ok((event, size))
    };
    let events = loaded.events.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let core = Core::new(node, generation, BOUNDS, acknowledged.unwrap_or(0), events);
    let (durable, seen) = watch::channel(core.durable());
    let shelf = Arc::new(Mutex::new(Shelf { core, unwritten: Vec::new() }));
    let (events, inbox) = mpsc::channel(QUEUE);
    let acknowledged = Arc::new(Notify::new());
    let news = Arc::new(News::default());
    let spool = Spool {
        shelf: shelf.clone(),
        events,
        durable: seen,
        acknowledged: acknowledged.clone(),
        news: news.clone(),
    };
    let actor = Actor { shelf, events: inbox, durable, acknowledged, news, store };
    Ok((spool, actor))
}

fn lock(shelf: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    // No code that holds the lock leaves the events half changed.
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

impl News {
    fn lock(&self) -> MutexGuard<'_, Vec<Written>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spool {
    /// Where classes put their events.
    pub(crate) fn sender(&self) -> mpsc::Sender<EventBody> {
        self.events.clone()
    }

    /// Reports an event of the node itself; waits while the spool is busy.
    pub(crate) async fn emit(&self, body: EventBody) {
        // The spool ends only when the agent does.
        drop(self.events.send(body).await);
    }

    /// Waits for starts and ends of tasks that have reached the disk as events; in order.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn written(&self) -> Vec<Written> {
        loop {
            let events = std::mem::take(&mut *self.news.lock());
            if !events.is_empty() {
                return events;
            }
            self.news.more.notified().await;
        }
    }

    /// The number of the last event that is on disk.
    pub(crate) fn durable(&self) -> watch::Receiver<u64> {
        self.durable.clone()
    }

    /// The number of the first event that is kept, or of the next one.
    pub(crate) fn first(&self) -> u64 {
        lock(&self.shelf).core.first()
    }

    /// The number of the last event that was made; 0 before the first.
    pub(crate) fn last(&self) -> u64 {
        lock(&self.shelf).core.last()
    }

    /// The number of the last event that the owner has acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        lock(&self.shelf).core.acknowledged()
    }

    /// Durable events with a higher number, at most so many.
    pub(crate) fn after(&self, seq: u64, max: usize, max_bytes: usize) -> Vec<Event> {
        lock(&self.shelf).core.after(seq, max, max_bytes)
    }

    /// The owner has everything up to this number. The disk follows later: after a crash some
    /// events are sent again, which owners recognise by their numbers.
    pub(crate) fn acknowledge(&self, upto: u64) {
        let mut shelf = lock(&self.shelf);
        let effects = shelf.core.acknowledge(upto);
        if !effects.is_empty() {
            shelf.unwritten.extend(effects);
            self.acknowledged.notify_one();
        }
    }
}

impl Actor {
    /// Writes events until `stop` is cancelled, and then those that wait already.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut last = false;
        while !last {
            let mut bodies = Vec::new();
            tokio::select! {
                biased;
                _ = self.events.recv_many(&mut bodies, GROUP) => (),
                () = self.acknowledged.notified() => (),
                () = stop.cancelled() => last = true,
            }
            while bodies.len() < GROUP
                && let Ok(body) = self.events.try_recv()
            {
                bodies.push(body);
            }
            let written: Vec<_> = bodies.iter().filter_map(Written::of).collect();
            self.number(bodies);
            if !self.sync(&stop).await {
                return;
            }
            if !written.is_empty() {
                self.news.lock().extend(written);
                self.news.more.notify_one();
            }
        }
    }

    fn number(&self, bodies: Vec<EventBody>) {
        let now = wall_ms();
        let mut shelf = lock(&self.shelf);
        for body in bodies {
            let effects = shelf.core.push(body, now);
            shelf.unwritten.extend(effects);
        }
    }

    /// Brings the disk up to date. While it refuses, emitters are held back.
    async fn sync(&self, stop: &CancellationToken) -> bool {
        let (effects, last, acknowledged) = {
            let mut shelf = lock(&self.shelf);
            let effects = std::mem::take(&mut shelf.unwritten);
            (effects, shelf.core.last(), shelf.core.acknowledged())
        };
        if effects.is_empty() {
            return true;
        }
        let mut changes: Vec<_> = effects.into_iter().flat_map(changes_of).collect();
        changes.push(Change::meta(KEY, acknowledged.to_be_bytes()));
        let mut backoff = Backoff::for_links(fastrand::u64(..));
        loop {
            match self.store.write(changes.clone()).await {
                Ok(()) => break,
                Err(StoreError::Closed) => return false,
                Err(error) => tracing::error!(error = %Chain(&error), "cannot keep events"),
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.next_delay()) => (),
                () = stop.cancelled() => return false,
            }
        }
        lock(&self.shelf).core.written(last);
        self.durable.send_replace(last);
        true
    }
}

fn changes_of(effect: Effect) -> impl Iterator<Item = Change> {
    let (change, mark) = match effect {
        Effect::Put(event) => {
            let (key, value) = (event.seq.to_be_bytes().to_vec(), encode(&event).to_vec());
            (Change::Put { table: Table::Events, key, value }, told::mark(&event.body))
        }
        Effect::Delete(seq) => {
            (Change::Delete { table: Table::Events, key: seq.to_be_bytes().to_vec() }, None)
        }
    };
    [change].into_iter().chain(mark)
}

#[cfg(test)]
mod tests;
