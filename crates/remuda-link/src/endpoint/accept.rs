//! The listening side: accept loops with limits for strangers.

use std::{
    net::SocketAddr,
    sync::{Arc, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use remuda_model::{ErrorKind, LinkUrl, Role, Transport};
use remuda_runtime::Backoff;
use remuda_wire::handshake::{Credential, Established, Grant, Hello, Refusal, ServerConfig};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};

use super::{Inner, Upgraded, dial::peer, error::ListenError, waiting};
use crate::{
    Link, MuxConfig, Peer, Side,
    handshake::{HandshakeError, Judge, as_server, clock, random},
    identity::CertificateFacts,
    limits::{Place, Source},
    metrics, quic,
    tls::Channel,
    transport::{Connected, Io, mem, resolve, sctp, tcp, ws},
};

/// How long an accepted link waits for somebody to take it.
const HAND_OVER: Duration = Duration::from_secs(10);
/// How long a refused QUIC connection stays, for the other side to read the refusal.
pub(super) const LEAVE: Duration = Duration::from_secs(1);

/// Boxed here, so that all transports are compiled once, with this crate.
pub(super) fn listen<'a>(
    inner: &'a Arc<Inner>,
    url: &'a LinkUrl,
) -> BoxFuture<'a, Result<LinkUrl, ListenError>> {
    Box::pin(bind(inner, url))
}

async fn bind(inner: &Arc<Inner>, url: &LinkUrl) -> Result<LinkUrl, ListenError> {
    let bind_error = |source| ListenError::Bind { url: url.clone(), source };
    if inner.waiting.is_some() && !url.transport.is_encrypted() {
        return Err(ListenError::Unencrypted { url: url.clone() });
    }
    if url.transport == Transport::Mem {
        let listener = mem::Listener::bind(url.port).map_err(bind_error)?;
        let real = LinkUrl { port: listener.port(), ..url.clone() };
        let run = accept_mem(Arc::clone(inner), listener);
        inner.supervisor.spawn("listen", until_stopped(inner, run));
        return Ok(real);
    }
    let addresses = resolve(&url.host, url.port)
        .await
        .map_err(|source| ListenError::Resolve { url: url.clone(), source })?;
    check(inner, url, &addresses)?;
    let port = if url.transport == Transport::Quic {
        let tls = inner.server_tls(Transport::Quic);
        let tls = tls.ok_or_else(|| ListenError::NoCertificate { url: url.clone() })?;
        let listener = quic::Listener::bind(&addresses, tls).map_err(bind_error)?;
        let port = listener.port().map_err(bind_error)?;
        let run = accept_quic(Arc::clone(inner), listener);
        inner.supervisor.spawn("listen", until_stopped(inner, run));
        port
    } else if url.transport == Transport::Sctp {
        let listener = sctp::Listener::bind(&addresses).await.map_err(bind_error)?;
        let port = listener.port();
        let run = accept_sctp(Arc::clone(inner), listener);
        inner.supervisor.spawn("listen", until_stopped(inner, run));
        port
    } else {
        let listener = TcpListener::bind(&addresses[..]).await.map_err(bind_error)?;
        let port = listener.local_addr().map_err(bind_error)?.port();
        let run = accept_tcp(Arc::clone(inner), listener, url.clone());
        inner.supervisor.spawn("listen", until_stopped(inner, run));
        port
    };
    Ok(LinkUrl { port, ..url.clone() })
}

fn check(inner: &Inner, url: &LinkUrl, addresses: &[SocketAddr]) -> Result<(), ListenError> {
    let is_local = addresses.iter().all(|address| address.ip().to_canonical().is_loopback());
    if url.transport.is_encrypted() && inner.server_tls(url.transport).is_none() {
        return Err(ListenError::NoCertificate { url: url.clone() });
    }
    if is_local {
        return Ok(());
    }
    if !url.transport.is_encrypted() && !inner.allow_plaintext {
        return Err(ListenError::Plaintext { url: url.clone() });
    }
    let secrets = [Role::Worker, Role::Control].map(|role| inner.admission.join_secret(role));
    if secrets.iter().flatten().any(remuda_wire::handshake::Secret::is_weak) {
        return Err(ListenError::WeakPassword { url: url.clone() });
    }
    Ok(())
}

/// Ends a loop with the supervisor.
fn until_stopped(
    inner: &Inner,
    run: impl Future<Output = ()> + Send + 'static,
) -> impl Future<Output = ()> + Send + 'static {
    let stop = inner.supervisor.token();
    async move {
        tokio::select! {
            () = stop.cancelled() => (),
            () = run => (),
        }
    }
}

async fn accept_mem(inner: Arc<Inner>, mut listener: mem::Listener) {
    while let Ok(connected) = listener.accept().await {
        let Some(place) = inner.gate.enter(Source::Memory) else { continue };
        let stranger = Stranger::new(&inner, Transport::Mem, Source::Memory, place);
        inner.supervisor.spawn("accept", stranger.meet(async move { Some(connected) }));
    }
}

async fn accept_sctp(inner: Arc<Inner>, mut listener: sctp::Listener) {
    while let Some((connected, remote)) = listener.accept().await {
        let source = Source::from(remote.ip());
        let Some(place) = inner.gate.enter(source) else {
            tracing::debug!(%remote, "too many connections that have not authenticated");
            continue;
        };
        let stranger = Stranger::new(&inner, Transport::Sctp, source, place);
        inner.supervisor.spawn("accept", stranger.meet(async move { Some(connected) }));
    }
}

async fn accept_tcp(inner: Arc<Inner>, listener: TcpListener, url: LinkUrl) {
    let cap = Duration::from_secs(1);
    let mut backoff = Backoff::new(Duration::from_millis(10), cap, u64::from(url.port));
    loop {
        let (stream, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, as a rule: those that are open may end meanwhile.
                tracing::warn!(%url, %error, "cannot accept connections");
                tokio::time::sleep(backoff.next_delay()).await;
                continue;
            }
        };
        backoff.reset();
        let source = Source::from(remote.ip());
        let Some(place) = inner.gate.enter(source) else {
            tracing::debug!(%url, %remote, "too many connections that have not authenticated");
            continue;
        };
        let tls = inner.server_tls(url.transport);
        let url = url.clone();
        let stranger = Stranger::new(&inner, url.transport, source, place);
        let carry = async move { carry(stream, remote, tls, &url).await };
        inner.supervisor.spawn("accept", stranger.meet(carry));
    }
}

async fn carry(
    stream: TcpStream,
    remote: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
    url: &LinkUrl,
) -> Option<Connected> {
    let failed = |error: &dyn std::fmt::Display| {
        tracing::debug!(%url, %remote, %error, "no connection came about");
    };
    tcp::tune(&stream).ok()?;
    let connected = if url.transport.is_encrypted() {
        tcp::tls_server(stream, remote, tls?).await.inspect_err(|error| failed(error)).ok()?
    } else {
        tcp::plain(stream, remote)
    };
    if matches!(url.transport, Transport::Ws | Transport::Wss) {
        let path = url.path.as_deref();
        return ws::server(connected, path).await.inspect_err(|error| failed(error)).ok();
    }
    Some(connected)
}

async fn accept_quic(inner: Arc<Inner>, listener: quic::Listener) {
    while let Some(incoming) = listener.accept().await {
        if inner.gate.is_busy() && incoming.may_retry() {
            // Under pressure, the address must be proved first: anybody can write any into UDP.
            drop(incoming.retry());
            continue;
        }
        let source = Source::from(incoming.remote_address().ip());
        let tls = inner.server_tls(Transport::Quic);
        let (Some(place), Some(tls)) = (inner.gate.enter(source), tls) else {
            incoming.refuse();
            continue;
        };
        let stranger = Stranger::new(&inner, Transport::Quic, source, place);
        inner.supervisor.spawn("accept", stranger.meet_quic(incoming, tls));
    }
}

/// See [`super::Endpoint::accept_upgraded`].
pub(super) async fn upgraded(inner: &Arc<Inner>, io: impl Io + 'static, upgraded: Upgraded) {
    let source = Source::from(upgraded.remote.ip());
    let Some(place) = inner.gate.enter(source) else { return };
    let transport = if upgraded.tls.is_some() { Transport::Wss } else { Transport::Ws };
    let is_local = upgraded.remote.ip().to_canonical().is_loopback();
    if transport == Transport::Ws && !is_local && !inner.allow_plaintext {
        tracing::debug!(remote = %upgraded.remote, "plaintext from another machine refused");
        return;
    }
    let stranger = Stranger::new(inner, transport, source, place);
    let carry = async move {
        let channel = match upgraded.tls {
            None => Channel::default(),
            Some((binding, certificate)) => {
                let facts = certificate.map(|der| CertificateFacts::read(&der));
                Channel { binding, peer: facts.transpose().ok()?, waits_for: None }
            }
        };
        let remote = upgraded.remote.to_string();
        Some(Connected { io: ws::upgraded(io).await, channel, remote, is_local })
    };
    stranger.meet(carry).await;
}

impl Inner {
    /// Counts a link that was dialled by its peer.
    fn has_room_for(&self, link: &Link) -> bool {
        let peer = link.peer();
        let max = match peer.role {
            Role::Client => self.limits.links_per_token,
            Role::Worker | Role::Control => self.limits.links_per_node,
        };
        let mut links = self.peer_links.lock().unwrap_or_else(PoisonError::into_inner);
        links.enter(peer.role, peer.node.clone(), link.watch(), max)
    }

    /// What listeners show, and whom they believe; `None` without a certificate.
    fn server_tls(&self, transport: Transport) -> Option<Arc<rustls::ServerConfig>> {
        match &self.waiting {
            Some(waiting) => Some(waiting.tls.server(transport)),
            None => self.state().tls.map(|tls| tls.server(transport)),
        }
    }

    /// Ends a link that may only join and is not used for that in time.
    pub(super) fn end_in_time(&self, link: &Link) {
        let (joining, limit) = (link.clone(), self.limits.join);
        let end = async move {
            if timeout(limit, joining.closed()).await.is_err() {
                joining.close("too slow to join");
            }
        };
        self.supervisor.spawn("joining", until_stopped(self, end));
    }
}

/// One connection that has not authenticated yet.
struct Stranger {
    inner: Arc<Inner>,
    transport: Transport,
    source: Source,
    place: Place,
}

impl Stranger {
    fn new(inner: &Arc<Inner>, transport: Transport, source: Source, place: Place) -> Self {
        Self { inner: Arc::clone(inner), transport, source, place }
    }

    /// Brings a connection up and authenticates it, in the time that strangers have.
    async fn meet(self, carry: impl Future<Output = Option<Connected>> + Send) {
        let limit = self.inner.limits.authenticate;
        let attempt = async {
            let mut connected = carry.await?;
            let Connected { io, channel, remote, is_local } = &mut connected;
            let peer = self.authenticate(io, channel, remote, *is_local).await?;
            let config = MuxConfig::default();
            Some(Link::start_mux(connected.io, Side::Listener, peer, config))
        };
        let link = timeout(limit, Box::pin(attempt)).await.ok().flatten();
        self.hand_over(link).await;
    }

    /// The same over QUIC, whose handshake uses the first stream.
    async fn meet_quic(self, incoming: quinn::Incoming, tls: Arc<rustls::ServerConfig>) {
        let limit = self.inner.limits.authenticate;
        let attempt = async {
            let accepted = quic::accept(incoming, tls).await;
            let failed = |error: &_| tracing::debug!(%error, "no QUIC connection came about");
            let (connection, channel) = accepted.inspect_err(failed).ok()?;
            let mut io = connection.accept_handshake().await.ok()?;
            let remote = connection.remote();
            let is_local = connection.is_local();
            let Some(peer) = self.authenticate(&mut io, &channel, &remote, is_local).await else {
                connection.gone(LEAVE).await;
                return None;
            };
            Some(Link::quic(connection.start(io), peer))
        };
        let link = timeout(limit, Box::pin(attempt)).await.ok().flatten();
        self.hand_over(link).await;
    }

    async fn hand_over(self, link: Option<Link>) {
        let Self { inner, place, .. } = self;
        drop(place);
        let Some(link) = link else { return };
        if !inner.has_room_for(&link) {
            tracing::info!(node = %link.peer().node, "a peer has too many links");
            link.close("too many links of this peer");
            return;
        }
        if link.peer().may_only_join() {
            inner.end_in_time(&link);
        }
        if timeout(HAND_OVER, inner.accepted.send(link.clone()))
            .await
            .is_ok_and(|sent| sent.is_ok())
        {
            return;
        }
        link.close("nobody takes links here now");
    }

    async fn authenticate<IO>(
        &self,
        io: &mut IO,
        channel: &Channel,
        remote: &str,
        is_local: bool,
    ) -> Option<Peer>
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin,
    {
        if let Some(waiting) = &self.inner.waiting {
            let carried = (io, channel, remote);
            return waiting::authenticate(&self.inner, waiting, self.transport, carried).await;
        }
        let state = self.inner.state();
        let own = state.tls.as_ref().filter(|_| self.transport.is_encrypted());
        let issuers: Vec<_> = (channel.peer.iter().map(|facts| facts.issuer.clone()))
            .chain(own.map(|tls| tls.issuer.clone()))
            .collect();
        let config = ServerConfig {
            transport: self.transport,
            binding: channel.binding,
            cluster: state.identity.cluster,
            node: state.identity.node,
            role: state.identity.role,
            generation: state.identity.generation,
            build: state.release.version.to_owned(),
            addresses: state.advertise,
            wall_ms: clock(),
            nonce: random(),
            client: channel.peer.as_ref().map(|facts| facts.claim.clone()),
            accepts_bearer: self.transport.is_encrypted() || is_local,
            invites: false,
        };
        let protocols = state.release.protocols();
        let decision = Decision {
            inner: &self.inner,
            transport: self.transport,
            source: self.source,
            serial: channel.peer.as_ref().map(|facts| &facts.serial[..]),
            remote,
        };
        let outcome =
            as_server(io, config, protocols, &decision).await.inspect_err(metrics::refused);
        match outcome {
            Ok(client) => {
                Some(Peer { issuers, ..peer(client, self.transport, remote.to_owned(), false) })
            }
            Err(HandshakeError::Refused(
                refusal @ (Refusal::Malformed | Refusal::TooManyAttempts { .. }),
            )) => {
                tracing::debug!(%remote, code = refusal.code(), "a link was refused");
                None
            }
            Err(HandshakeError::Refused(refusal)) => {
                let code = refusal.code();
                tracing::info!(%remote, transport = %self.transport, code, "a link was refused");
                None
            }
            Err(error) => {
                tracing::debug!(%remote, transport = %self.transport, %error, "no link came about");
                None
            }
        }
    }
}

/// What the admission and the limits say about one stranger.
pub(super) struct Decision<'a> {
    pub(super) inner: &'a Inner,
    pub(super) transport: Transport,
    pub(super) source: Source,
    pub(super) serial: Option<&'a [u8]>,
    pub(super) remote: &'a str,
}

impl Decision<'_> {
    /// Those who guess have to wait. Certificates cannot be guessed.
    fn may_try(&self) -> Result<(), Refusal> {
        let failures = self.inner.failures.lock().unwrap_or_else(PoisonError::into_inner);
        match failures.must_wait(Instant::now(), self.source) {
            None => Ok(()),
            Some(wait) => {
                let retry_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                Err(Refusal::TooManyAttempts { retry_ms })
            }
        }
    }
}

impl Judge for Decision<'_> {
    fn authorize(&self, hello: &Hello) -> Result<Grant, Refusal> {
        match &hello.credential {
            Credential::Certificate => {
                let serial = self.serial.ok_or(Refusal::AuthFailed)?;
                if self.inner.admission.is_revoked(&hello.node, serial) {
                    return Err(Refusal::Revoked);
                }
                Ok(Grant::Certificate)
            }
            Credential::Secret if self.transport == Transport::Mem => {
                Ok(Grant::Secret(mem::process_secret()))
            }
            Credential::Secret => {
                self.may_try()?;
                let secret = self.inner.admission.join_secret(hello.role);
                secret.map(Grant::Secret).ok_or(Refusal::AuthFailed)
            }
            Credential::Bearer(bearer) => {
                self.may_try()?;
                let holder = self.inner.admission.client(bearer.expose());
                holder.map(Grant::Bearer).map_err(|failure| match failure.kind {
                    ErrorKind::Unauthenticated => Refusal::AuthFailed,
                    _ => Refusal::NotAdmitted(failure),
                })
            }
        }
    }

    fn admit(&self, client: &Established) -> Result<(), Refusal> {
        let peer = peer(client.clone(), self.transport, self.remote.to_owned(), false);
        self.inner.admission.admit(&peer).map_err(Refusal::NotAdmitted)
    }

    async fn refused(&self, refusal: &Refusal) {
        if *refusal == Refusal::AuthFailed {
            let mut failures = self.inner.failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.failed(Instant::now(), self.source);
        }
        // The same delay whatever was wrong, and some jitter against measuring what is left.
        let delay = self.inner.limits.refusal_delay;
        tokio::time::sleep(delay + delay.mul_f64(fastrand::f64() / 4.0)).await;
    }
}
