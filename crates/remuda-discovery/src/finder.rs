//! Asks every source, and puts what they say into one list.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc};

use futures_util::future::join_all;
use remuda_model::{JoinUrl, LinkUrl};

use crate::dns::Resolver;

/// Most addresses that are proposed at a time.
pub const MAX_CANDIDATES: usize = 1024;

/// Where a cluster is looked for.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// What an operator has given.
    pub join: Vec<JoinUrl>,
    /// The name server to ask instead of those of the system.
    pub name_server: Option<SocketAddr>,
    /// Whether DNS may propose transports without encryption.
    pub plaintext: bool,
}

/// Finds candidates. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Finder {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    join: Vec<JoinUrl>,
    plaintext: bool,
    resolver: Resolver,
}

impl Finder {
    /// Nothing is asked yet.
    pub fn new(sources: Sources) -> Self {
        let Sources { join, name_server, plaintext } = sources;
        let resolver = Resolver::new(name_server);
        Self { shared: Arc::new(Shared { join, plaintext, resolver }) }
    }

    /// Asks all sources and lists what they propose now, the best first: the given addresses in
    /// random order, each in place of what DNS makes of it. At most [`MAX_CANDIDATES`]; nothing is
    /// listed twice.
    ///
    /// It takes five seconds at most: as long as name servers that do not answer. Cancel safe.
    pub async fn find(&self) -> Vec<LinkUrl> {
        let Shared { join, plaintext, resolver } = &*self.shared;
        let mut join: Vec<_> = join.iter().collect();
        fastrand::shuffle(&mut join);
        let expanded = join_all(join.into_iter().map(|url| resolver.expand(url, *plaintext))).await;
        listed(expanded.into_iter().flatten())
    }
}

fn listed(urls: impl Iterator<Item = LinkUrl>) -> Vec<LinkUrl> {
    let mut seen = BTreeSet::new();
    urls.filter(|url| seen.insert(url.clone())).take(MAX_CANDIDATES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_listed_twice_and_floods_are_cut() {
        let urls = (0..4000_u16).map(|n| format!("10.0.0.1:{}", n % 2000));
        let listed = listed(urls.map(|text| text.parse().expect("a URL")));
        assert_eq!(listed.len(), MAX_CANDIDATES);
        let ports: BTreeSet<_> = listed.iter().map(|url| url.port).collect();
        assert_eq!(ports.len(), MAX_CANDIDATES);
    }
}
