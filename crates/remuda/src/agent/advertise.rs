//! What a node tells others about where it can be dialled.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use remuda_discovery::lan::own_addresses;
use remuda_model::{JoinUrl, LinkUrl, Transport};

/// The addresses to announce: those configured, otherwise those it listens on, with `0.0.0.0` and
/// `::` replaced by the address that the operating system would use towards `peers`.
pub(crate) fn addresses(
    configured: &[LinkUrl],
    listening: &[LinkUrl],
    peers: &[JoinUrl],
) -> Vec<LinkUrl> {
    if !configured.is_empty() {
        return configured.to_vec();
    }
    let public = listening.iter().filter(|url| url.transport != Transport::Mem);
    public
        .map(|url| match url.host.parse::<IpAddr>() {
            Ok(ip) if ip.is_unspecified() => {
                LinkUrl { host: source_towards(peers).to_string(), ..url.clone() }
            }
            _ => url.clone(),
        })
        .collect()
}

/// The address this machine uses towards a peer. Choosing a route sends nothing.
fn source_towards(peers: &[JoinUrl]) -> IpAddr {
    let route = |host: &str, port: u16| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        socket.connect((host, port.max(1))).ok()?;
        socket.local_addr().ok().map(|address| address.ip())
    };
    // Without a peer to ask for, any address outside tells the default route (TEST-NET-1).
    let hosts = peers.iter().map(|url| (url.host.as_str(), url.port.unwrap_or_default()));
    hosts
        .chain([("192.0.2.1", 1)])
        .find_map(|(host, port)| route(host, port))
        .or_else(|| own_addresses().into_iter().next().map(IpAddr::V4))
        .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(host: &str) -> LinkUrl {
        LinkUrl { host: host.to_owned(), port: 1973, transport: Transport::Tls, path: None }
    }

    #[test]
    fn what_is_configured_wins() {
        assert_eq!(addresses(&[url("a.example")], &[url("0.0.0.0")], &[]), [url("a.example")]);
    }

    #[test]
    fn a_wildcard_is_never_announced() {
        let announced =
            addresses(&[], &[url("0.0.0.0"), url("127.0.0.1")], &[url("127.0.0.1").into()]);
        assert_eq!(announced, [url("127.0.0.1"), url("127.0.0.1")]);
    }
}
