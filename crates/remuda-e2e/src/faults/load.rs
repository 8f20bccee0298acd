//! Clients that change and read the control state while something goes wrong, and remember it all.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use remuda::client::{Client, ClientConfig};
use remuda_api::dto::{Scope, Token};
use remuda_model::{ErrorKind, Failure, TokenId};
use tokio::task::JoinHandle;

use crate::linear::{Element, Op, Operation, Seen};

/// How long a client waits for an answer before the outcome counts as unknown.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two attempts at a control node that cannot be reached.
const PAUSE: Duration = Duration::from_millis(20);
/// After so many operations on each slot, clients go on with others: short histories are quickly
/// checked.
const PER_SLOT: u64 = 2000;
/// How much clients let grow a slot before they rather take away.
const FULL: usize = 4;

/// How many clients do how much.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Clients at the same time.
    pub clients: u32,
    /// Slots that they share at a time.
    pub slots: u32,
    /// What each rests after an operation.
    pub rest: Duration,
    /// How fresh their reads are.
    pub reads: Reads,
}

/// How fresh reads are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// As the API promises.
    Fresh,
    /// What one control node knows by itself, while changes go to the others; taken for fresh ones,
    /// which they are not.
    StaleAt(usize),
}

/// What clients remember of each slot.
pub(super) type Histories = BTreeMap<u32, Vec<Operation<Op, Seen>>>;

/// What happened.
#[derive(Clone, Debug, Default)]
pub struct Story {
    /// What the clients saw, slot by slot.
    pub(super) histories: Histories,
    /// Changes that were acknowledged.
    pub acked: u64,
    /// Changes of unknown outcome.
    pub unknown: u64,
    /// Changes that were refused, or not sent, and say so.
    pub refused: u64,
    /// Reads that were answered.
    pub reads: u64,
    /// The longest time between two acknowledged changes of any clients.
    pub outage: Duration,
}

/// The clients at work.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Story>>,
}

#[derive(Debug)]
struct Shared {
    /// What the names of this run's tokens begin with.
    run: String,
    started: Instant,
    stop: AtomicBool,
    n_elements: AtomicU32,
    n_clients: AtomicU32,
    n_operations: AtomicU64,
    /// The last acknowledged change, and the longest pause between two, in nanoseconds.
    pulse: Mutex<(u64, u64)>,
    n_acked: AtomicU64,
    /// The tokens that are known to exist.
    known: Mutex<BTreeMap<u32, BTreeMap<Element, TokenId>>>,
    controls: Vec<Client>,
    reads: Vec<Client>,
    pace: Pace,
}

impl Load {
    /// Starts clients of the API at these addresses. `run` tells its tokens from others.
    ///
    /// # Panics
    ///
    /// When an address is none.
    pub fn start(run: &str, addresses: &[String], token: &str, pace: Pace, seed: u64) -> Self {
        let mut controls: Vec<Client> = addresses.iter().map(|at| client(at, token)).collect();
        let reads = match pace.reads {
            Reads::Fresh => controls.clone(),
            Reads::StaleAt(at) => vec![controls.remove(at).stale()],
        };
        let shared = Arc::new(Shared {
            run: run.to_owned(),
            started: Instant::now(),
            stop: AtomicBool::new(false),
            n_elements: AtomicU32::new(0),
            n_clients: AtomicU32::new(0),
            n_operations: AtomicU64::new(0),
            pulse: Mutex::default(),
            n_acked: AtomicU64::new(0),
            known: Mutex::default(),
            controls,
            reads,
            pace,
        });
        let drive = |number| tokio::spawn(drive(shared.clone(), seed.wrapping_add(number)));
        let clients = (0..u64::from(pace.clients)).map(drive).collect();
        Self { shared, clients }
    }

    /// How many changes have been acknowledged so far.
    pub fn acked(&self) -> u64 {
        self.shared.n_acked.load(Ordering::Relaxed)
    }

    /// How many operations have been asked so far.
    pub fn operations(&self) -> u64 {
        self.shared.n_operations.load(Ordering::Relaxed)
    }

    /// Ends the clients; every control node is then asked once more for everything.
    ///
    /// # Panics
    ///
    /// When a control node does not answer.
    pub async fn stop(self) -> Story {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut story = Story::default();
        for client in self.clients {
            story.join(client.await.expect("no panic"));
        }
        let shared = &self.shared;
        let slots: Vec<u32> = story.histories.keys().copied().collect();
        for control in &shared.controls {
            let number = shared.n_clients.fetch_add(1, Ordering::Relaxed);
            let call = shared.now();
            let read = async || control.tokens().await;
            let tokens = crate::eventually("a last read", read, Result::is_ok).await;
            let end = shared.now();
            let found = shared.sort(tokens.expect("read"));
            for slot in &slots {
                let seen = found.get(slot).map(|known| known.keys().copied().collect());
                let answer = Some((end, Seen::All(seen.unwrap_or_default())));
                story.note(*slot, Operation { client: number, call, op: Op::Read, answer });
            }
        }
        story.outage = shared.outage();
        story
    }
}

/// A client of one control node.
pub(super) fn client(address: &str, token: &str) -> Client {
    let config = ClientConfig { timeout: PATIENCE, ..ClientConfig::new(address, token) };
    Client::new(config).expect("an address")
}

/// The name of a token: run, slot, element.
fn name(run: &str, slot: u32, element: Element) -> String {
    format!("{run}/{slot}/{element}")
}

impl Shared {
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Where the next operation goes.
    fn slot(&self, rng: &mut fastrand::Rng) -> u32 {
        let slots = self.pace.slots;
        let before = self.n_operations.fetch_add(1, Ordering::Relaxed);
        let turn = before / (PER_SLOT * u64::from(slots));
        u32::try_from(turn).unwrap_or(0) * slots + rng.u32(..slots)
    }

    fn outage(&self) -> Duration {
        let pulse = self.pulse.lock().unwrap_or_else(PoisonError::into_inner);
        Duration::from_nanos(pulse.1)
    }

    fn acknowledged(&self) {
        let now = self.now();
        let mut pulse = self.pulse.lock().unwrap_or_else(PoisonError::into_inner);
        *pulse = (now, pulse.1.max(now.saturating_sub(pulse.0)));
        self.n_acked.fetch_add(1, Ordering::Relaxed);
    }

    /// The tokens of this run, by slot.
    fn sort(&self, tokens: Vec<Token>) -> BTreeMap<u32, BTreeMap<Element, TokenId>> {
        let mut slots: BTreeMap<u32, BTreeMap<Element, TokenId>> = BTreeMap::new();
        for token in tokens {
            let rest = token.name.strip_prefix(&self.run).and_then(|rest| rest.strip_prefix('/'));
            if let Some((slot, element)) = rest.and_then(|rest| rest.split_once('/'))
                && let (Ok(slot), Ok(element)) = (slot.parse(), element.parse())
            {
                slots.entry(slot).or_default().insert(element, token.id);
            }
        }
        slots
    }

    fn change_known(&self, slot: u32, change: impl FnOnce(&mut BTreeMap<Element, TokenId>)) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        change(known.entry(slot).or_default());
    }

    fn pick_known(
        &self,
        slot: u32,
        rng: &mut fastrand::Rng,
    ) -> (usize, Option<(Element, TokenId)>) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(slot) = known.get(&slot) else { return (0, None) };
        let chosen = rng.choice(slot.iter()).map(|(element, id)| (*element, id.clone()));
        (slot.len(), chosen)
    }
}

/// One client, until it is told to stop.
async fn drive(shared: Arc<Shared>, seed: u64) -> Story {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut story = Story::default();
    let mut number = shared.n_clients.fetch_add(1, Ordering::Relaxed);
    while !shared.stop.load(Ordering::Relaxed) {
        let slot = shared.slot(&mut rng);
        let at = rng.usize(..shared.controls.len());
        let (size, chosen) = shared.pick_known(slot, &mut rng);
        let dice = rng.u32(..10);
        let call = shared.now();
        let (op, result) = match chosen {
            _ if dice < 4 => (Op::Read, read(&shared, at, slot).await),
            Some((element, id)) if size >= FULL || dice >= 8 => {
                (Op::Remove(element), remove(&shared, at, slot, element, &id).await)
            }
            _ => {
                let element = shared.n_elements.fetch_add(1, Ordering::Relaxed);
                (Op::Add(element), add(&shared, at, slot, element).await)
            }
        };
        let is_change = op != Op::Read;
        match result {
            Ok(seen) => {
                if is_change {
                    story.acked += 1;
                    shared.acknowledged();
                } else {
                    story.reads += 1;
                }
                let answer = Some((shared.now(), seen));
                story.note(slot, Operation { client: number, call, op, answer });
            }
            Err(failure) if failure.kind.nothing_was_done() => {
                story.refused += u64::from(is_change);
                tokio::time::sleep(PAUSE).await;
            }
            Err(_) => {
                story.unknown += u64::from(is_change);
                story.note(slot, Operation { client: number, call, op, answer: None });
                number = shared.n_clients.fetch_add(1, Ordering::Relaxed);
            }
        }
        tokio::time::sleep(shared.pace.rest).await;
    }
    story
}

async fn read(shared: &Shared, at: usize, slot: u32) -> Result<Seen, Failure> {
    let found = shared
        .sort(shared.reads[at % shared.reads.len()].tokens().await?)
        .remove(&slot)
        .unwrap_or_default();
    let seen: BTreeSet<Element> = found.keys().copied().collect();
    shared.change_known(slot, |known| *known = found);
    Ok(Seen::All(seen))
}

async fn add(shared: &Shared, at: usize, slot: u32, element: Element) -> Result<Seen, Failure> {
    let name = name(&shared.run, slot, element);
    let made = shared.controls[at].create_token(&name, Scope::Read, None).await?;
    shared.change_known(slot, |known| drop(known.insert(element, made.token.id)));
    Ok(Seen::Done)
}

async fn remove(
    shared: &Shared,
    at: usize,
    slot: u32,
    element: Element,
    id: &TokenId,
) -> Result<Seen, Failure> {
    let removed = shared.controls[at].revoke_token(id).await;
    let seen = match removed {
        Ok(()) => Seen::Done,
        Err(failure) if failure.kind == ErrorKind::NotFound => Seen::Missing,
        Err(failure) => return Err(failure),
    };
    shared.change_known(slot, |known| drop(known.remove(&element)));
    Ok(seen)
}

impl Story {
    fn note(&mut self, slot: u32, operation: Operation<Op, Seen>) {
        self.histories.entry(slot).or_default().push(operation);
    }

    fn join(&mut self, other: Self) {
        for (slot, history) in other.histories {
            self.histories.entry(slot).or_default().extend(history);
        }
        self.acked += other.acked;
        self.unknown += other.unknown;
        self.refused += other.refused;
        self.reads += other.reads;
    }
}
