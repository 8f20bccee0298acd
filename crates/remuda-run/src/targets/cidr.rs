//! The addresses of a network: `10.0.0.0/24`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::shortened;

/// A network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    base: IpAddr,
    prefix: u8,
}

/// The text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// The number after the `/`.
    #[error("`{text}`: after the `/` of a network stands a number up to {most}")]
    Prefix {
        /// What was given, shortened.
        text: String,
        /// The largest number.
        most: u8,
    },
    /// An address within it.
    #[error("`{text}` is an address in a network: the network is `{base}/{prefix}`")]
    NotTheBase {
        /// What was given, shortened.
        text: String,
        /// The first address.
        base: IpAddr,
        /// The length of the prefix.
        prefix: u8,
    },
}

impl Cidr {
    /// Parses a network; nothing if the text is something else altogether.
    pub fn parse(text: &str) -> Option<Result<Self, CidrError>> {
        let (base, prefix) = text.split_once('/')?;
        let base: IpAddr = base.parse().ok()?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let digits = (1..=3).contains(&prefix.len()) && prefix.bytes().all(|b| b.is_ascii_digit());
        let prefix = prefix.parse::<u8>().ok().filter(|&prefix| digits && prefix <= most);
        let Some(prefix) = prefix else {
            return Some(Err(CidrError::Prefix { text: shortened(text), most }));
        };
        let network = Self { base, prefix };
        let first = network.address(0);
        Some(if first == base {
            Ok(network)
        } else {
            Err(CidrError::NotTheBase { text: shortened(text), base: first, prefix })
        })
    }

    /// How many addresses of hosts it has: in IPv4 neither the first nor the last is one, unless
    /// there are only two or one.
    pub fn count(&self) -> u128 {
        let all = self.last_offset().saturating_add(1);
        if self.has_edges() { all - 2 } else { all }
    }

    /// The addresses of hosts, made one at a time.
    pub fn hosts(&self) -> Addresses {
        let first = u128::from(self.has_edges());
        Addresses { network: *self, next: first, left: self.count() }
    }

    fn has_edges(&self) -> bool {
        self.base.is_ipv4() && self.prefix < 31
    }

    fn host_bits(&self) -> u32 {
        let bits = if self.base.is_ipv4() { 32 } else { 128 };
        bits - u32::from(self.prefix)
    }

    fn last_offset(&self) -> u128 {
        u128::MAX.checked_shr(128 - self.host_bits()).unwrap_or_default()
    }

    /// The address so far after the first.
    fn address(&self, offset: u128) -> IpAddr {
        match self.base {
            IpAddr::V4(base) => {
                let number = u128::from(base.to_bits()) & !self.last_offset() | offset;
                IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(number).unwrap_or(u32::MAX)))
            }
            IpAddr::V6(base) => {
                IpAddr::V6(Ipv6Addr::from_bits(base.to_bits() & !self.last_offset() | offset))
            }
        }
    }
}

/// The addresses of a network.
#[derive(Clone, Debug)]
pub struct Addresses {
    network: Cidr,
    next: u128,
    left: u128,
}

impl Iterator for Addresses {
    type Item = IpAddr;

    fn next(&mut self) -> Option<IpAddr> {
        self.left = self.left.checked_sub(1)?;
        let address = self.network.address(self.next);
        self.next = self.next.wrapping_add(1);
        Some(address)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn network(text: &str) -> Cidr {
        Cidr::parse(text).expect("a network").expect(text)
    }

    #[test]
    fn a_network_has_the_addresses_of_its_hosts() {
        let texts = |text| network(text).hosts().map(|a| a.to_string()).collect::<Vec<_>>();
        assert_eq!(texts("10.0.0.0/30"), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(texts("10.0.0.4/31"), ["10.0.0.4", "10.0.0.5"]);
        assert_eq!(texts("10.0.0.7/32"), ["10.0.0.7"]);
        assert_eq!(texts("2001:db8::/127"), ["2001:db8::", "2001:db8::1"]);
        let all = texts("10.1.2.0/24");
        assert_eq!((all.len(), &*all[0], &*all[253]), (254, "10.1.2.1", "10.1.2.254"));
        assert_eq!(network("0.0.0.0/0").count(), (1 << 32) - 2);
        assert_eq!(network("::/0").count(), u128::MAX);
        assert_eq!(network("::/0").hosts().take(2).count(), 2);
    }

    #[test]
    fn what_is_no_network_says_why() {
        assert_eq!(Cidr::parse("web1/24"), None);
        assert_eq!(Cidr::parse("10.0.0.0"), None);
        let error = |text| Cidr::parse(text).expect("a network").expect_err(text).to_string();
        assert_eq!(
            error("10.0.0.5/24"),
            "`10.0.0.5/24` is an address in a network: the network is `10.0.0.0/24`"
        );
        for text in ["10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "10.0.0.0/x"] {
            assert!(error(text).ends_with("a number up to 32"), "{text}");
        }
        assert!(error("::/129").ends_with("a number up to 128"));
    }

    proptest! {
        #[test]
        fn as_many_addresses_come_as_are_counted(address in any::<u32>(), prefix in 16_u8..=32) {
            let base = Cidr { base: IpAddr::V4(address.into()), prefix }.address(0);
            let network = network(&format!("{base}/{prefix}"));
            prop_assert_eq!(network.hosts().count() as u128, network.count());
        }
    }
}
