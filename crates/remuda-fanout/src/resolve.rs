//! From a host to the addresses of it that may be contacted.

use std::net::{IpAddr, SocketAddr};

use remuda_discovery::dns::Names;
use remuda_model::run::TroubleKind;

use crate::{
    contact::Stop,
    policy::{Denial, Policy},
};

/// How many addresses of a host are tried.
const MAX_TRIED: usize = 3;

/// The only way to an address: names are resolved and answers judged here, and whoever connects does
/// so to what comes out of it.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    names: Names,
    policy: Policy,
}

impl Gate {
    pub(crate) fn new(names: Names, policy: Policy) -> Self {
        Self { names, policy }
    }

    /// Where a port of a host may be contacted: one to three addresses in the order in which to try
    /// them. Cancel safe; the caller sets the deadline.
    pub(crate) async fn sockets(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Stop> {
        let found = self.find(host).await?;
        let found = found.into_iter().map(|address| SocketAddr::new(address, port)).collect();
        Ok(allowed(found, |address| self.policy.check(address))?)
    }

    /// Where a host may be contacted without a port, likewise.
    pub(crate) async fn hosts(&self, host: &str) -> Result<Vec<IpAddr>, Stop> {
        let found = self.find(host).await?;
        Ok(allowed(found, |address| self.policy.check_host(address))?)
    }

    async fn find(&self, host: &str) -> Result<Vec<IpAddr>, Stop> {
        match literal(host) {
            Some(address) => Ok(vec![address]),
            None if host.is_empty() || host.len() > 253 => {
                Err(Stop::new(TroubleKind::Dns, format!("`{host}` is no name of a host")))
            }
            None => Ok(self.names.addresses(host).await?),
        }
    }
}

/// The address that a host is written as, an IPv6 one with or without brackets.
pub(crate) fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bare {
        Some(bare) => bare.parse().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

/// The first allowed ones; the first denial if there are none.
fn allowed<T: Copy>(
    found: Vec<T>,
    check: impl Fn(T) -> Result<(), Denial>,
) -> Result<Vec<T>, Denial> {
    let mut passed = Vec::with_capacity(found.len().min(MAX_TRIED));
    let mut denied = None;
    for address in found {
        match check(address) {
            Ok(()) if passed.len() < MAX_TRIED => passed.push(address),
            Ok(()) => break,
            Err(denial) => denied = denied.or(Some(denial)),
        }
    }
    match denied {
        Some(denial) if passed.is_empty() => Err(denial),
        _ => Ok(passed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    fn pass(texts: &[&str]) -> Result<Vec<IpAddr>, Denial> {
        let policy = Policy::default();
        allowed(addresses(texts), |address| policy.check_host(address))
    }

    #[test]
    fn denied_answers_are_left_out_and_three_are_tried() {
        let found = pass(&["10.0.0.1", "8.8.8.1", "8.8.8.2", "127.0.0.1", "8.8.8.3", "8.8.8.4"]);
        assert_eq!(found, Ok(addresses(&["8.8.8.1", "8.8.8.2", "8.8.8.3"])));
        let denial = pass(&["10.0.0.1", "127.0.0.1"]).expect_err("all are denied");
        assert_eq!(denial.address, addresses(&["10.0.0.1"])[0], "the first is named");
    }

    #[test]
    fn addresses_are_read_with_and_without_brackets() {
        assert_eq!(literal("[::1]"), "::1".parse().ok());
        assert_eq!(literal("::1"), "::1".parse().ok());
        assert_eq!(literal("127.0.0.1"), "127.0.0.1".parse().ok());
        for name in ["[127.0.0.1]", "127.1", "0x7f.1", "2130706433", "[::1", "host", ""] {
            assert_eq!(literal(name), None, "{name}");
        }
    }
}
