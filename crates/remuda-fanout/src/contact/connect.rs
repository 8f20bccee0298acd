//! Connections to addresses that the policy has judged, with TLS on wish.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use remuda_model::run::TroubleKind;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Draft, Stop};
use crate::resolve::Gate;

/// A connection, with or without TLS.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    // Much larger than the other.
    Tls(Box<TlsStream<TcpStream>>),
}

/// TLS for a connection, and the name that the certificate must have.
pub(crate) struct Secure {
    pub(crate) connector: TlsConnector,
    pub(crate) name: ServerName<'static>,
}

/// Connects to a port of a host, within a time that holds for the names, the connection and TLS
/// together. Dropping the future closes the connection.
pub(crate) async fn connect(
    gate: &Gate,
    (host, port): (&str, u16),
    secure: Option<Secure>,
    limit: Duration,
    draft: &mut Draft,
) -> Result<Stream, Stop> {
    let end = Instant::now() + limit;
    let made = timeout_at(end, async {
        let stream = tcp(gate, (host, port), end, draft).await?;
        match secure {
            None => Ok(Stream::Plain(stream)),
            Some(Secure { connector, name }) => {
                let stream = connector.connect(name, stream).await;
                Ok(Stream::Tls(Box::new(stream.map_err(|error| Stop::broken(&error))?)))
            }
        }
    });
    made.await.unwrap_or_else(|_late| Err(late(limit)))
}

/// The same, without TLS.
pub(crate) async fn tcp(
    gate: &Gate,
    (host, port): (&str, u16),
    end: Instant,
    draft: &mut Draft,
) -> Result<TcpStream, Stop> {
    let limit = end.saturating_duration_since(Instant::now());
    let addresses = timeout_at(end, gate.sockets(host, port)).await;
    let addresses = addresses.unwrap_or_else(|_late| {
        let message = format!("no name server answers for `{host}` in time");
        Err(Stop::passing(TroubleKind::Dns, message))
    })?;
    let mut last = late(limit);
    for (at, address) in addresses.iter().enumerate() {
        draft.at(address);
        // The rest of the time in equal parts, so that one silent address leaves some to the others.
        let rest = end.saturating_duration_since(Instant::now());
        let parts = u32::try_from(addresses.len() - at).unwrap_or(u32::MAX);
        match timeout_at(Instant::now() + rest / parts, open(*address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = Stop::connecting(&error),
            Err(_) => last = late(limit),
        }
    }
    Err(last)
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn late(limit: Duration) -> Stop {
    let message = format!("no connection in {} ms", limit.as_millis());
    Stop::passing(TroubleKind::ConnectTimeout, message)
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
