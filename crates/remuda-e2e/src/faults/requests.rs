//! Requests to workers while something goes wrong: each leaves a line behind, so that one can count
//! how often it was done.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use remuda::client::Client;
use remuda_model::NodeId;
use serde_json::json;
use tokio::task::JoinHandle;

/// How long a worker may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two requests of one client.
const REST: Duration = Duration::from_millis(100);
/// Clients at the same time.
const CLIENTS: u64 = 2;

/// What a client learned of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Answered,
    NotDone,
    Unknown,
}

/// Clients that send requests.
#[derive(Debug)]
pub(super) struct Requests {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<BTreeMap<String, Outcome>>>,
    file: PathBuf,
}

/// How many requests had which outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) answered: u64,
    pub(super) unknown: u64,
    pub(super) not_done: u64,
}

impl Requests {
    /// Starts clients that ask these workers by way of these control nodes.
    pub(super) fn start(controls: &[Client], workers: &[NodeId], file: &Path, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = (0..CLIENTS).map(|number| {
            let rng = fastrand::Rng::with_seed(seed.wrapping_add(number));
            let (controls, workers) = (controls.to_vec(), workers.to_vec());
            let (stop, file) = (stop.clone(), file.to_owned());
            tokio::spawn(async move { drive(&controls, &workers, &file, number, rng, &stop).await })
        });
        Self { clients: clients.collect(), stop, file: file.to_owned() }
    }

    /// Ends them; each request was done as often as its client may think.
    ///
    /// # Panics
    ///
    /// When one was done otherwise.
    pub(super) async fn stop(self) -> Count {
        self.stop.store(true, Ordering::Relaxed);
        let mut count = Count::default();
        let mut outcomes = BTreeMap::new();
        for client in self.clients {
            outcomes.extend(client.await.expect("no panic"));
        }
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        for (name, outcome) in outcomes {
            let times = text.lines().filter(|line| **line == name).count();
            let allowed = match outcome {
                Outcome::Answered => 1..=1,
                Outcome::NotDone => 0..=0,
                Outcome::Unknown => 0..=1,
            };
            assert!(
                allowed.contains(&times),
                "request {name}: {outcome:?}, and done {times} times"
            );
            match outcome {
                Outcome::Answered => count.answered += 1,
                Outcome::NotDone => count.not_done += 1,
                Outcome::Unknown => count.unknown += 1,
            }
        }
        count
    }
}

async fn drive(
    controls: &[Client],
    workers: &[NodeId],
    file: &Path,
    client: u64,
    mut rng: fastrand::Rng,
    stop: &AtomicBool,
) -> BTreeMap<String, Outcome> {
    let class = "exec".parse().expect("a class");
    let mut outcomes = BTreeMap::new();
    while !stop.load(Ordering::Relaxed) {
        let (Some(control), Some(worker)) = (rng.choice(controls), rng.choice(workers)) else {
            break;
        };
        let name = format!("{client}-{}", outcomes.len());
        let script = format!("echo {name} >> {}", file.display());
        let request = json!({"argv": ["sh", "-c", script]});
        let outcome = match control.request(worker, &class, request, Some(PATIENCE)).await {
            Ok(_) => Outcome::Answered,
            Err(failure) if failure.kind.nothing_was_done() => Outcome::NotDone,
            Err(_) => Outcome::Unknown,
        };
        outcomes.insert(name, outcome);
        tokio::time::sleep(REST).await;
    }
    outcomes
}
