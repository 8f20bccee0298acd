//! What carries a link: connecting and accepting, up to the first byte of the handshake.

pub(crate) mod mem;
pub(crate) mod proxy;
pub(crate) mod sctp;
pub(crate) mod tcp;
pub(crate) mod ws;

use std::{fmt, io, net::IpAddr};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::tls::Channel;

/// Any byte stream.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection that has authenticated nobody yet, or only by TLS.
pub(crate) struct Connected {
    pub(crate) io: Box<dyn Io>,
    pub(crate) channel: Channel,
    /// The other side's address as this side sees it.
    pub(crate) remote: String,
    /// Whether both sides are on this machine.
    pub(crate) is_local: bool,
}

impl fmt::Debug for Connected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connected").field("remote", &self.remote).finish_non_exhaustive()
    }
}

/// The addresses of a host.
pub(crate) async fn resolve(host: &str, port: u16) -> io::Result<Vec<std::net::SocketAddr>> {
    // The text form of an IPv6 address in a URL has no brackets any more.
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![(address, port).into()]);
    }
    let found: Vec<_> = tokio::net::lookup_host((host, port)).await?.collect();
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(found)
}
