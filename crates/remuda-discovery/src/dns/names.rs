//! Addresses of any host, for those who contact many.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Semaphore, time::timeout};

use super::{MAX_ADDRESSES, Resolver};

/// Answers that are kept as long as their time to live allows.
const CACHE: u64 = 16_384;
/// How many questions are open at a time.
const AT_A_TIME: usize = 256;
/// How long one name may take, the wait for a turn not included.
const LIMIT: Duration = Duration::from_secs(10);

/// A client of name servers for many names, with a cache and a bound on open questions. Knows what
/// `/etc/hosts` says. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Names {
    resolver: Resolver,
    turns: Arc<Semaphore>,
}

/// Why a name has no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is no such name, or it has no address.
    #[error("`{0}` has no address")]
    NoAddress(String),
    /// No name server told in time.
    #[error("no name server answers for `{0}` in time")]
    Late(String),
    /// Name servers cannot tell.
    #[error("no name server can tell the address of `{0}`: {1}")]
    Unknown(String, String),
}

impl NameError {
    /// Whether the same question may have an answer later.
    pub fn passes(&self) -> bool {
        !matches!(self, Self::NoAddress(_))
    }
}

impl Names {
    /// Asks the name servers of the system (`/etc/resolv.conf`), or this one only. Where the system
    /// names none, its own resolver is asked.
    pub fn new(server: Option<SocketAddr>) -> Self {
        let resolver = Resolver::with_cache(server, CACHE);
        Self { resolver, turns: Arc::new(Semaphore::new(AT_A_TIME)) }
    }

    /// The addresses of a host, IPv4 first, at most 16 and at least one.
    ///
    /// Waits for its turn without a deadline of its own: the caller sets one. After that it takes ten
    /// seconds at most. Cancel safe.
    ///
    /// # Errors
    /// There are none, or nobody tells.
    pub async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, NameError> {
        let turn = self.turns.acquire().await;
        let found = timeout(LIMIT, self.ask(name)).await;
        drop(turn);
        let mut found = found.map_err(|_late| NameError::Late(name.to_owned()))??;
        found.truncate(MAX_ADDRESSES);
        found.sort_by_key(IpAddr::is_ipv6);
        if found.is_empty() { Err(NameError::NoAddress(name.to_owned())) } else { Ok(found) }
    }

    async fn ask(&self, name: &str) -> Result<Vec<IpAddr>, NameError> {
        let unknown = |error: String| NameError::Unknown(name.to_owned(), error);
        let Some(resolver) = self.resolver.inner() else {
            let found = tokio::net::lookup_host((name, 0)).await;
            let found = found.map_err(|error| unknown(error.to_string()))?;
            return Ok(found.map(|address| address.ip()).collect());
        };
        match resolver.lookup_ip(name).await {
            Ok(found) => Ok(found.iter().collect()),
            Err(error) if error.is_no_records_found() => Ok(Vec::new()),
            Err(error) => Err(unknown(error.to_string())),
        }
    }
}
