//! Links over QUIC, which brings its own streams, credit and signs of life.
//!
//! The first stream carries the handshake. Every later one begins with its priority (1 byte), the
//! length of its protocol's name (1 byte) and the name. Resets carry a code and no text.

mod stream;

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use bytes::Bytes;
use quinn::{
    ClientConfig, ConnectionError, EndpointConfig, IdleTimeout, Incoming, ServerConfig,
    TokioRuntime, TransportConfig, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use remuda_wire::{handshake::CHANNEL_BINDING_LABEL, mux::Priority};
use rustls::pki_types::CertificateDer;
use tokio::{sync::mpsc, task::JoinSet, time::timeout};

pub(crate) use self::stream::{RecvStream, SendStream};
use crate::{
    CallError, CloseReason, DialCause, LinkError, StreamError, code,
    link::Opened,
    metrics::{self, OpenLink},
    tls::Channel,
};

const KEEP_ALIVE: Duration = Duration::from_secs(5);
const SILENCE_MS: u32 = 15_000;
/// Streams that the peer may have open at a time.
const MAX_STREAMS: u32 = 4_096;
/// What may be under way on all streams together, in bytes: before and after authentication.
const STRANGER_WINDOW: u32 = 64 * 1024;
const WINDOW: u32 = 16 << 20;
/// What may be under way on one stream, in bytes.
const STREAM_WINDOW: u32 = 1 << 20;
/// How long the first bytes of a stream may take.
const HEADER_LIMIT: Duration = Duration::from_secs(10);
/// Streams whose first bytes are awaited at a time, and as many that wait to be accepted.
const OPENING: usize = 256;
/// How often the bytes of a connection are added to those of all others.
const COUNT: Duration = Duration::from_secs(10);
/// The longest reason for closing, in bytes.
const MAX_REASON: usize = 1024;

fn transport() -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    config
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(SILENCE_MS))))
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(STRANGER_WINDOW))
        .send_window(u64::from(WINDOW))
        .datagram_receive_buffer_size(None);
    Arc::new(config)
}

/// A UDP port that takes connections.
#[derive(Debug)]
pub(crate) struct Listener(quinn::Endpoint);

impl Listener {
    pub(crate) fn bind(
        addresses: &[SocketAddr],
        tls: Arc<rustls::ServerConfig>,
    ) -> io::Result<Self> {
        let socket = UdpSocket::bind(addresses)?;
        let config = server_config(tls).map_err(io::Error::other)?;
        let runtime = Arc::new(TokioRuntime);
        quinn::Endpoint::new(EndpointConfig::default(), Some(config), socket, runtime).map(Self)
    }

    pub(crate) fn port(&self) -> io::Result<u16> {
        self.0.local_addr().map(|address| address.port())
    }

    /// The next one who knocks; `None` when the socket is broken.
    pub(crate) async fn accept(&self) -> Option<Incoming> {
        self.0.accept().await
    }
}

impl Drop for Listener {
    /// The socket lives on with its connections, but takes no new ones.
    fn drop(&mut self) {
        self.0.set_server_config(None);
    }
}

fn server_config(tls: Arc<rustls::ServerConfig>) -> Result<ServerConfig, Error> {
    let crypto = QuicServerConfig::try_from(tls).map_err(|_no_suite| Error::Suite)?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(transport()).max_incoming(1_024).incoming_buffer_size(16 * 1024);
    Ok(config)
}

/// Why no QUIC connection came about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the TLS configuration lacks the cipher suite of QUIC")]
    Suite,
    #[error("QUIC connection failed")]
    Connection(#[from] ConnectionError),
    #[error("cannot bind the handshake to the channel")]
    Binding,
    #[error("unusable certificate")]
    Certificate(#[from] crate::identity::CertificateError),
}

/// Takes a connection, up to the end of the TLS handshake.
pub(crate) async fn accept(
    incoming: Incoming,
    tls: Arc<rustls::ServerConfig>,
) -> Result<(Stranger, Channel), Error> {
    let config = Arc::new(server_config(tls)?);
    let connection = incoming.accept_with(config)?.await?;
    let channel = channel(&connection)?;
    Ok((Stranger(connection), channel))
}

/// Connects to the first address that answers, up to the end of the TLS handshake.
pub(crate) async fn connect(
    addresses: &[SocketAddr],
    tls: Arc<rustls::ClientConfig>,
) -> Result<(Stranger, Channel), DialCause> {
    let crypto = QuicClientConfig::try_from(tls)
        .map_err(|_no_suite| DialCause::Quic(Box::new(Error::Suite)))?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(transport());
    let mut last = DialCause::Connect(io::ErrorKind::AddrNotAvailable.into());
    for address in addresses {
        let any = if address.is_ipv4() {
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
        } else {
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
        };
        // Lives on as long as the connection.
        let endpoint = quinn::Endpoint::client(any).map_err(DialCause::Connect)?;
        let name = "node.remuda.invalid";
        let connecting = endpoint
            .connect_with(config.clone(), *address, name)
            .map_err(|error| DialCause::Quic(Box::new(error)))?;
        match connecting.await {
            Ok(connection) => {
                let channel =
                    channel(&connection).map_err(|error| DialCause::Quic(Box::new(error)))?;
                return Ok((Stranger(connection), channel));
            }
            Err(error) if is_tls(&error) => return Err(DialCause::Tls(io::Error::other(error))),
            Err(error) => last = DialCause::Quic(Box::new(error)),
        }
    }
    Err(last)
}

fn channel(connection: &quinn::Connection) -> Result<Channel, Error> {
    let mut binding = [0; 32];
    connection
        .export_keying_material(&mut binding, CHANNEL_BINDING_LABEL, b"")
        .map_err(|_too_long| Error::Binding)?;
    let chain = connection
        .peer_identity()
        .and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok());
    Ok(Channel::showing(binding, chain.as_ref().and_then(|chain| chain.first()))?)
}

/// Whether one of the sides did not like the other's certificate or TLS.
fn is_tls(error: &ConnectionError) -> bool {
    let code = match error {
        ConnectionError::TransportError(error) => error.code,
        ConnectionError::ConnectionClosed(frame) => frame.error_code,
        _ => return false,
    };
    // RFC 9000, section 20.1: these carry TLS alerts.
    (0x100..0x200).contains(&u64::from(code))
}

/// A connection whose handshake is still to be done.
#[derive(Debug)]
pub(crate) struct Stranger(quinn::Connection);

/// The stream of the handshake.
pub(crate) type HandshakeStream = tokio::io::Join<quinn::RecvStream, quinn::SendStream>;

impl Stranger {
    pub(crate) fn remote(&self) -> String {
        self.0.remote_address().to_string()
    }

    pub(crate) fn is_local(&self) -> bool {
        self.0.remote_address().ip().to_canonical().is_loopback()
    }

    pub(crate) async fn open_handshake(&self) -> io::Result<HandshakeStream> {
        let (send, recv) = self.0.open_bi().await?;
        Ok(tokio::io::join(recv, send))
    }

    pub(crate) async fn accept_handshake(&self) -> io::Result<HandshakeStream> {
        let (send, recv) = self.0.accept_bi().await?;
        Ok(tokio::io::join(recv, send))
    }

    /// Whether the connection ended because of a certificate. A server's refusal of the client's
    /// comes after the client's own handshake is done.
    pub(crate) fn ended_by_tls(&self) -> bool {
        self.0.close_reason().as_ref().is_some_and(is_tls)
    }

    /// Waits until the other side has read why it was refused and has gone.
    pub(crate) async fn gone(&self, limit: Duration) {
        // Whether it has gone by then or not, the connection ends.
        let _gone_or_late = timeout(limit, self.0.closed()).await;
    }

    /// The handshake is done: the peer may use the connection.
    pub(crate) fn start(self, handshake: HandshakeStream) -> Connection {
        drop(handshake);
        let Self(connection) = self;
        connection.set_receive_window(VarInt::from_u32(WINDOW));
        connection.set_max_concurrent_bi_streams(VarInt::from_u32(MAX_STREAMS));
        let (sender, accepted) = mpsc::channel(OPENING);
        let shared = Arc::new(Shared { connection, closed_here: OnceLock::new() });
        let accept = accept_streams(shared.connection.clone(), Arc::downgrade(&shared), sender);
        tokio::spawn(accept);
        Connection { shared, accepted: Arc::new(tokio::sync::Mutex::new(accepted)) }
    }
}

/// A link's connection. Cheap to clone; ends when it is closed, or when nobody holds it or one of
/// its streams any more.
#[derive(Clone)]
pub(crate) struct Connection {
    shared: Arc<Shared>,
    accepted: Arc<tokio::sync::Mutex<mpsc::Receiver<Accepted>>>,
}

type Accepted = (Opened, SendStream, RecvStream);

/// What the streams of a connection need of it.
struct Shared {
    connection: quinn::Connection,
    /// Why this side has closed it.
    closed_here: OnceLock<String>,
}

impl Drop for Shared {
    /// The task that accepts streams holds the connection, but not this.
    fn drop(&mut self) {
        let reason = "nobody holds the link any more";
        self.connection.close(VarInt::from_u32(code::CLOSED), reason.as_bytes());
    }
}

impl Shared {
    fn reason(&self, error: ConnectionError) -> CloseReason {
        match error {
            ConnectionError::LocallyClosed => {
                CloseReason::Here(self.closed_here.get().cloned().unwrap_or_default())
            }
            ConnectionError::ApplicationClosed(frame) => {
                CloseReason::Peer(String::from_utf8_lossy(&frame.reason).into_owned())
            }
            ConnectionError::TimedOut => CloseReason::Silent,
            other => CloseReason::Lost(other.to_string()),
        }
    }

    fn closed(&self, error: ConnectionError) -> StreamError {
        StreamError::Closed(self.reason(error))
    }
}

impl Connection {
    pub(crate) async fn open(
        &self,
        protocol: &str,
        priority: Priority,
    ) -> Result<(SendStream, RecvStream), LinkError> {
        let length = u8::try_from(protocol.len()).ok().filter(|length| *length > 0);
        let Some(length) = length else {
            return Err(LinkError::ProtocolName(protocol.chars().take(80).collect()));
        };
        let closed = |error| LinkError::Closed(self.shared.reason(error));
        let (send, recv) = self.shared.connection.open_bi().await.map_err(closed)?;
        let mut send = SendStream::new(send, priority, Arc::clone(&self.shared));
        let recv = RecvStream::new(recv, Arc::clone(&self.shared));
        let header = [&[priority as u8, length], protocol.as_bytes()].concat();
        send.write(header.into()).await.map_err(|error| match error {
            StreamError::Closed(reason) => LinkError::Closed(reason),
            other => LinkError::Closed(CloseReason::Lost(other.to_string())),
        })?;
        Ok((send, recv))
    }

    pub(crate) async fn call(
        &self,
        protocol: &str,
        priority: Priority,
        body: Bytes,
        max: usize,
    ) -> Result<Bytes, CallError> {
        let (mut send, mut recv) =
            self.open(protocol, priority).await.map_err(CallError::NotSent)?;
        send.finish_with(body).await?;
        Ok(recv.read_to_end(max).await?)
    }

    pub(crate) async fn accept(&self) -> Option<Accepted> {
        self.accepted.lock().await.recv().await
    }

    pub(crate) async fn closed(&self) -> CloseReason {
        let error = self.shared.connection.closed().await;
        self.shared.reason(error)
    }

    pub(crate) fn close_reason(&self) -> Option<CloseReason> {
        let error = self.shared.connection.close_reason()?;
        Some(self.shared.reason(error))
    }

    pub(crate) fn close(&self, reason: &str) {
        // Why it has ended already would be forgotten.
        if self.shared.connection.close_reason().is_some() {
            return;
        }
        let mut end = reason.len().min(MAX_REASON);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let reason = &reason[..end];
        // A second reason comes too late.
        let _first = self.shared.closed_here.set(reason.to_owned());
        self.shared.connection.close(VarInt::from_u32(code::CLOSED), reason.as_bytes());
    }

    /// Counts the link and what it carries, from time to time and at its end.
    pub(crate) fn count(&self, open: OpenLink) {
        tokio::spawn(count(self.shared.connection.clone(), Arc::downgrade(&self.shared), open));
    }

    pub(crate) fn rtt(&self) -> Duration {
        self.shared.connection.rtt()
    }

    /// Whether the connection is still used, for one who does not hold it.
    pub(crate) fn watch(&self) -> impl Fn() -> bool + Send + 'static {
        let shared = Arc::downgrade(&self.shared);
        move || shared.upgrade().is_some_and(|shared| shared.connection.close_reason().is_none())
    }
}

/// Ends with the connection, which it does not keep open.
async fn count(connection: quinn::Connection, shared: Weak<Shared>, open: OpenLink) {
    let (mut received, mut sent) = (0, 0);
    loop {
        let ended = timeout(COUNT, connection.closed()).await.ok();
        let stats = connection.stats();
        open.traffic().received.add(stats.udp_rx.bytes.saturating_sub(received));
        open.traffic().sent.add(stats.udp_tx.bytes.saturating_sub(sent));
        (received, sent) = (stats.udp_rx.bytes, stats.udp_tx.bytes);
        let Some(error) = ended else { continue };
        let reason = match shared.upgrade() {
            Some(shared) => shared.reason(error),
            // Nobody holds it any more: closed by being dropped.
            None => CloseReason::Here(String::new()),
        };
        metrics::ended(&reason);
        return;
    }
}

/// Reads the first bytes of the streams that the peer opens, many at a time, so that a slow one does
/// not hold up the others. Ends with the connection.
async fn accept_streams(
    connection: quinn::Connection,
    shared: Weak<Shared>,
    accepted: mpsc::Sender<Accepted>,
) {
    let mut opening = JoinSet::new();
    loop {
        let ready = tokio::select! {
            stream = connection.accept_bi(), if opening.len() < OPENING => {
                let Ok((send, recv)) = stream else { return };
                let Some(shared) = shared.upgrade() else { return };
                let header = read_header(send, recv, shared);
                opening.spawn(async { timeout(HEADER_LIMIT, header).await.ok().flatten() });
                continue;
            }
            Some(ready) = opening.join_next() => ready,
        };
        let Ok(Some(stream)) = ready else { continue };
        tokio::select! {
            // When nobody accepts any more, the stream is reset.
            _nobody = accepted.send(stream) => (),
            _closed = connection.closed() => return,
        }
    }
}

async fn read_header(
    send: quinn::SendStream,
    recv: quinn::RecvStream,
    shared: Arc<Shared>,
) -> Option<Accepted> {
    let mut recv = RecvStream::new(recv, Arc::clone(&shared));
    let [priority, length] = recv.read_exact().await?;
    let priority = Priority::ALL.into_iter().find(|known| *known as u8 == priority)?;
    let mut name = vec![0; usize::from(length)];
    recv.fill(&mut name).await?;
    let protocol = String::from_utf8(name).ok().filter(|name| !name.is_empty())?;
    let send = SendStream::new(send, priority, shared);
    Some((Opened { protocol, priority }, send, recv))
}
