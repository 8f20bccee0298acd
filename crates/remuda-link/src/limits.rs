//! What a peer may cost, above all before it has proved itself.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use remuda_model::{NodeId, Role};
use tokio::time::Instant;

/// Bounds that protect a listener from strangers, and a dialler from silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections that have not authenticated yet, for each source: an IPv4 address or an IPv6
    /// network of 64 bits.
    pub unauthenticated_per_source: usize,
    /// Connections that have not authenticated yet, in all.
    pub unauthenticated: usize,
    /// How long a connection may take to authenticate.
    pub authenticate: Duration,
    /// How long dialling may take in all, from the name to the open link.
    pub dial: Duration,
    /// Failed proofs for each source and minute, before it has to wait.
    pub failures_per_minute: u32,
    /// How long every refusal is held back.
    pub refusal_delay: Duration,
    /// How long a link lives whose peer may only join.
    pub join: Duration,
    /// Links that one node may have dialled at a time.
    pub links_per_node: usize,
    /// Links that clients with one token may have dialled at a time.
    pub links_per_token: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            unauthenticated_per_source: 64,
            unauthenticated: 1_024,
            authenticate: Duration::from_secs(5),
            dial: Duration::from_secs(10),
            failures_per_minute: 5,
            refusal_delay: Duration::from_millis(200),
            join: Duration::from_secs(30),
            links_per_node: 64,
            links_per_token: 1_024,
        }
    }
}

const MINUTE: Duration = Duration::from_mins(1);
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// Sources whose failures are remembered.
const MAX_SOURCES: usize = 4_096;

/// Where a connection comes from, as far as limits go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    V4([u8; 4]),
    V6([u8; 8]),
    /// The same process.
    Memory,
    /// Behind a proxy, with all others there.
    Hidden,
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let network = address.octets();
                Self::V6(std::array::from_fn(|at| network[at]))
            }
        }
    }
}

/// Counts the connections that have not authenticated yet.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    counts: Arc<Mutex<Counts>>,
    limits: Limits,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_source: BTreeMap<Source, usize>,
}

impl Gate {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { counts: Arc::default(), limits }
    }

    /// A place for one more connection, given back when dropped; `None` when all are taken.
    pub(crate) fn enter(&self, source: Source) -> Option<Place> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let here = counts.by_source.get(&source).copied().unwrap_or(0);
        if counts.total >= self.limits.unauthenticated
            || here >= self.limits.unauthenticated_per_source
        {
            return None;
        }
        counts.total += 1;
        counts.by_source.insert(source, here + 1);
        Some(Place { counts: Arc::clone(&self.counts), source })
    }

    /// Whether half of all places are taken.
    pub(crate) fn is_busy(&self) -> bool {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.total * 2 >= self.limits.unauthenticated
    }
}

/// The place of one connection that has not authenticated yet.
#[derive(Debug)]
pub(crate) struct Place {
    counts: Arc<Mutex<Counts>>,
    source: Source,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.total -= 1;
        if let Some(here) = counts.by_source.get_mut(&self.source) {
            *here -= 1;
            if *here == 0 {
                counts.by_source.remove(&self.source);
            }
        }
    }
}

/// Tells whether a link is still open.
type IsOpen = Box<dyn Fn() -> bool + Send>;

/// Counts the links of each peer. It does not keep them open.
pub(crate) struct PeerLinks {
    by_peer: BTreeMap<(Role, NodeId), Vec<IsOpen>>,
    /// With so many peers, those that have gone are forgotten.
    tidy_at: usize,
}

/// Peers that are remembered before any is forgotten.
const TIDY_AT: usize = 64;

impl PeerLinks {
    pub(crate) fn new() -> Self {
        Self { by_peer: BTreeMap::new(), tidy_at: TIDY_AT }
    }

    /// Counts one more link, unless its peer has `max` already.
    pub(crate) fn enter(&mut self, role: Role, node: NodeId, link: IsOpen, max: usize) -> bool {
        if self.by_peer.len() >= self.tidy_at {
            self.by_peer.retain(|_, links| links.iter().any(|is_open| is_open()));
            self.tidy_at = TIDY_AT.max(self.by_peer.len() * 2);
        }
        let links = self.by_peer.entry((role, node)).or_default();
        if links.len() >= max {
            links.retain(|is_open| is_open());
        }
        let has_room = links.len() < max;
        if has_room {
            links.push(link);
        }
        has_room
    }
}

/// Counts failed proofs and makes their source wait: after some in a minute one second, then twice
/// as long each time, up to a minute.
#[derive(Debug)]
pub(crate) struct Failures {
    allowed: u32,
    by_source: BTreeMap<Source, Record>,
}

#[derive(Debug)]
struct Record {
    since: Instant,
    count: u32,
    wait: Duration,
    until: Instant,
}

impl Failures {
    pub(crate) fn new(allowed: u32) -> Self {
        Self { allowed, by_source: BTreeMap::new() }
    }

    /// How long the source has to wait before it may try again.
    pub(crate) fn must_wait(&self, now: Instant, source: Source) -> Option<Duration> {
        let until = self.by_source.get(&source)?.until;
        let left = until.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    pub(crate) fn failed(&mut self, now: Instant, source: Source) {
        self.forget(now);
        let allowed = self.allowed;
        let record = self.by_source.entry(source).or_insert(Record {
            since: now,
            count: 0,
            wait: Duration::ZERO,
            until: now,
        });
        record.count = record.count.saturating_add(1);
        if record.count >= allowed {
            record.wait = (record.wait * 2).clamp(FIRST_WAIT, LONGEST_WAIT);
            record.until = now + record.wait;
        }
    }

    /// Drops what is a minute old, and the oldest when there are too many.
    fn forget(&mut self, now: Instant) {
        self.by_source.retain(|_, record| {
            now.saturating_duration_since(record.since.max(record.until)) < MINUTE
        });
        if self.by_source.len() >= MAX_SOURCES {
            let oldest = self.by_source.iter().min_by_key(|(_, record)| record.until);
            if let Some(source) = oldest.map(|(source, _)| *source) {
                self.by_source.remove(&source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        text.parse::<IpAddr>().expect("an address").into()
    }

    #[test]
    fn a_v6_network_counts_as_one_source() {
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:1"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:10.0.0.1"), source("10.0.0.1"));
    }

    #[test]
    fn places_are_limited_and_given_back() {
        let limits =
            Limits { unauthenticated: 3, unauthenticated_per_source: 2, ..Limits::default() };
        let gate = Gate::new(limits);
        let (a, b) = (source("10.0.0.1"), source("10.0.0.2"));
        let first = gate.enter(a).expect("free");
        let second = gate.enter(a).expect("free");
        assert!(gate.enter(a).is_none(), "two for each source");
        let third = gate.enter(b).expect("free");
        assert!(gate.enter(b).is_none(), "three in all");
        drop(first);
        let fourth = gate.enter(b).expect("free again");
        drop((second, third, fourth));
        assert!(gate.counts.lock().expect("not poisoned").by_source.is_empty());
    }

    #[test]
    fn links_of_one_peer_are_limited_while_they_are_open() {
        let mut links = PeerLinks::new();
        let open = Arc::new(Mutex::new(true));
        let mut enter = |name: &str, role| {
            let open = Arc::clone(&open);
            let is_open = move || *open.lock().expect("not poisoned");
            links.enter(role, name.parse().expect("a name"), Box::new(is_open), 2)
        };
        assert!(enter("w-1", Role::Worker) && enter("w-1", Role::Worker));
        assert!(!enter("w-1", Role::Worker));
        assert!(enter("w-2", Role::Worker) && enter("w-1", Role::Control));
        *open.lock().expect("not poisoned") = false;
        assert!(enter("w-1", Role::Worker), "those before have ended");
    }

    #[test]
    fn peers_that_have_gone_are_forgotten() {
        let mut links = PeerLinks::new();
        for number in 0..1000 {
            let name = format!("w-{number}").parse().expect("a name");
            assert!(links.enter(Role::Worker, name, Box::new(|| false), 1));
        }
        assert!(links.by_peer.len() <= TIDY_AT);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_cost_ever_more_time() {
        let mut failures = Failures::new(5);
        let (a, b) = (source("10.0.0.1"), source("10.0.0.2"));
        let mut now = Instant::now();
        for _ in 0..4 {
            failures.failed(now, a);
            assert_eq!(failures.must_wait(now, a), None);
        }
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            failures.failed(now, a);
            let wait = Duration::from_secs(seconds);
            assert_eq!(failures.must_wait(now, a), Some(wait));
            assert_eq!(failures.must_wait(now, b), None);
            now += wait;
            assert_eq!(failures.must_wait(now, a), None);
        }
        now += MINUTE;
        failures.failed(now, a);
        assert_eq!(failures.must_wait(now, a), None, "forgotten after a quiet minute");
    }

    #[tokio::test(start_paused = true)]
    async fn the_memory_of_failures_is_bounded() {
        let mut failures = Failures::new(5);
        let now = Instant::now();
        for number in 0..10_000_u32 {
            failures.failed(now, Source::V4(number.to_be_bytes()));
        }
        assert!(failures.by_source.len() <= MAX_SOURCES);
    }
}
