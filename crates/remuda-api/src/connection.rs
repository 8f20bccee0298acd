//! One connection: TLS, time limits, requests.

use std::{
    net::SocketAddr,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use axum::{Router, body::Body, http::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use remuda_runtime::CancellationToken;
use rustix::net::sockopt;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::{
    config::{ApiLimits, ApiTls},
    guard::Source,
};

/// The most headers of one request.
const MAX_HEADERS: usize = 100;

/// What all connections share.
pub(crate) struct Terms {
    pub(crate) router: Router,
    pub(crate) tls: Option<ApiTls>,
    pub(crate) limits: ApiLimits,
    pub(crate) stop: CancellationToken,
}

/// Serves one connection to its end.
pub(crate) async fn serve(stream: TcpStream, source: SocketAddr, terms: &Terms) {
    // Streams may be silent for hours; only these probes tell that the caller's machine is gone.
    let options = stream.set_nodelay(true).and_then(|()| Ok(probe(&stream)?));
    if let Err(error) = options {
        tracing::debug!(%error, %source, "a connection to the API ended at once");
        return;
    }
    let deadline = Instant::now() + terms.limits.first_head;
    match &terms.tls {
        None => requests(stream, source, terms, deadline).await,
        Some(tls) => match timeout_at(deadline, TlsAcceptor::from(tls.0.clone()).accept(stream))
            .await
        {
            Ok(Ok(stream)) => requests(stream, source, terms, deadline).await,
            Ok(Err(error)) => tracing::debug!(%error, %source, "no TLS on a connection to the API"),
            Err(_elapsed) => tracing::debug!(%source, "a TLS handshake with the API took too long"),
        },
    }
}

fn probe(stream: &TcpStream) -> rustix::io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, Duration::from_secs(30))?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(10))?;
    sockopt::set_tcp_keepcnt(stream, 3)
}

async fn requests<I>(io: I, source: SocketAddr, terms: &Terms, first_head: Instant)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let begun = AtomicBool::new(false);
    let service = service_fn(|mut request: Request<Incoming>| {
        begun.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(Source(source.ip()));
        terms.router.clone().oneshot(request.map(Body::new))
    });
    let limits = &terms.limits;
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Counts from the end of an answer, so that it limits idleness as well.
        .header_read_timeout(limits.keep_alive)
        .max_headers(MAX_HEADERS)
        .max_header_size(limits.head_bytes)
        .max_buf_size(limits.head_bytes.max(8 * 1024))
        .serve_connection(TokioIo::new(io), service);
    let mut connection = pin!(connection);
    let mut late = pin!(sleep_until(first_head));
    let mut may_be_late = true;
    let result = loop {
        tokio::select! {
            result = connection.as_mut() => break result,
            () = late.as_mut(), if may_be_late => {
                may_be_late = false;
                if !begun.load(Ordering::Relaxed) {
                    return;
                }
            }
            () = terms.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                match timeout(limits.drain, connection.as_mut()).await {
                    Ok(result) => break result,
                    Err(_elapsed) => return,
                }
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, %source, "a connection to the API ended");
    }
}
