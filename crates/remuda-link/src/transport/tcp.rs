//! TCP, and TLS over it.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{Connected, Io};
use crate::tls::{Channel, server_name};

/// How long one address may take when there is another.
const ONE_OF_MANY: Duration = Duration::from_secs(3);

/// Connects to the first address that answers, from `source` if one is given.
pub(crate) async fn connect(
    addresses: &[SocketAddr],
    source: Option<IpAddr>,
) -> io::Result<(TcpStream, SocketAddr)> {
    let Some((last, others)) = addresses.split_last() else {
        return Err(io::ErrorKind::AddrNotAvailable.into());
    };
    for address in others {
        if let Ok(Ok(stream)) = timeout(ONE_OF_MANY, open(*address, source)).await {
            tune(&stream)?;
            return Ok((stream, *address));
        }
    }
    let stream = open(*last, source).await?;
    tune(&stream)?;
    Ok((stream, *last))
}

/// How much the system takes before it can send it: what waits there cannot be overtaken by a small
/// call any more.
const UNSENT: u32 = 128 << 10;

/// Sets what links need: small messages go at once, and large transfers wait where priorities count.
pub(crate) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_notsent_lowat(UNSENT)
}

async fn open(address: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let Some(source) = source else { return TcpStream::connect(address).await };
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind((source, 0).into())?;
    socket.connect(address).await
}

/// A connection as it is.
pub(crate) fn plain(io: impl Io + 'static, remote: SocketAddr) -> Connected {
    Connected {
        io: Box::new(io),
        channel: Channel::default(),
        remote: remote.to_string(),
        is_local: remote.ip().to_canonical().is_loopback(),
    }
}

/// The dialling side of TLS.
pub(crate) async fn tls_client(
    stream: TcpStream,
    remote: SocketAddr,
    config: Arc<rustls::ClientConfig>,
) -> io::Result<Connected> {
    let stream = TlsConnector::from(config).connect(server_name(), stream).await?;
    let channel = Channel::of(stream.get_ref().1).map_err(io::Error::other)?;
    Ok(Connected { channel, ..plain(stream, remote) })
}

/// The dialled side of TLS.
pub(crate) async fn tls_server(
    stream: TcpStream,
    remote: SocketAddr,
    config: Arc<rustls::ServerConfig>,
) -> io::Result<Connected> {
    let stream = TlsAcceptor::from(config).accept(stream).await?;
    let channel = Channel::of(stream.get_ref().1).map_err(io::Error::other)?;
    Ok(Connected { channel, ..plain(stream, remote) })
}
