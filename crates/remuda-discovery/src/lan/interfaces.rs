//! The subnets of this machine, and how to speak on them.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddrV4},
};

use if_addrs::{IfAddr, IfOperStatus, Interface};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::UdpSocket;

use super::GROUP;

/// One IPv4 address of this machine and its subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subnet {
    pub(super) ip: Ipv4Addr,
    netmask: Ipv4Addr,
    broadcast: Option<Ipv4Addr>,
}

impl Subnet {
    fn contains(self, ip: Ipv4Addr) -> bool {
        let mask = self.netmask.to_bits();
        self.ip.to_bits() & mask == ip.to_bits() & mask
    }
}

/// The subnets that are up, without those of tunnels.
pub(super) fn subnets() -> Vec<Subnet> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    // Many virtual interfaces do not know their state.
    let up = |interface: &Interface| {
        matches!(interface.oper_status, IfOperStatus::Up | IfOperStatus::Unknown)
    };
    let usable = interfaces.into_iter().filter(|interface| up(interface) && !interface.is_p2p());
    usable
        .filter_map(|interface| match interface.addr {
            IfAddr::V4(address) => Some(Subnet {
                ip: address.ip,
                netmask: address.netmask,
                broadcast: address.broadcast.filter(|_| !address.is_loopback()),
            }),
            IfAddr::V6(_) => None,
        })
        .collect()
}

/// The IPv4 addresses at which other machines may reach this one.
pub fn own_addresses() -> Vec<Ipv4Addr> {
    let addresses = subnets().into_iter().map(|subnet| subnet.ip);
    addresses.filter(|ip| !ip.is_loopback()).collect()
}

/// Whether an address is on a subnet of this machine, and whether it is this machine's own.
pub(super) fn place_of(ip: IpAddr, subnets: &[Subnet]) -> Option<bool> {
    let IpAddr::V4(ip) = ip.to_canonical() else { return None };
    let mut near = subnets.iter().filter(|subnet| subnet.contains(ip)).peekable();
    near.peek()?;
    Some(near.any(|subnet| subnet.ip == ip))
}

/// A socket that hears what is sent to the group and by broadcast, beside others of this machine.
pub(super) fn listen(port: u16) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port)))?;
    UdpSocket::from_std(socket.into())
}

/// Joins the group on these subnets; those where it was joined before stay.
pub(super) fn join(socket: &UdpSocket, subnets: &[Subnet]) {
    for subnet in subnets {
        if let Err(error) = socket.join_multicast_v4(GROUP, subnet.ip)
            && error.kind() != io::ErrorKind::AddrInUse
        {
            tracing::debug!(%error, ip = %subnet.ip, "no multicast here");
        }
    }
}

/// Says something on a subnet, to the group and to everybody: some networks carry only one of them.
pub(super) fn say(subnet: Subnet, port: u16, bytes: &[u8]) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    // A full buffer of a network card is no reason to wait.
    socket.set_nonblocking(true)?;
    socket.set_broadcast(true)?;
    socket.set_multicast_ttl_v4(1)?;
    socket.set_multicast_loop_v4(true)?;
    socket.set_multicast_if_v4(&subnet.ip)?;
    socket.bind(&SockAddr::from(SocketAddrV4::new(subnet.ip, 0)))?;
    let to = |ip| SockAddr::from(SocketAddrV4::new(ip, port));
    let grouped = socket.send_to(bytes, &to(GROUP));
    match subnet.broadcast.map(|ip| socket.send_to(bytes, &to(ip))) {
        Some(Ok(_)) => Ok(()),
        Some(Err(_)) | None => grouped.map(|_| ()),
    }
}
