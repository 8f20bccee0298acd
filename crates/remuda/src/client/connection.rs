//! One connection to the API.

use std::{error::Error, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    body::Body,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use remuda_model::{ErrorKind, Failure};
use rustix::net::sockopt;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::config::Address;

/// Sends requests on one connection.
pub(super) type Sender = SendRequest<Full<Bytes>>;

/// Connects, to send bodies of this type.
pub(super) async fn connect<B>(
    address: &Address,
    tls: Option<&Arc<rustls::ClientConfig>>,
) -> Result<SendRequest<B>, Failure>
where
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let tcp = TcpStream::connect((address.host.as_str(), address.port))
        .await
        .map_err(|error| unreachable(address, &error))?;
    // A stream may be silent for hours; only these probes tell that the other side is gone.
    let probes = sockopt::set_socket_keepalive(&tcp, true)
        .and_then(|()| sockopt::set_tcp_keepidle(&tcp, Duration::from_secs(30)))
        .and_then(|()| sockopt::set_tcp_keepintvl(&tcp, Duration::from_secs(10)))
        .and_then(|()| sockopt::set_tcp_keepcnt(&tcp, 3));
    if let Err(error) = probes {
        tracing::debug!(%error, "no keep-alive on a connection to the API");
    }
    tcp.set_nodelay(true).map_err(|error| unreachable(address, &error))?;
    match tls {
        None => handshake(tcp).await,
        Some(config) => {
            let name = ServerName::try_from(address.host.clone())
                .map_err(|error| Failure::invalid(format!("host of the address: {error}")))?;
            let stream =
                TlsConnector::from(config.clone()).connect(name, tcp).await.map_err(|error| {
                    Failure::new(
                        ErrorKind::Unavailable,
                        format!("no trusted TLS connection to {}: {error}", address.authority()),
                    )
                    .code("tls_failed")
                    .hint("check the certificate authority, and that the address is the API's")
                })?;
            handshake(stream).await
        }
    }
}

async fn handshake<I, B>(io: I) -> Result<SendRequest<B>, Failure>
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let (sender, connection) =
        http1::handshake(TokioIo::new(io)).await.map_err(|error| Failure::internal(&error))?;
    // It ends when the sender and the body in progress are dropped; its error reaches them too.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to the API broke");
        }
    });
    Ok(sender)
}

fn unreachable(address: &Address, error: &std::io::Error) -> Failure {
    Failure::new(
        ErrorKind::Unavailable,
        format!("cannot connect to the API at {}: {error}", address.authority()),
    )
    .code("unreachable")
    .hint("is the cluster running? `remuda dev` starts one on this machine")
}
