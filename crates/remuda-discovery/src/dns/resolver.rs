//! Asks name servers.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::future::join_all;
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::{Name, RData, RecordType},
};
use remuda_model::{JoinUrl, LinkUrl};
use tokio::time::{Instant, timeout_at};

use super::{
    Answer, Answers, MAX_ADDRESSES, MAX_NAPTR, MAX_SRV, Naptr, Progress, Question, Rules, Srv,
    expand,
};

/// How long all questions about one address may take.
const LIMIT: Duration = Duration::from_secs(5);
/// How long one server may take to answer one question.
const ANSWER: Duration = Duration::from_millis(1200);
/// Rounds of questions about one address: rules and their servers, own services, and addresses of each.
const MAX_ROUNDS: usize = 6;
/// Answers that are kept as long as their time to live allows.
const CACHE: u64 = 256;

/// A client of name servers, with a cache. Cheap to clone.
#[derive(Clone)]
pub struct Resolver {
    server: Option<SocketAddr>,
    cache: u64,
    /// Made with the first question: most nodes are given addresses, and never ask.
    inner: Arc<OnceLock<Option<TokioResolver>>>,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl Resolver {
    /// Asks the name servers of the system (`/etc/resolv.conf`), or this one only.
    pub fn new(server: Option<SocketAddr>) -> Self {
        Self::with_cache(server, CACHE)
    }

    /// The same, with so many answers kept.
    pub(super) fn with_cache(server: Option<SocketAddr>, cache: u64) -> Self {
        Self { server, cache, inner: Arc::default() }
    }

    pub(super) fn inner(&self) -> Option<&TokioResolver> {
        self.inner.get_or_init(|| Self::make(self.server, self.cache)).as_ref()
    }

    fn make(server: Option<SocketAddr>, cache: u64) -> Option<TokioResolver> {
        let made = match server {
            Some(server) => TokioResolver::builder_with_config(
                ResolverConfig::from_parts(None, Vec::new(), vec![only(server)]),
                TokioRuntimeProvider::default(),
            )
            .into(),
            None => match TokioResolver::builder_tokio() {
                Ok(builder) => Some(builder),
                Err(error) => {
                    tracing::warn!(%error, "no name servers are known; names are left to the system");
                    None
                }
            },
        };
        made.and_then(|mut builder| {
            let options = builder.options_mut();
            options.timeout = ANSWER;
            options.attempts = 2;
            options.cache_size = cache;
            let built = builder.build();
            built.inspect_err(|error| tracing::warn!(%error, "names are left to the system")).ok()
        })
    }

    /// What an address amounts to, the best first; never empty.
    ///
    /// It takes five seconds at most: what is not answered by then counts as no record. Cancel safe.
    pub async fn expand(&self, url: &JoinUrl, rules: Rules) -> Vec<LinkUrl> {
        let end = Instant::now() + LIMIT;
        let mut answers = Answers::default();
        // The same order in every round.
        let seed = fastrand::u64(..);
        for _ in 0..=MAX_ROUNDS {
            match expand(url, &answers, rules, &mut fastrand::Rng::with_seed(seed)) {
                Progress::Found(found) => return found,
                Progress::Ask(questions) => {
                    let asked = questions.into_iter().map(|question| self.ask(question, end));
                    for answer in join_all(asked).await {
                        answers.add(answer);
                    }
                }
            }
        }
        vec![LinkUrl::from(url.clone())]
    }

    /// Asks one question; no answer in time is none.
    async fn ask(&self, question: Question, end: Instant) -> Answer {
        let late = |name: &str| tracing::warn!(name, "no name server answers in time");
        match question {
            Question::Naptr(name) => {
                let records = timeout_at(end, self.records(&name, RecordType::NAPTR)).await;
                let records = records.inspect_err(|_| late(&name)).unwrap_or_default();
                let records = records.into_iter().filter_map(naptr).take(MAX_NAPTR * 4).collect();
                Answer::Naptr(name, records)
            }
            Question::Srv(name) => {
                let records = timeout_at(end, self.records(&name, RecordType::SRV)).await;
                let records = records.inspect_err(|_| late(&name)).unwrap_or_default();
                let records = records.into_iter().filter_map(srv).take(MAX_SRV).collect();
                Answer::Srv(name, records)
            }
            Question::Addresses(name) => {
                let found = timeout_at(end, self.addresses(&name)).await;
                let found = found.inspect_err(|_| late(&name)).unwrap_or_default();
                Answer::Addresses(name, found)
            }
        }
    }

    async fn addresses(&self, name: &str) -> Vec<IpAddr> {
        let Some(inner) = self.inner() else { return Vec::new() };
        match inner.lookup_ip(name).await {
            Ok(found) => found.iter().take(MAX_ADDRESSES).collect(),
            Err(error) => {
                tell(name, &error);
                Vec::new()
            }
        }
    }

    async fn records(&self, name: &str, kind: RecordType) -> Vec<RData> {
        let Some(inner) = self.inner() else { return Vec::new() };
        match inner.lookup(name, kind).await {
            Ok(found) => found.answers().iter().map(|record| record.data.clone()).collect(),
            Err(error) => {
                tell(name, &error);
                Vec::new()
            }
        }
    }
}

fn only(server: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = server.port();
        connection
    });
    NameServerConfig::new(server.ip(), true, connections.into())
}

fn tell(name: &str, error: &NetError) {
    if !error.is_no_records_found() {
        tracing::debug!(name, %error, "a name server cannot tell");
    }
}

fn naptr(record: RData) -> Option<Naptr> {
    let RData::NAPTR(rule) = record else { return None };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(Naptr {
        order: rule.order,
        preference: rule.preference,
        flags: text(&rule.flags),
        services: text(&rule.services),
        regexp: text(&rule.regexp),
        replacement: plain(&rule.replacement),
    })
}

fn srv(record: RData) -> Option<Srv> {
    let RData::SRV(server) = record else { return None };
    let target = plain(&server.target);
    Some(Srv { priority: server.priority, weight: server.weight, port: server.port, target })
}

/// A name without the dot at its end; nothing for the root. What is no name of a host is nothing
/// either.
fn plain(name: &Name) -> String {
    let text = name.to_ascii();
    let text = text.trim_end_matches('.');
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if text.bytes().all(is_name) { text.to_ascii_lowercase() } else { String::new() }
}
