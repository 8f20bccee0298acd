//! Asks every source, and puts what they say into one list.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use remuda_model::{Chain, ClusterId, JoinUrl, LinkUrl};
use remuda_runtime::wall_ms;

use crate::{
    dns::{Resolver, Rules},
    lan::{Key, Lan, Neighbour},
    tracker::{self, Told, TrackerUrl},
};

/// Most addresses that are proposed at a time.
pub const MAX_CANDIDATES: usize = 1024;
/// Most addresses that those without the join secret propose at a time: a round of attempts shall end
/// before long, whoever lies.
const MAX_UNSEALED: usize = 32;
/// Between two looks, whatever is heard.
const PAUSE: Duration = Duration::from_millis(500);
/// How long the first neighbour on the subnet is waited for.
const NEIGHBOURS: Duration = Duration::from_secs(1);

/// Where a cluster is looked for.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// What an operator has given.
    pub join: Vec<JoinUrl>,
    /// The name server to ask instead of those of the system.
    pub name_server: Option<SocketAddr>,
    /// Bulletin boards to read.
    pub trackers: Vec<TrackerUrl>,
    /// The cluster that is looked for, once it is known.
    pub cluster: Option<ClusterId>,
    /// Knows the announcements of that cluster by their seal.
    pub key: Option<Key>,
    /// Whether others may propose transports without encryption.
    pub plaintext: bool,
    /// Whether the system, or a proxy, resolves the names of hosts where HTTP is spoken.
    pub keep_names: bool,
}

/// Where an address was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An operator gave it.
    Given,
    /// DNS gave it for a name that an operator gave.
    Dns,
    /// A tracker lists it.
    Tracker,
    /// Somebody on the subnet announced it.
    Subnet,
}

/// An address to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The address.
    pub url: LinkUrl,
    /// Where it comes from.
    pub source: Source,
    /// Whether an operator gave it, or whoever announced it knows the join secret.
    pub trusted: bool,
}

/// Finds candidates. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Finder {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    sources: Sources,
    resolver: Resolver,
    lan: OnceLock<Lan>,
    /// How much news of the subnet is in what was found last.
    seen: AtomicU64,
}

impl Finder {
    /// Nothing is asked yet.
    pub fn new(sources: Sources) -> Self {
        let resolver = Resolver::new(sources.name_server);
        let (lan, seen) = (OnceLock::new(), AtomicU64::new(0));
        Self { shared: Arc::new(Shared { sources, resolver, lan, seen }) }
    }

    /// Listens to the subnet too, from now on. A second one is not used.
    pub fn listen(&self, lan: Lan) {
        // The first one hears the same.
        drop(self.shared.lan.set(lan));
    }

    /// Whether anything but an operator may propose addresses.
    pub fn asks_others(&self) -> bool {
        self.shared.lan.get().is_some() || !self.shared.sources.trackers.is_empty()
    }

    /// Waits until a control node with a seal is heard on the subnet that was not there when it was
    /// looked last; for half a second at least, so that nobody can make a node look without a pause.
    /// Cancel safe.
    pub async fn news(&self) {
        let Some(lan) = self.shared.lan.get() else { return std::future::pending().await };
        tokio::time::sleep(PAUSE).await;
        lan.news_after(self.shared.seen.load(Ordering::Relaxed)).await;
    }

    /// Asks all sources and lists what they propose now, the best first: the given addresses in
    /// random order, each in place of what DNS makes of it; then the control nodes that trackers list
    /// and that are heard on the subnet, those that know the join secret first. At most
    /// [`MAX_CANDIDATES`]; nothing is listed twice.
    ///
    /// It takes five seconds at most: as long as name servers that do not answer. Cancel safe.
    pub async fn find(&self) -> Vec<Candidate> {
        let (given, heard, listed) = tokio::join!(self.given(), self.heard(), self.listed());
        let mut others: Vec<Proposal> = heard.into_iter().chain(listed).collect();
        fastrand::shuffle(&mut others);
        let (sealed, unsealed): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|proposal| proposal.verified);
        let plaintext = self.shared.sources.plaintext;
        let candidates = |proposals: Vec<Proposal>| {
            let all = proposals.into_iter().flat_map(|Proposal { addresses, source, verified }| {
                let candidate = move |url| Candidate { url, source, trusted: verified };
                addresses.into_iter().map(candidate)
            });
            all.filter(move |candidate| plaintext || candidate.url.transport.is_encrypted())
        };
        let unsealed = candidates(unsealed).take(MAX_UNSEALED);
        unique(given.into_iter().chain(candidates(sealed)).chain(unsealed))
    }

    async fn given(&self) -> Vec<Candidate> {
        let Shared { sources, resolver, .. } = &*self.shared;
        let mut join: Vec<_> = sources.join.iter().collect();
        fastrand::shuffle(&mut join);
        let rules = Rules { plaintext: sources.plaintext, keep_names: sources.keep_names };
        let expanded = join.into_iter().map(async |url| {
            let source = if url.is_name() { Source::Dns } else { Source::Given };
            let found = resolver.expand(url, rules).await.into_iter();
            found.map(|url| Candidate { url, source, trusted: true }).collect::<Vec<_>>()
        });
        join_all(expanded).await.into_iter().flatten().collect()
    }

    async fn heard(&self) -> Vec<Proposal> {
        let Some(lan) = self.shared.lan.get() else { return Vec::new() };
        lan.look(NEIGHBOURS).await;
        self.shared.seen.store(lan.news(), Ordering::Relaxed);
        let heard = lan.neighbours().into_iter();
        heard
            .map(|Neighbour { addresses, verified, .. }| Proposal {
                addresses,
                verified,
                source: Source::Subnet,
            })
            .collect()
    }

    async fn listed(&self) -> Vec<Proposal> {
        let Sources { trackers, cluster, key, .. } = &self.shared.sources;
        let lists = join_all(trackers.iter().map(tracker::fetch)).await;
        let mut listed = Vec::new();
        for list in lists {
            match list {
                Ok(hosts) => listed.extend(hosts.masters),
                Err(error) => tracing::warn!(error = %Chain(&error), "a tracker tells nothing"),
            }
        }
        let now_s = wall_ms() / 1000;
        let told = listed.iter().filter_map(|host| tracker::told(host, key.as_ref(), now_s));
        let is_wanted = |told: &Told| {
            cluster.as_ref().is_none_or(|cluster| told.announcement.cluster == *cluster)
        };
        let told = told.filter(is_wanted).map(|Told { addresses, verified, .. }| Proposal {
            addresses,
            verified,
            source: Source::Tracker,
        });
        told.take(MAX_CANDIDATES).collect()
    }
}

/// What somebody proposes.
struct Proposal {
    addresses: Vec<LinkUrl>,
    verified: bool,
    source: Source,
}

fn unique(candidates: impl Iterator<Item = Candidate>) -> Vec<Candidate> {
    let mut seen = BTreeSet::new();
    candidates.filter(|candidate| seen.insert(candidate.url.clone())).take(MAX_CANDIDATES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_listed_twice_and_floods_are_cut() {
        let urls = (0..4000_u16).map(|n| format!("10.0.0.1:{}", n % 2000));
        let urls = urls.map(|text| text.parse().expect("a URL"));
        let listed =
            unique(urls.map(|url| Candidate { url, source: Source::Subnet, trusted: false }));
        assert_eq!(listed.len(), MAX_CANDIDATES);
        let ports: BTreeSet<_> = listed.iter().map(|candidate| candidate.url.port).collect();
        assert_eq!(ports.len(), MAX_CANDIDATES);
    }
}
