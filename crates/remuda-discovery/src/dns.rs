//! What DNS says about a cluster: which questions an address raises, and which addresses the answers
//! amount to.
//!
//! | port | transport | questions |
//! |---|---|---|
//! | given | | addresses of the host |
//! | open | given | SRV of `_remuda._TRANSPORT.HOST`, then of `_nkcluster._TRANSPORT.HOST`; without any, addresses of the host and the default port |
//! | open | open | NAPTR of the host; without a usable one, as above with `tls` |
//!
//! NAPTR records are taken as RFC 3403 says: only those of the lowest order that has a usable one, by
//! preference. SRV records are ordered as RFC 2782 says: by priority, and within one at random by
//! weight. A host has IPv4 and IPv6 addresses in turns, each kind shuffled.

mod names;
mod order;
mod resolver;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, net::IpAddr};

use remuda_model::{JoinUrl, LinkUrl, Transport};

pub use self::{
    names::{NameError, Names},
    resolver::Resolver,
};

/// Most NAPTR records that are followed for one address.
const MAX_NAPTR: usize = 16;
/// Most SRV records that are taken from one answer.
const MAX_SRV: usize = 64;
/// Most addresses that are taken of one host.
const MAX_ADDRESSES: usize = 16;
/// Most addresses that one address amounts to.
const MAX_FOUND: usize = 256;

/// Something to ask a name server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// NAPTR records of a name.
    Naptr(String),
    /// SRV records of a name.
    Srv(String),
    /// A and AAAA records of a name.
    Addresses(String),
}

/// What name servers have answered so far. A name without records, and one whose question failed,
/// has an empty answer.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// By name.
    pub naptr: BTreeMap<String, Vec<Naptr>>,
    /// By name.
    pub srv: BTreeMap<String, Vec<Srv>>,
    /// By name.
    pub addresses: BTreeMap<String, Vec<IpAddr>>,
}

/// One answer; without records where there are none, or the question failed.
#[derive(Debug)]
enum Answer {
    Naptr(String, Vec<Naptr>),
    Srv(String, Vec<Srv>),
    Addresses(String, Vec<IpAddr>),
}

impl Answers {
    fn add(&mut self, answer: Answer) {
        match answer {
            Answer::Naptr(name, records) => drop(self.naptr.insert(name, records)),
            Answer::Srv(name, records) => drop(self.srv.insert(name, records)),
            Answer::Addresses(name, found) => drop(self.addresses.insert(name, found)),
        }
    }
}

/// What may be proposed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// Transports without encryption, although the address does not say so itself.
    pub plaintext: bool,
    /// Names of hosts stay names where HTTP is spoken: whoever stands in between may know them better,
    /// or choose by them.
    pub keep_names: bool,
}

/// A rule of RFC 3403 (S-NAPTR as in RFC 3263: only terminal rules without a regular expression).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naptr {
    /// Lower ones exclude higher ones.
    pub order: u16,
    /// Lower ones come first.
    pub preference: u16,
    /// `s`: the replacement has SRV records.
    pub flags: String,
    /// What the rule is for, such as `remudas+d2t`.
    pub services: String,
    /// Not followed unless empty.
    pub regexp: String,
    /// The name to go on with.
    pub replacement: String,
}

/// A server of RFC 2782.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// Lower ones come first.
    pub priority: u16,
    /// The share of the calls among those of the same priority.
    pub weight: u16,
    /// Its port; 0 is not followed.
    pub port: u16,
    /// Its name; empty (the root) says that there is no such service.
    pub target: String,
}

/// How far an address has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// These must be answered first.
    Ask(Vec<Question>),
    /// What the address amounts to, the best first; never empty.
    Found(Vec<LinkUrl>),
}

/// What an address amounts to, given what name servers have said so far.
///
/// Every call adds to `answers` whatever it asked for before; after at most six, it is found. An
/// address that DNS knows nothing about amounts to itself, with the defaults: the system may find
/// its host elsewhere.
pub fn expand(
    url: &JoinUrl,
    answers: &Answers,
    rules: Rules,
    random: &mut fastrand::Rng,
) -> Progress {
    let mut lookup = Lookup { answers, rules, random, missing: Vec::new() };
    let itself = LinkUrl::from(url.clone());
    let mut found = if !url.is_name() {
        vec![itself.clone()]
    } else if url.port.is_some() || url.host == "localhost" {
        lookup.hosts(&itself)
    } else {
        lookup.services(url, &itself)
    };
    if !lookup.missing.is_empty() {
        return Progress::Ask(lookup.missing);
    }
    found.truncate(MAX_FOUND);
    Progress::Found(if found.is_empty() { vec![itself] } else { found })
}

struct Lookup<'a> {
    answers: &'a Answers,
    rules: Rules,
    random: &'a mut fastrand::Rng,
    missing: Vec<Question>,
}

impl Lookup<'_> {
    /// A host may stand in many records.
    fn miss(&mut self, question: Question) {
        if !self.missing.contains(&question) {
            self.missing.push(question);
        }
    }

    /// What the records of services say, or else the host itself.
    fn services(&mut self, url: &JoinUrl, itself: &LinkUrl) -> Vec<LinkUrl> {
        let mut found = Vec::new();
        if url.transport.is_none() {
            found = self.rules(&url.host);
        }
        if found.is_empty() && self.missing.is_empty() {
            found = self.own_service(itself);
        }
        if found.is_empty() && self.missing.is_empty() {
            found = self.hosts(itself);
        }
        found
    }

    /// What the NAPTR records of a host lead to.
    fn rules(&mut self, host: &str) -> Vec<LinkUrl> {
        let Some(rules) = self.answers.naptr.get(host) else {
            self.miss(Question::Naptr(host.to_owned()));
            return Vec::new();
        };
        let usable = rules.iter().filter_map(|rule| {
            let transport = order::transport(rule)?;
            (self.rules.plaintext || transport.is_encrypted()).then_some((rule, transport))
        });
        let mut usable: Vec<_> = usable.collect();
        let lowest = usable.iter().map(|(rule, _)| rule.order).min();
        usable.retain(|(rule, _)| Some(rule.order) == lowest);
        usable.sort_by_key(|(rule, _)| rule.preference);
        usable.truncate(MAX_NAPTR);
        let mut found = Vec::new();
        for (rule, transport) in usable {
            found.extend(self.servers(&rule.replacement, transport, None));
        }
        found
    }

    /// The servers of the service that is called like this program, or like NkCLUSTER.
    fn own_service(&mut self, itself: &LinkUrl) -> Vec<LinkUrl> {
        let LinkUrl { host, transport, path, .. } = itself;
        // Both are asked for at once.
        let [ours, theirs] = ["remuda", "nkcluster"].map(|service| {
            let name = format!("_{service}._{transport}.{host}");
            self.servers(&name, *transport, path.as_deref())
        });
        if ours.is_empty() { theirs } else { ours }
    }

    fn servers(&mut self, name: &str, transport: Transport, path: Option<&str>) -> Vec<LinkUrl> {
        let Some(servers) = self.answers.srv.get(name) else {
            self.miss(Question::Srv(name.to_owned()));
            return Vec::new();
        };
        let usable = servers.iter().filter(|server| server.port != 0 && !server.target.is_empty());
        let usable = usable.take(MAX_SRV).cloned().collect();
        let mut found = Vec::new();
        for Srv { target, port, .. } in order::by_weight(usable, self.random) {
            let path = path.map(str::to_owned);
            found.extend(self.hosts(&LinkUrl { host: target, port, transport, path }));
        }
        found
    }

    /// The addresses of the host of a URL, each in its place.
    fn hosts(&mut self, url: &LinkUrl) -> Vec<LinkUrl> {
        let speaks_http = matches!(url.transport, Transport::Ws | Transport::Wss);
        if url.host.parse::<IpAddr>().is_ok() || (self.rules.keep_names && speaks_http) {
            return vec![url.clone()];
        }
        let Some(addresses) = self.answers.addresses.get(&url.host) else {
            self.miss(Question::Addresses(url.host.clone()));
            return Vec::new();
        };
        let mut addresses = order::in_turns(addresses, self.random);
        addresses.truncate(MAX_ADDRESSES);
        let at = |address: IpAddr| LinkUrl { host: address.to_string(), ..url.clone() };
        addresses.into_iter().map(at).collect()
    }
}
