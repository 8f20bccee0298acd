//! SCTP in user space, its packets in UDP datagrams (RFC 6951).
//!
//! One association carries one link, as bytes on stream 0 in order; the multiplexer above gives what
//! several streams would. It is not encrypted and has the rules of the other plaintext transports. The
//! end of what one side says is an empty message; a side that has said and heard it, and whose last
//! bytes have arrived, forgets the association.
//!
//! What arrives on a socket is told apart by one task; each association has a task of its own.

mod association;
mod socket;

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use sctp_proto::{ClientConfig, EndpointConfig, ServerConfig, TransportConfig};
use tokio::{io::DuplexStream, net::UdpSocket, sync::mpsc, time::timeout};

use self::socket::Socket;
use super::{Connected, tcp};

/// How long an association may take to come about, when there is another address.
const ONE_OF_MANY: Duration = Duration::from_secs(3);
/// Associations that wait to be taken; a further one is forgotten.
const ACCEPTED: usize = 64;
/// Bytes between the association and the link, each way.
const PIPE: usize = 64 * 1024;
/// Bytes that an association keeps for a reader that is slower than the network.
const RECEIVE_BUFFER: u32 = 1024 * 1024;
/// The longest message.
const MAX_MESSAGE: usize = 16 * 1024;

fn transport() -> TransportConfig {
    let longest = u32::try_from(MAX_MESSAGE).unwrap_or(u32::MAX);
    TransportConfig::default()
        .with_max_receive_buffer_size(RECEIVE_BUFFER)
        .with_max_send_message_size(longest)
        .with_max_receive_message_size(longest)
        .with_max_num_outbound_streams(1)
        .with_max_num_inbound_streams(1)
        // A link that nobody answers on is noticed above.
        .with_max_data_retransmits(None)
        .with_rto_initial_ms(500)
        .with_rto_min_ms(200)
        .with_rto_max_ms(5000)
}

/// Connects to the first address that answers.
pub(crate) async fn connect(addresses: &[SocketAddr]) -> io::Result<Connected> {
    let Some((last, others)) = addresses.split_last() else {
        return Err(io::ErrorKind::AddrNotAvailable.into());
    };
    for address in others {
        if let Ok(Ok(connected)) = timeout(ONE_OF_MANY, open(*address)).await {
            return Ok(connected);
        }
    }
    open(*last).await
}

async fn open(address: SocketAddr) -> io::Result<Connected> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let udp = UdpSocket::bind(any).await?;
    // Has the system tell when nobody listens there.
    udp.connect(address).await?;
    let mut config = ClientConfig::new();
    config.transport = Arc::new(transport());
    // Nobody is taken in by it; the library wants to know all the same how it would be done.
    let mut server = ServerConfig::new();
    server.transport = Arc::new(transport());
    let server = Some(Arc::new(server));
    let mut endpoint = sctp_proto::Endpoint::new(Arc::new(EndpointConfig::new()), server);
    endpoint.reject_new_associations();
    let io = Socket::dial(udp, endpoint, config, address).await?;
    Ok(tcp::plain(io, address))
}

/// A socket that others connect to; it ends when this is dropped, with all that came in by it.
#[derive(Debug)]
pub(crate) struct Listener {
    accepted: mpsc::Receiver<(DuplexStream, SocketAddr)>,
    port: u16,
}

impl Listener {
    pub(crate) async fn bind(addresses: &[SocketAddr]) -> io::Result<Self> {
        let udp = UdpSocket::bind(addresses).await?;
        let port = udp.local_addr()?.port();
        let mut server = ServerConfig::new();
        server.transport = Arc::new(transport());
        let endpoint =
            sctp_proto::Endpoint::new(Arc::new(EndpointConfig::new()), Some(Arc::new(server)));
        let (sender, accepted) = mpsc::channel(ACCEPTED);
        Socket::listen(udp, endpoint, sender);
        Ok(Self { accepted, port })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The next association whose other side has shown that it gets what is sent to its address.
    pub(crate) async fn accept(&mut self) -> Option<(Connected, SocketAddr)> {
        let (io, remote) = self.accepted.recv().await?;
        Some((tcp::plain(io, remote), remote))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use sctp_proto::Payload;

    use super::*;

    /// Passes datagrams on between whoever speaks first and a listener. The first one is answered
    /// with somebody's wish to connect.
    async fn meddle(udp: UdpSocket, listener: SocketAddr) {
        let mut buffer = vec![0; 2048];
        let (mut length, dialler) = udp.recv_from(&mut buffer).await.expect("a datagram");
        let mut config = ClientConfig::new();
        config.transport = Arc::new(transport());
        let mut endpoint = sctp_proto::Endpoint::new(Arc::new(EndpointConfig::new()), None);
        let (_, mut stranger) = endpoint.connect(config, dialler).expect("begins");
        let first = stranger.poll_transmit(Instant::now()).expect("its first packet");
        let Payload::RawEncode(packets) = first.payload else { panic!("to be sent") };
        for packet in packets {
            udp.send_to(&packet, dialler).await.expect("sent");
        }
        let mut to = listener;
        loop {
            udp.send_to(&buffer[..length], to).await.expect("sent");
            let (next, from) = udp.recv_from(&mut buffer).await.expect("a datagram");
            length = next;
            to = if from == dialler { listener } else { dialler };
        }
    }

    #[tokio::test]
    async fn who_dials_takes_nobody_in() {
        let home: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
        let mut listener = Listener::bind(&[home]).await.expect("binds");
        let udp = UdpSocket::bind(home).await.expect("binds");
        let at = udp.local_addr().expect("bound");
        let meddling = meddle(udp, (Ipv4Addr::LOCALHOST, listener.port()).into());
        let met = async { tokio::join!(connect(std::slice::from_ref(&at)), listener.accept()) };
        let met = tokio::select! {
            met = timeout(Duration::from_secs(10), met) => met.expect("in time"),
            () = meddling => unreachable!("it never ends"),
        };
        assert!(met.0.is_ok() && met.1.is_some());
    }
}
