//! Which addresses a worker contacts for runs: a function of address and port.
//!
//! Whoever may start a run chooses what a worker connects to, and so do those who answer for a name or
//! send a redirect. So every address is judged here right before the connection, and the connection
//! goes to exactly the address that was judged.
//!
//! | rule | addresses | allowed by |
//! |---|---|---|
//! | `this network` | 0.0.0.0/8, `::` | nothing |
//! | `loopback` | 127.0.0.0/8, `::1` | `--fanout-allow-loopback` |
//! | `link-local` | 169.254.0.0/16, `fe80::/10` | nothing |
//! | `multicast` | 224.0.0.0/4, `ff00::/8` | nothing |
//! | `reserved` | 240.0.0.0/4 with 255.255.255.255 | nothing |
//! | `metadata service` | `fd00:ec2::254` | nothing |
//! | `own listener` | what remuda listens on here | nothing |
//! | `private ranges` | 10/8, 172.16/12, 192.168/16, 100.64/10, `fc00::/7` | `--fanout-allow CIDR` |
//! | `other ports` | any at a port that is not among the allowed ones, where an operator says which | `--fanout-ports PORTS` |
//!
//! An IPv4 address within an IPv6 one (`::ffff:a.b.c.d`, `::a.b.c.d`, `64:ff9b::a.b.c.d`) is judged as
//! the IPv4 address.

use std::{
    error::Error,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::RangeInclusive,
};

pub use ipnet::IpNet as Cidr;
use remuda_model::Failure;

/// What an operator says about a worker's contacts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyConfig {
    /// Private ranges that runs may contact; a fresh install has none.
    pub allow: Vec<Cidr>,
    /// Whether runs may contact loopback addresses; for tests and benchmarks.
    pub allow_loopback: bool,
    /// The ports that runs may connect to; any but 0 when there is none.
    pub ports: Vec<RangeInclusive<u16>>,
    /// What remuda listens on at this machine. An unspecified address stands for all of the machine.
    pub own: Vec<SocketAddr>,
}

/// Reads a range such as `10.0.0.0/8`, or one address.
///
/// # Errors
/// The text is neither.
pub fn cidr(text: &str) -> Result<Cidr, Failure> {
    let range = text.parse::<Cidr>().or_else(|error| match text.parse::<IpAddr>() {
        Ok(address) => Ok(Cidr::from(address)),
        Err(_) => Err(error),
    });
    range.map(|range| range.trunc()).map_err(|_invalid| {
        Failure::invalid(format!("`{text}` is no range of addresses"))
            .hint("write an address, a slash and the bits that count, such as 10.0.0.0/8")
    })
}

/// Reads a port such as `443`, or a range of them such as `8000-8999`.
///
/// # Errors
/// The text is neither.
pub fn ports(text: &str) -> Result<RangeInclusive<u16>, Failure> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.trim().parse(), last.trim().parse()) {
        (Ok(first), Ok(last)) if 1 <= first && first <= last => Ok(first..=last),
        _ => Err(Failure::invalid(format!("`{text}` is no port and no range of ports"))
            .hint("write ports from 1 to 65535, such as 443 or 8000-8999")),
    }
}

/// Why an address is not contacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Addresses of no host: 0.0.0.0/8 and `::`.
    ThisNetwork,
    /// The machine itself.
    Loopback,
    /// Addresses without a router, among them the metadata services of clouds.
    LinkLocal,
    /// Groups of hosts.
    Multicast,
    /// 240.0.0.0/4 with the broadcast address.
    Reserved,
    /// The metadata service of EC2 over IPv6.
    Metadata,
    /// What remuda listens on.
    OwnListener,
    /// Ranges that are not routed publicly, and that no operator has allowed.
    Private,
    /// Port 0.
    Port,
    /// A port that is not among those that the operator has named.
    OtherPort(u16),
}

impl Rule {
    /// Its name in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ThisNetwork => "this network",
            Self::Loopback => "loopback",
            Self::LinkLocal => "link-local",
            Self::Multicast => "multicast",
            Self::Reserved => "reserved",
            Self::Metadata => "metadata service",
            Self::OwnListener => "own listener",
            Self::Private => "private ranges",
            Self::Port => "port 0",
            Self::OtherPort(_) => "other ports",
        }
    }
}

/// An address that is not contacted, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The address.
    pub address: IpAddr,
    /// The rule that forbids it.
    pub rule: Rule,
}

impl Denial {
    /// How an operator allows it; nothing where nobody can.
    pub fn remedy(&self) -> Option<String> {
        match self.rule {
            Rule::Loopback => Some("start the worker with --fanout-allow-loopback".to_owned()),
            Rule::Private => {
                let address = effective(self.address);
                let range = private_range(address).unwrap_or(address.into());
                Some(format!("start the worker with --fanout-allow {range}"))
            }
            Rule::OtherPort(port) => {
                Some(format!("start the worker with {port} among its --fanout-ports"))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, rule } = self;
        write!(f, "{address} is blocked by the rule \"{}\"", rule.as_str())?;
        match self.remedy() {
            Some(remedy) => write!(f, "; to allow it, {remedy}"),
            None => f.write_str(", which nothing lifts"),
        }
    }
}

impl Error for Denial {}

/// Judges addresses.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    config: PolicyConfig,
    local: Vec<IpAddr>,
}

impl Policy {
    /// The rules with what an operator says. `local` are the addresses of this machine, where ports of
    /// listeners at unspecified addresses are remuda's own.
    pub fn new(config: PolicyConfig, local: Vec<IpAddr>) -> Self {
        let local = local.into_iter().map(effective).collect();
        Self { config, local }
    }

    /// Whether a connection to this address and port may be made.
    ///
    /// # Errors
    /// It may not; the denial says by which rule.
    pub fn check(&self, target: SocketAddr) -> Result<(), Denial> {
        self.check_host(target.ip())?;
        let denied = |rule| Err(Denial { address: target.ip(), rule });
        if target.port() == 0 {
            return denied(Rule::Port);
        }
        let allowed = &self.config.ports;
        if !allowed.is_empty() && !allowed.iter().any(|range| range.contains(&target.port())) {
            return denied(Rule::OtherPort(target.port()));
        }
        if self.is_own(effective(target.ip()), target.port()) {
            return denied(Rule::OwnListener);
        }
        Ok(())
    }

    /// Whether a host may be contacted where there are no ports: by an ICMP echo.
    ///
    /// # Errors
    /// It may not; the denial says by which rule.
    pub fn check_host(&self, address: IpAddr) -> Result<(), Denial> {
        let denied = |rule| Err(Denial { address, rule });
        let inner = effective(address);
        match never(inner) {
            Some(Rule::Loopback) if self.config.allow_loopback => {}
            Some(rule) => return denied(rule),
            None => {}
        }
        let allowed = || self.config.allow.iter().any(|range| range.contains(&inner));
        if private_range(inner).is_some() && !allowed() {
            return denied(Rule::Private);
        }
        Ok(())
    }

    fn is_own(&self, address: IpAddr, port: u16) -> bool {
        let here = || is_loopback(address) || self.local.contains(&address);
        self.config.own.iter().any(|own| {
            let at = effective(own.ip());
            own.port() == port && (at == address || (at.is_unspecified() && here()))
        })
    }
}

/// The IPv4 address within an IPv6 one, or the address itself.
fn effective(address: IpAddr) -> IpAddr {
    let IpAddr::V6(long) = address else { return address };
    if long.is_unspecified() || long == Ipv6Addr::LOCALHOST {
        return address;
    }
    match long.segments() {
        // Mapped, compatible, NAT64.
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            Ipv4Addr::new(a, b, c, d).into()
        }
        _ => address,
    }
}

fn is_loopback(address: IpAddr) -> bool {
    never(address) == Some(Rule::Loopback)
}

/// The rule that forbids an address whatever ranges are allowed.
fn never(address: IpAddr) -> Option<Rule> {
    match address {
        IpAddr::V4(short) => match short.octets() {
            [0, ..] => Some(Rule::ThisNetwork),
            [127, ..] => Some(Rule::Loopback),
            [169, 254, ..] => Some(Rule::LinkLocal),
            [224..=239, ..] => Some(Rule::Multicast),
            [240..=255, ..] => Some(Rule::Reserved),
            _ => None,
        },
        IpAddr::V6(long) => match long.segments() {
            [0, 0, 0, 0, 0, 0, 0, 0] => Some(Rule::ThisNetwork),
            [0, 0, 0, 0, 0, 0, 0, 1] => Some(Rule::Loopback),
            [0xfe80..=0xfebf, ..] => Some(Rule::LinkLocal),
            [0xff00..=0xffff, ..] => Some(Rule::Multicast),
            [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => Some(Rule::Metadata),
            _ => None,
        },
    }
}

/// The range that is not routed publicly and has the address.
fn private_range(address: IpAddr) -> Option<Cidr> {
    let (start, bits): (IpAddr, u8) = match address {
        IpAddr::V4(short) => match short.octets() {
            [10, ..] => (Ipv4Addr::new(10, 0, 0, 0).into(), 8),
            [172, 16..=31, ..] => (Ipv4Addr::new(172, 16, 0, 0).into(), 12),
            [192, 168, ..] => (Ipv4Addr::new(192, 168, 0, 0).into(), 16),
            [100, 64..=127, ..] => (Ipv4Addr::new(100, 64, 0, 0).into(), 10),
            _ => return None,
        },
        IpAddr::V6(long) => match long.segments() {
            [0xfc00..=0xfdff, ..] => (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0).into(), 7),
            _ => return None,
        },
    };
    Cidr::new(start, bits).ok()
}

#[cfg(test)]
mod tests;
