//! Event streams that are taken up again wherever they end, and whose numbers must have no silent
//! hole.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use remuda::client::EventMessage;
use remuda_api::dto::EventQuery;
use remuda_e2e::{Lab, command, eventually, id, within};
use remuda_model::{EventBody, TaskId};
use tokio::task::JoinHandle;

use crate::load::Doors;

/// Between two tasks, each of which is two events.
const PACE: Duration = Duration::from_millis(300);

/// What one node has reported, as far as it was followed.
#[derive(Debug, Default)]
struct Seen {
    /// The last number.
    last: Option<u64>,
    n_events: u64,
    n_gaps: u64,
    n_streams: u64,
    ended: BTreeSet<TaskId>,
    /// What was wrong.
    wrong: Vec<String>,
}

impl Seen {
    fn take(&mut self, message: EventMessage) {
        // A gap of the stream ends it; what is missing then comes with the next one.
        let EventMessage::Event(event) = message else { return };
        let next = self.last.map(|last| last + 1);
        let (from, to) = match &event.body {
            EventBody::Gap { from, to } => {
                self.n_gaps += 1;
                (*from, *to)
            }
            // Its owner says it, under the last number of the node.
            EventBody::NodeStatus { .. } if Some(event.seq) <= self.last => return,
            _ => {
                self.n_events += 1;
                (event.seq, event.seq)
            }
        };
        if next.is_some_and(|next| from > next) {
            self.wrong.push(format!("{from} after {:?}: {:?}", self.last, event.body));
        }
        if let EventBody::TaskEnded { task, .. } = event.body {
            self.ended.insert(task);
        }
        self.last = self.last.max(Some(to));
    }
}

/// One node and what it reports.
struct Follower {
    node: String,
    seen: Arc<Mutex<Seen>>,
    /// Tasks whose start was acknowledged.
    started: Arc<Mutex<BTreeSet<TaskId>>>,
    working: JoinHandle<()>,
    following: JoinHandle<()>,
}

/// Streams of the events of nodes, on which tasks come and go.
pub(crate) struct Followers {
    no_more_tasks: Arc<AtomicBool>,
    followers: Vec<Follower>,
}

/// For ever: whoever has seen enough ends it.
async fn follow(node: String, mut doors: Doors, seen: Arc<Mutex<Seen>>) {
    let query = EventQuery { node: Some(id(&node)), after: Some(0), ..EventQuery::default() };
    let mut last_id: Option<String> = None;
    loop {
        let Some(client) = doors.next() else {
            tokio::time::sleep(PACE).await;
            continue;
        };
        let Ok(mut stream) = client.events(&query, last_id.as_deref()).await else {
            tokio::time::sleep(PACE).await;
            continue;
        };
        seen.lock().expect("no panic").n_streams += 1;
        while let Ok(Some(message)) = stream.next().await {
            seen.lock().expect("no panic").take(message);
        }
        last_id = stream.last_id().map(ToOwned::to_owned).or(last_id);
    }
}

async fn come_and_go(
    node: String,
    mut doors: Doors,
    started: Arc<Mutex<BTreeSet<TaskId>>>,
    stop: Arc<AtomicBool>,
) {
    while !stop.load(Ordering::Relaxed) {
        if let Some(client) = doors.next()
            && let Ok(record) = client.exec_detached(&id(&node), &command(&["true"])).await
        {
            started.lock().expect("no panic").insert(record.id);
        }
        tokio::time::sleep(PACE).await;
    }
}

impl Followers {
    /// Follows the events of each node.
    pub(crate) fn start(lab: &Lab, controls: &[&str], nodes: &[&str]) -> Self {
        let (doors, no_more_tasks) = (Doors::of(lab, controls), Arc::default());
        let follower = |node: &&str| {
            let node = (*node).to_owned();
            let (seen, started) = (Arc::default(), Arc::default());
            let following = follow(node.clone(), doors.clone(), Arc::clone(&seen));
            let stop = Arc::clone(&no_more_tasks);
            let working = come_and_go(node.clone(), doors.clone(), Arc::clone(&started), stop);
            let (working, following) = (tokio::spawn(working), tokio::spawn(following));
            Follower { node, seen, started, working, following }
        };
        let followers = nodes.iter().map(follower).collect();
        Self { no_more_tasks, followers }
    }

    /// Waits until the end of every task that was started has been seen, or was called missing.
    pub(crate) async fn finish(self) {
        self.no_more_tasks.store(true, Ordering::Relaxed);
        for Follower { node, seen, started, working, following } in self.followers {
            within("the last task", working).await.expect("no panic");
            let started = std::mem::take(&mut *started.lock().expect("no panic"));
            let missing = async || {
                let seen = seen.lock().expect("no panic");
                // Tasks whose start nobody acknowledged may be among the events too.
                if seen.n_gaps > 0 { 0 } else { started.difference(&seen.ended).count() }
            };
            eventually(&format!("the events of {node}"), missing, |missing| *missing == 0).await;
            following.abort();
            let seen = seen.lock().expect("no panic");
            assert!(seen.wrong.is_empty(), "events of {node}: {:#?}", seen.wrong);
            assert!(
                seen.n_events > 0 && seen.n_streams > 0 && !started.is_empty(),
                "{node}: {seen:?}"
            );
        }
    }
}
