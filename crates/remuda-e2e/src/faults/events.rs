//! Short tasks, and subscribers that must hear of each of them, once and in order.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use remuda::client::{Client, EventMessage, dto::EventQuery};
use remuda_model::{Event, EventBody, NodeId, TaskId};
use tokio::{task::JoinHandle, time::timeout};

use crate::eventually;

/// Between two tasks.
const REST: Duration = Duration::from_millis(250);
/// Between two attempts to subscribe.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a subscriber listens before it looks whether it is over.
const LOOK: Duration = Duration::from_millis(500);

/// Tasks and subscribers at work.
#[derive(Debug)]
pub(super) struct Watch {
    stop: Arc<AtomicBool>,
    starter: JoinHandle<Vec<(NodeId, TaskId)>>,
    subscribers: Vec<JoinHandle<()>>,
    heard: BTreeMap<NodeId, Arc<Mutex<Heard>>>,
}

/// What a subscriber has heard of one worker.
#[derive(Debug)]
struct Heard {
    /// When it began to listen, in milliseconds since 1970.
    since_ms: u64,
    last: Option<u64>,
    n_events: u64,
    n_missing: u64,
    ends: BTreeMap<TaskId, u32>,
    /// What came out of order.
    wrong: Option<String>,
}

/// How many events came, and how many are missing, which the subscriber was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) heard: u64,
    pub(super) missing: u64,
}

impl Watch {
    /// Starts tasks on these workers, and one subscriber for each of them.
    pub(super) fn start(controls: &[Client], workers: &[NodeId], seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let heard: BTreeMap<NodeId, Arc<Mutex<Heard>>> =
            workers.iter().map(|node| (node.clone(), Arc::new(Heard::new().into()))).collect();
        let subscribers = heard.iter().zip(seed..).map(|((node, heard), seed)| {
            let (controls, node) = (controls.to_vec(), node.clone());
            let (heard, stop) = (heard.clone(), stop.clone());
            tokio::spawn(async move { subscribe(&controls, &node, &heard, &stop, seed).await })
        });
        let subscribers = subscribers.collect();
        let (controls, workers, stopped) = (controls.to_vec(), workers.to_vec(), stop.clone());
        let starter =
            tokio::spawn(async move { start_tasks(&controls, &workers, &stopped, seed).await });
        Self { stop, starter, subscribers, heard }
    }

    /// Ends them, once the ends of all tasks have been heard.
    ///
    /// # Panics
    ///
    /// When an event never comes, comes twice or out of order.
    pub(super) async fn stop(self) -> Count {
        self.stop.store(true, Ordering::Relaxed);
        let started = self.starter.await.expect("no panic");
        let unheard = async || {
            let is_unheard = |(node, task): &&(NodeId, TaskId)| {
                let heard = lock(&self.heard[node]);
                // Whoever was told that events are missing knows that this may be one of them.
                !heard.ends.contains_key(task) && heard.n_missing == 0
            };
            started.iter().filter(is_unheard).cloned().collect::<Vec<_>>()
        };
        eventually("tasks of whose end nobody heard", unheard, Vec::is_empty).await;
        let mut count = Count::default();
        for subscriber in self.subscribers {
            subscriber.abort();
        }
        for (node, heard) in &self.heard {
            let heard = lock(heard);
            assert_eq!(heard.wrong, None, "events of {node}");
            let twice: Vec<_> = heard.ends.iter().filter(|(_, times)| **times > 1).collect();
            assert!(twice.is_empty(), "ends of {node} that came twice: {twice:?}");
            count.heard += heard.n_events;
            count.missing += heard.n_missing;
        }
        count
    }
}

fn lock(heard: &Mutex<Heard>) -> std::sync::MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn start_tasks(
    controls: &[Client],
    workers: &[NodeId],
    stop: &AtomicBool,
    seed: u64,
) -> Vec<(NodeId, TaskId)> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut started = Vec::new();
    let what = crate::command(&["true"]);
    while !stop.load(Ordering::Relaxed) {
        if let (Some(control), Some(worker)) = (rng.choice(controls), rng.choice(workers))
            && let Ok(task) = control.exec_detached(worker, &what).await
        {
            started.push((worker.clone(), task.id));
        }
        tokio::time::sleep(REST).await;
    }
    started
}

async fn subscribe(
    controls: &[Client],
    node: &NodeId,
    heard: &Mutex<Heard>,
    stop: &AtomicBool,
    seed: u64,
) {
    let mut rng = fastrand::Rng::with_seed(seed);
    loop {
        let after = lock(heard).last.unwrap_or(0);
        let query =
            EventQuery { node: Some(node.clone()), after: Some(after), ..EventQuery::default() };
        let control = rng.choice(controls).expect("there are some");
        let Ok(mut stream) = control.events(&query, None).await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let mut silent = 0;
        // A control node that was cut off may have nothing to say; another one has.
        while silent < 6 {
            match timeout(LOOK, stream.next()).await {
                Ok(Ok(Some(EventMessage::Event(event)))) => lock(heard).event(&event),
                Ok(Ok(Some(EventMessage::Gap(_)))) => {}
                Ok(Ok(None) | Err(_)) => break,
                Err(_silence) => silent += 1,
            }
            if stop.load(Ordering::Relaxed) && lock(heard).wrong.is_some() {
                return;
            }
        }
    }
}

impl Heard {
    fn new() -> Self {
        Self {
            since_ms: remuda_runtime::wall_ms(),
            last: None,
            n_events: 0,
            n_missing: 0,
            ends: BTreeMap::new(),
            wrong: None,
        }
    }

    fn event(&mut self, event: &Event) {
        let last = self.last.unwrap_or(event.seq.saturating_sub(1));
        match &event.body {
            EventBody::Gap { from, to } => {
                if *from != last + 1 && self.last.is_some() {
                    self.wrong.get_or_insert(format!("{event:?} after {last}"));
                }
                // An owner that took the worker over before says so as well.
                if self.last.is_some() || event.time_ms >= self.since_ms {
                    self.n_missing += (to + 1).saturating_sub(*from);
                }
                self.last = Some(*to);
                return;
            }
            // The owner says it, under the number of the last event of the node that it knows.
            EventBody::NodeStatus { .. } if event.seq <= last => return,
            EventBody::TaskEnded { task, .. } => *self.ends.entry(task.clone()).or_default() += 1,
            _ => {}
        }
        if event.seq != last + 1 {
            self.wrong.get_or_insert(format!("{event:?} after {last}"));
        }
        self.n_events += 1;
        self.last = Some(event.seq);
    }
}
