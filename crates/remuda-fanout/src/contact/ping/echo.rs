//! ICMP echoes over a socket of their own, which the kernel connects to one address: no answer of
//! another host arrives there, and no table of who waits for what is needed.

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, UdpSocket as StdSocket},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

/// The most of an answer that is looked at: the longest IPv4 header, and the echo.
const BUFFER: usize = 60 + HEADER + TOKEN;
/// Type, code, checksum, identifier, sequence.
const HEADER: usize = 8;
/// By which an echo is known as the answer to this question.
const TOKEN: usize = 16;

/// A socket for echoes of one host.
#[derive(Debug)]
pub(super) struct Echo {
    socket: UdpSocket,
    is_ipv6: bool,
    identifier: u16,
    token: [u8; TOKEN],
}

impl Echo {
    /// Opens a socket: an unprivileged one where the system allows that, otherwise a raw one; nothing
    /// where this process may have neither.
    ///
    /// # Errors
    /// There is no way to the host, or no socket left.
    pub(super) fn open(host: IpAddr) -> io::Result<Option<Self>> {
        let (domain, protocol) = match host {
            IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
            IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
        };
        let socket = match Socket::new(domain, Type::DGRAM, Some(protocol)) {
            Err(error) if is_forbidden(&error) => Socket::new(domain, Type::RAW, Some(protocol)),
            other => other,
        };
        let socket = match socket {
            Ok(socket) => socket,
            Err(error) if is_forbidden(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        socket.set_nonblocking(true)?;
        socket.connect(&super::without_port(host).into())?;
        let mut token = [0; TOKEN];
        fastrand::fill(&mut token);
        Ok(Some(Self {
            socket: UdpSocket::from_std(StdSocket::from(socket))?,
            is_ipv6: host.is_ipv6(),
            identifier: fastrand::u16(..),
            token,
        }))
    }

    /// Asks for an echo and waits for it without a deadline. Cancel safe.
    ///
    /// # Errors
    /// The host, or a router on the way, says that there is no way to it.
    pub(super) async fn ask(&mut self, sequence: u16) -> io::Result<()> {
        let question = question(self.is_ipv6, self.identifier, sequence, &self.token);
        self.socket.send(&question).await?;
        let mut answer = [0; BUFFER];
        loop {
            let n = self.socket.recv(&mut answer).await?;
            if is_answer(self.is_ipv6, &answer[..n], sequence, &self.token) {
                return Ok(());
            }
        }
    }
}

fn is_forbidden(error: &io::Error) -> bool {
    // No such protocol: a kernel, or a sandbox, that has no such sockets at all.
    const EPROTONOSUPPORT: i32 = 93;
    error.kind() == ErrorKind::PermissionDenied || error.raw_os_error() == Some(EPROTONOSUPPORT)
}

/// An echo request. The kernel fills in the identifier of an unprivileged socket, and the checksum of
/// one for IPv6.
fn question(is_ipv6: bool, identifier: u16, sequence: u16, token: &[u8; TOKEN]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(HEADER + TOKEN);
    packet.extend([if is_ipv6 { 128 } else { 8 }, 0, 0, 0]);
    packet.extend(identifier.to_be_bytes());
    packet.extend(sequence.to_be_bytes());
    packet.extend(token);
    let sum = checksum(&packet);
    packet[2..4].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// Whether these bytes are the echo that was asked for. A raw socket gives the IPv4 header too, and
/// whatever else of ICMP comes from that host.
fn is_answer(is_ipv6: bool, bytes: &[u8], sequence: u16, token: &[u8; TOKEN]) -> bool {
    let packet = match bytes.first() {
        Some(first) if !is_ipv6 && first >> 4 == 4 => {
            bytes.get(usize::from(first & 15) * 4..).unwrap_or_default()
        }
        _ => bytes,
    };
    let Some((header, rest)) = packet.split_at_checked(HEADER) else { return false };
    let kind = if is_ipv6 { 129 } else { 0 };
    header[..2] == [kind, 0] && header[6..] == sequence.to_be_bytes() && rest.starts_with(token)
}

/// The checksum of RFC 1071; 0 over what has it.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| {
        u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or_default()]))
    });
    let mut sum = words.sum::<u32>();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !u16::try_from(sum).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_echo_is_known_by_its_token(identifier: u16, sequence: u16, other: u16, token: [u8; TOKEN], ipv6: bool) {
            let mut packet = question(ipv6, identifier, sequence, &token);
            prop_assert_eq!(checksum(&packet), 0);
            prop_assert!(!is_answer(ipv6, &packet, sequence, &token), "a question is none");
            packet[0] = if ipv6 { 129 } else { 0 };
            prop_assert!(is_answer(ipv6, &packet, sequence, &token));
            prop_assert_eq!(is_answer(ipv6, &packet, other, &token), other == sequence);
            let mut changed = token;
            changed[3] ^= 1;
            prop_assert!(!is_answer(ipv6, &packet, sequence, &changed));
            if !ipv6 {
                let mut raw = vec![0x45; 20];
                raw.extend(&packet);
                prop_assert!(is_answer(false, &raw, sequence, &token));
            }
        }

        #[test]
        fn no_bytes_are_too_strange(bytes: Vec<u8>, ipv6: bool) {
            prop_assert!(!is_answer(ipv6, &bytes, 1, &[7; TOKEN]));
        }
    }

    #[test]
    fn the_checksum_is_that_of_rfc_1071() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(checksum(&bytes), !0xddf2);
        assert_eq!(checksum(&[0xff]), !0xff00);
    }
}
