//! Counts wrong tokens by source address, pure.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
};

/// Sources that are remembered at a time.
const MAX_SOURCES: usize = 4096;

/// Tells sources that try many wrong tokens to wait.
///
/// It only changes what a wrong token is answered: a good one is never held up, so that nobody
/// can lock out others who share an address.
#[derive(Debug)]
pub(crate) struct Throttle {
    per_second: u32,
    sources: BTreeMap<IpAddr, Window>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    second: u64,
    failures: u32,
}

impl Throttle {
    pub(crate) fn new(per_second: u32) -> Self {
        Self { per_second, sources: BTreeMap::new() }
    }

    /// Counts a wrong token at this second of any clock; tells whether there were too many.
    pub(crate) fn failed(&mut self, source: IpAddr, second: u64) -> bool {
        let source = group(source);
        if !self.sources.contains_key(&source) && self.sources.len() >= MAX_SOURCES {
            self.sources.retain(|_, window| window.second == second);
            if self.sources.len() >= MAX_SOURCES {
                // A crowd of sources in one second: forgetting any one of them is fair.
                self.sources.pop_first();
            }
        }
        let window = self.sources.entry(source).or_insert(Window { second, failures: 0 });
        if window.second != second {
            *window = Window { second, failures: 0 };
        }
        window.failures = window.failures.saturating_add(1);
        window.failures > self.per_second
    }
}

/// Sources that one party is likely to hold together: a whole /64 of IPv6.
fn group(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    #[test]
    fn a_source_may_fail_so_often_in_each_second() {
        let mut throttle = Throttle::new(3);
        for second in [7, 8] {
            for _ in 0..3 {
                assert!(!throttle.failed(ip("10.0.0.1"), second));
            }
            assert!(throttle.failed(ip("10.0.0.1"), second));
            assert!(!throttle.failed(ip("10.0.0.2"), second), "another source");
        }
    }

    #[test]
    fn neighbours_of_ipv6_count_as_one() {
        let mut throttle = Throttle::new(1);
        assert!(!throttle.failed(ip("2001:db8::1"), 0));
        assert!(throttle.failed(ip("2001:db8::2"), 0));
        assert!(!throttle.failed(ip("2001:db8:0:1::1"), 0));
        assert!(!throttle.failed(ip("10.0.0.1"), 0));
        assert!(throttle.failed(ip("::ffff:10.0.0.1"), 0));
    }

    #[test]
    fn memory_is_bounded() {
        let mut throttle = Throttle::new(1);
        for n in 0..3 * u32::try_from(MAX_SOURCES).expect("small") {
            throttle.failed(IpAddr::V4(n.into()), u64::from(n / 6000));
            assert!(throttle.sources.len() <= MAX_SOURCES);
        }
    }
}
