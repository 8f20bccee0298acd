//! Which host keys are believed: OpenSSH's `known_hosts`, and what was seen during the run.
//!
//! Hashed hosts, `[host]:port`, wildcards, negations and `@revoked` are understood;
//! `@cert-authority` is not, since no certificates of hosts are asked for.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

use aws_lc_rs::hmac;
use remuda_model::run::HostKeys;
use russh::keys::{
    Algorithm, HashAlg, PublicKey,
    ssh_key::known_hosts::{Entry, HostPatterns, Marker},
};

/// The port that is left out in names.
const USUAL_PORT: u16 = 22;

/// What is known of the keys of hosts.
#[derive(Debug)]
pub(super) struct Known {
    policy: HostKeys,
    /// Entries of hosts that are written out, by host: lists may have as many hosts as a run.
    exact: HashMap<String, Vec<(Option<Marker>, PublicKey)>>,
    /// Those that must be compared one by one.
    others: Vec<Entry>,
    /// Fingerprints of keys that were believed because none was known, by host.
    seen: Mutex<BTreeMap<String, String>>,
}

/// Why a key is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Disbelief {
    #[error(
        "no key of `{0}` is known; it has {1}: check that and add it to known_hosts, or accept new \
         keys"
    )]
    Unknown(String, String),
    #[error("`{0}` has another key than is known: {1}; somebody may be in between")]
    Changed(String, String),
    #[error("the key of `{0}` is revoked: {1}")]
    Revoked(String, String),
}

/// A line that is none of `known_hosts`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub(super) struct BadLine {
    line: usize,
    reason: String,
}

impl Known {
    /// Reads lines, and says which are none.
    pub(super) fn read(policy: HostKeys, text: &str) -> (Self, Vec<BadLine>) {
        let mut known =
            Self { policy, exact: HashMap::new(), others: Vec::new(), seen: Mutex::default() };
        let mut bad = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match line.parse::<Entry>() {
                Ok(entry) => known.add(entry),
                Err(error) => bad.push(BadLine { line: at + 1, reason: error.to_string() }),
            }
        }
        (known, bad)
    }

    fn add(&mut self, entry: Entry) {
        match entry.host_patterns() {
            HostPatterns::Patterns(patterns)
                if !patterns.iter().any(|pattern| pattern.contains(['*', '?', '!'])) =>
            {
                for host in patterns {
                    let key = (entry.marker().copied(), entry.public_key().clone());
                    self.exact.entry(host.to_ascii_lowercase()).or_default().push(key);
                }
            }
            _ => self.others.push(entry),
        }
    }

    /// The algorithms of the keys that are known of a host, for it to be asked for those first.
    pub(super) fn algorithms(&self, host: &str, port: u16) -> Vec<Algorithm> {
        let keys = self.keys(&name(host, port));
        keys.into_iter()
            .filter(|(marker, _)| marker.is_none())
            .map(|(_, key)| key.algorithm())
            .collect()
    }

    /// Whether a host with this key is believed. What was believed without being known stays the only
    /// key of the host for as long as this value lives.
    pub(super) fn check(&self, host: &str, port: u16, key: &PublicKey) -> Result<(), Disbelief> {
        let name = name(host, port);
        let print = key.fingerprint(HashAlg::Sha256).to_string();
        if self.policy == HostKeys::Off {
            return Ok(());
        }
        let known = self.keys(&name);
        let same = |marker: Option<Marker>| {
            known.iter().any(|(its, known)| *its == marker && known.key_data() == key.key_data())
        };
        if same(Some(Marker::Revoked)) {
            return Err(Disbelief::Revoked(name, print));
        }
        if same(None) {
            return Ok(());
        }
        if known.iter().any(|(marker, _)| marker.is_none()) {
            return Err(Disbelief::Changed(name, print));
        }
        if self.policy == HostKeys::Strict {
            let shown = format!("{} {print}", key.algorithm());
            return Err(Disbelief::Unknown(name, shown));
        }
        // Nothing in here can be half done.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen.entry(name.clone()).or_insert_with(|| print.clone()) == print {
            Ok(())
        } else {
            Err(Disbelief::Changed(name, print))
        }
    }

    fn keys(&self, name: &str) -> Vec<(Option<Marker>, &PublicKey)> {
        let exact = self.exact.get(name).into_iter().flatten();
        let exact = exact.map(|(marker, key)| (*marker, key));
        let others = self.others.iter().filter(|entry| matches(entry.host_patterns(), name));
        exact.chain(others.map(|entry| (entry.marker().copied(), entry.public_key()))).collect()
    }
}

/// How a host is written in `known_hosts`.
fn name(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == USUAL_PORT { host } else { format!("[{host}]:{port}") }
}

fn matches(patterns: &HostPatterns, name: &str) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => {
            let salt = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
            hmac::verify(&salt, name.as_bytes(), hash).is_ok()
        }
        HostPatterns::Patterns(patterns) => {
            let fits =
                |pattern: &str| fits(pattern.to_ascii_lowercase().as_bytes(), name.as_bytes());
            let mut any = false;
            for pattern in patterns {
                match pattern.strip_prefix('!') {
                    Some(except) if fits(except) => return false,
                    Some(_) => {}
                    None => any |= fits(pattern),
                }
            }
            any
        }
    }
}

/// Whether a name fits a pattern with `*` and `?`; in time that grows with the product of both
/// lengths at most.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut to) = (0, 0);
    // Where the last star is, and how much of the name it has taken.
    let mut star = None;
    while to < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, to));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[to] => (at, to) = (at + 1, to + 1),
            _ => match star {
                Some((place, taken)) => {
                    star = Some((place, taken + 1));
                    (at, to) = (place + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ONE: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const TWO: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA6rWI3G1sz07DnfFlrouTcysQlj2P+jpNSOEWD9OJ3X";
    /// The third key, for `example.com`, as OpenSSH hashes it.
    const HASHED: &str = "|1|O33ESRMWPVkMYIwJ1Uw+n877jTo=|nuuC5vEqXlEZ/8BXQR7m619W6Ak= ssh-ed25519 \
                          AAAAC3NzaC1lZDI1NTE5AAAAILIG2T/B0l0gaqj3puu510tu9N1OkQ4znY3LYuEm5zCF";

    fn key(text: &str) -> PublicKey {
        text.parse().expect("a key")
    }

    fn known(policy: HostKeys, lines: &[String]) -> Known {
        let (known, bad) = Known::read(policy, &lines.join("\n"));
        assert_eq!(bad, []);
        known
    }

    /// `ok`, `unknown`, `changed` or `revoked`.
    fn check(known: &Known, host: &str, port: u16, text: &str) -> &'static str {
        match known.check(host, port, &key(text)) {
            Ok(()) => "ok",
            Err(Disbelief::Unknown(..)) => "unknown",
            Err(Disbelief::Changed(..)) => "changed",
            Err(Disbelief::Revoked(..)) => "revoked",
        }
    }

    #[test]
    fn keys_are_known_by_host_and_port() {
        let lines = [
            "# a comment".to_owned(),
            String::new(),
            format!("Web1,10.0.0.1\t {ONE}  somebody@here"),
            format!("[web1]:2222 {TWO}"),
            HASHED.to_owned(),
        ];
        let known = known(HostKeys::Strict, &lines);
        assert_eq!(check(&known, "web1", 22, ONE), "ok");
        assert_eq!(check(&known, "WEB1", 22, ONE), "ok");
        assert_eq!(check(&known, "10.0.0.1", 22, ONE), "ok");
        assert_eq!(check(&known, "web1", 22, TWO), "changed");
        assert_eq!(check(&known, "web1", 2222, TWO), "ok");
        assert_eq!(check(&known, "web1", 2222, ONE), "changed");
        assert_eq!(check(&known, "web1", 2223, ONE), "unknown");
        assert_eq!(check(&known, "example.com", 22, ONE), "changed");
        assert_eq!(check(&known, "example.com", 22, HASHED.split_once(' ').expect("two").1), "ok");
        assert_eq!(check(&known, "example.org", 22, ONE), "unknown");
        assert_eq!(known.algorithms("web1", 22), [Algorithm::Ed25519]);
        assert_eq!(known.algorithms("web2", 22), []);
    }

    #[test]
    fn wildcards_negations_and_revoked_keys_are_understood() {
        let lines = [
            format!("*.example,!db.example,h?st {ONE}"),
            format!("@revoked * {TWO}"),
            format!("@cert-authority * {ONE}"),
        ];
        for policy in [HostKeys::Strict, HostKeys::AcceptNew] {
            let known = known(policy, &lines);
            assert_eq!(check(&known, "web.example", 22, ONE), "ok");
            assert_eq!(check(&known, "host", 22, ONE), "ok");
            let new = if policy == HostKeys::Strict { "unknown" } else { "ok" };
            assert_eq!(check(&known, "db.example", 22, ONE), new, "the authority's is no host key");
            assert_eq!(check(&known, "web.example", 22, TWO), "revoked");
            assert_eq!(check(&known, "anything", 22, TWO), "revoked");
        }
    }

    #[test]
    fn new_keys_are_accepted_once_and_only_on_wish() {
        let lines = [format!("web1 {ONE}")];
        let strict = known(HostKeys::Strict, &lines);
        assert_eq!(check(&strict, "web2", 22, TWO), "unknown");
        let accepting = known(HostKeys::AcceptNew, &lines);
        assert_eq!(check(&accepting, "web1", 22, TWO), "changed", "it is no new host");
        assert_eq!(check(&accepting, "web2", 22, TWO), "ok");
        assert_eq!(check(&accepting, "web2", 22, TWO), "ok");
        assert_eq!(check(&accepting, "web2", 22, ONE), "changed", "within one run");
        let off = known(HostKeys::Off, &lines);
        assert_eq!(check(&off, "web1", 22, TWO), "ok");
    }

    #[test]
    fn lines_that_are_none_are_named() {
        let text = format!("web1 {ONE}\nweb2\n\n@unheard-of * {ONE}\nweb3 ssh-ed25519 AAAA");
        let (known, bad) = Known::read(HostKeys::Strict, &text);
        assert_eq!(bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [2, 4, 5]);
        assert_eq!(check(&known, "web1", 22, ONE), "ok");
    }

    proptest! {
        #[test]
        fn patterns_agree_with_their_meaning(pattern in "[ab?*]{0,8}", name in "[ab]{0,8}") {
            fn slow(pattern: &[u8], name: &[u8]) -> bool {
                match (pattern.split_first(), name.split_first()) {
                    (None, None) => true,
                    (Some((b'*', rest)), _) => {
                        slow(rest, name) || name.split_first().is_some_and(|(_, name)| slow(pattern, name))
                    }
                    (Some((byte, pattern)), Some((first, name))) => {
                        (*byte == b'?' || byte == first) && slow(pattern, name)
                    }
                    _ => false,
                }
            }
            let expected = slow(pattern.as_bytes(), name.as_bytes());
            prop_assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), expected);
        }

        #[test]
        fn no_file_is_too_strange(text in "\\PC{0,80}|(@revoked |)[a-z*,!|1=]{0,20} ssh-[a-z0-9]{0,9} [A-Za-z0-9+/=]{0,40}") {
            let (known, _bad) = Known::read(HostKeys::Strict, &text);
            let _ = known.check("web1", 22, &key(ONE));
        }
    }
}
