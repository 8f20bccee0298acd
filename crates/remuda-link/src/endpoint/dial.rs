//! The dialling side, from a URL to a link.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use remuda_model::{ClusterId, Generation, LinkUrl, NodeId, Release, Role, Transport};
use remuda_wire::handshake::{ClientConfig, Established, Proof};
use tokio::net::TcpStream;

use super::{
    Inner,
    accept::LEAVE,
    error::{DialCause, DialError},
    invite::invite,
};
use crate::{
    KeyId, Link, MuxConfig, Peer, Side,
    handshake::{HandshakeError, as_client, clock, random},
    metrics, quic,
    tls::{Channel, Tls},
    transport::{Connected, mem, proxy::Proxy, resolve, sctp, tcp, ws},
};

/// Who dials, and how it proves itself.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) node: NodeId,
    pub(crate) role: Role,
    pub(crate) generation: Generation,
    pub(crate) addresses: Vec<LinkUrl>,
    pub(crate) proof: Proof,
    /// For encrypted transports.
    pub(crate) tls: Option<Arc<rustls::ClientConfig>>,
    /// Who has signed the certificate that it shows there.
    pub(crate) issuer: Option<KeyId>,
    pub(crate) allow_plaintext: bool,
    /// From which address of this machine; over QUIC and SCTP the system chooses.
    pub(crate) source: Option<IpAddr>,
    /// The way out for `wss`.
    pub(crate) proxy: Option<Proxy>,
    /// As which release it speaks.
    pub(crate) release: Release,
}

/// How an endpoint dials, besides the usual.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct How {
    /// From this address of the machine.
    pub(super) source: Option<IpAddr>,
    /// Whether a node may join that waits there to be invited.
    pub(super) invites: bool,
}

pub(super) async fn from_endpoint(
    inner: &Inner,
    url: &LinkUrl,
    how: How,
) -> Result<Link, DialError> {
    let state = inner.state();
    let fail = |cause| DialError { url: url.clone(), cause };
    let mut issuer = None;
    let (proof, tls) = match url.transport {
        Transport::Tls | Transport::Wss | Transport::Quic => {
            let tls = state.tls.as_ref().ok_or_else(|| fail(DialCause::NoCertificate))?;
            issuer = Some(tls.issuer.clone());
            let show = if how.invites { Tls::inviter } else { Tls::client };
            (Proof::Certificate, Some(show(tls, url.transport)))
        }
        Transport::Tcp | Transport::Ws | Transport::Sctp => {
            let secret = inner.secret.clone().ok_or_else(|| fail(DialCause::NoSecret))?;
            (Proof::Secret(secret), None)
        }
        Transport::Mem => (Proof::Secret(mem::process_secret()), None),
    };
    let caller = Caller {
        cluster: Some(state.identity.cluster),
        node: state.identity.node,
        role: state.identity.role,
        generation: state.identity.generation,
        addresses: state.advertise,
        proof,
        tls,
        issuer,
        allow_plaintext: inner.allow_plaintext,
        source: how.source,
        proxy: state.proxy,
        release: state.release,
    };
    call(caller, url, inner.limits.dial, Some(inner)).await
}

/// Connects and authenticates within the limit; `home` is the endpoint that dials, if it is one.
pub(crate) async fn call(
    caller: Caller,
    url: &LinkUrl,
    limit: Duration,
    home: Option<&Inner>,
) -> Result<Link, DialError> {
    let attempt = connect(caller, url, home);
    let outcome = tokio::time::timeout(limit, attempt).await;
    outcome
        .unwrap_or(Err(DialCause::TimedOut { limit }))
        .map_err(|cause| DialError { url: url.clone(), cause })
        .inspect_err(metrics::dial_failed)
}

/// Boxed here, so that all transports are compiled once, with this crate.
fn connect<'a>(
    caller: Caller,
    url: &'a LinkUrl,
    home: Option<&'a Inner>,
) -> BoxFuture<'a, Result<Link, DialCause>> {
    Box::pin(link(caller, url, home))
}

async fn link(caller: Caller, url: &LinkUrl, home: Option<&Inner>) -> Result<Link, DialCause> {
    if url.transport == Transport::Quic {
        let tls = caller.tls.clone().ok_or(DialCause::NoCertificate)?;
        let addresses = resolve(&url.host, url.port).await.map_err(DialCause::Resolve)?;
        let (connection, channel) = quic::connect(&addresses, tls).await?;
        check_cluster(&caller, &channel)?;
        let remote = connection.remote();
        let mut io = connection.open_handshake().await.map_err(DialCause::Lost)?;
        let peer = authenticate(caller, url, (&mut io, &channel, remote), home).await;
        if let Err(DialCause::NotAdmitted(_)) = &peer {
            connection.gone(LEAVE).await;
        }
        let peer = peer.map_err(|cause| match cause {
            DialCause::Lost(error) if connection.ended_by_tls() => {
                let cause = DialCause::Tls(error);
                if channel.waits_for.is_some() { of_waiting(cause) } else { cause }
            }
            cause => cause,
        })?;
        return Ok(Link::quic(connection.start(io), peer));
    }
    let mut connected = carry(&caller, url).await?;
    let Connected { io, channel, remote, .. } = &mut connected;
    let peer = authenticate(caller, url, (io, channel, remote.clone()), home).await?;
    Ok(Link::start_mux(connected.io, Side::Dialer, peer, MuxConfig::default()))
}

/// A byte stream to the other side.
async fn carry(caller: &Caller, url: &LinkUrl) -> Result<Connected, DialCause> {
    if url.transport == Transport::Mem {
        return mem::connect(url.port).map_err(refused_or);
    }
    let proxy = caller.proxy.as_ref().filter(|proxy| proxy.is_for(&url.host));
    if let Some(proxy) = proxy.filter(|_| url.transport == Transport::Wss) {
        let stream = proxy.connect(&url.authority()).await.map_err(DialCause::Proxy)?;
        let remote = format!("{} by way of {proxy}", url.authority());
        let address = stream.peer_addr().map_err(DialCause::Connect)?;
        let connected = encrypt(caller, stream, address).await?;
        return upgrade(Connected { remote, is_local: false, ..connected }, url).await;
    }
    let addresses = resolve(&url.host, url.port).await.map_err(DialCause::Resolve)?;
    let is_plain = !url.transport.is_encrypted();
    let is_remote = addresses.iter().any(|address| !address.ip().to_canonical().is_loopback());
    if is_plain && is_remote && !caller.allow_plaintext {
        return Err(DialCause::Plaintext);
    }
    if url.transport == Transport::Sctp {
        return sctp::connect(&addresses).await.map_err(refused_or);
    }
    let (stream, remote) = tcp::connect(&addresses, caller.source).await.map_err(refused_or)?;
    let connected =
        if is_plain { tcp::plain(stream, remote) } else { encrypt(caller, stream, remote).await? };
    match url.transport {
        Transport::Ws | Transport::Wss => upgrade(connected, url).await,
        Transport::Tls | Transport::Tcp | Transport::Quic | Transport::Mem | Transport::Sctp => {
            Ok(connected)
        }
    }
}

async fn encrypt(
    caller: &Caller,
    stream: TcpStream,
    remote: SocketAddr,
) -> Result<Connected, DialCause> {
    let tls = caller.tls.clone().ok_or(DialCause::NoCertificate)?;
    let connected = tcp::tls_client(stream, remote, tls).await.map_err(tls_or_lost)?;
    check_cluster(caller, &connected.channel)?;
    Ok(connected)
}

/// A node that waits says for which cluster, so that a mistake gets a name.
fn check_cluster(caller: &Caller, channel: &Channel) -> Result<(), DialCause> {
    match (&caller.cluster, &channel.waits_for) {
        (Some(ours), Some(theirs)) if ours != theirs => {
            Err(DialCause::WaitsFor { ours: ours.clone(), theirs: theirs.clone() })
        }
        _ => Ok(()),
    }
}

async fn upgrade(connected: Connected, url: &LinkUrl) -> Result<Connected, DialCause> {
    let is_waiting = connected.channel.waits_for.is_some();
    ws::client(connected, url).await.map_err(|error| match error {
        // With TLS 1.3, a server that rejects the client's certificate says so only now.
        ws::Error::Io(error) if is_waiting => of_waiting(tls_or_lost(error)),
        ws::Error::Io(error) => tls_or_lost(error),
        ws::Error::Protocol(ws::ProtocolError::HandshakeIncomplete) => {
            DialCause::Lost(io::ErrorKind::UnexpectedEof.into())
        }
        error => DialCause::WebSocket(Box::new(error)),
    })
}

/// A connection that breaks off says nothing about certificates: a door that is full closes it as
/// well, and so does a process that ends.
pub(super) fn tls_or_lost(error: io::Error) -> DialCause {
    if is_tls(&error) { DialCause::Tls(error) } else { DialCause::Lost(error) }
}

/// Of a node that waits it is known what it does not like.
pub(super) fn of_waiting(cause: DialCause) -> DialCause {
    match cause {
        DialCause::Tls(error) => DialCause::NotBelieved(error),
        cause => cause,
    }
}

fn is_tls(error: &io::Error) -> bool {
    error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).is_some()
}

fn refused_or(error: io::Error) -> DialCause {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => DialCause::Refused(error),
        _ => DialCause::Connect(error),
    }
}

async fn authenticate<IO>(
    caller: Caller,
    url: &LinkUrl,
    (io, channel, remote): (&mut IO, &Channel, String),
    home: Option<&Inner>,
) -> Result<Peer, DialCause>
where
    IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin,
{
    if let (Some(_), Some(home)) = (&channel.waits_for, home) {
        return invite(home, caller, url, (io, channel, remote)).await;
    }
    if let (Some(facts), Some(home)) = (&channel.peer, home)
        && home.admission.is_revoked(&facts.claim.node, &facts.serial)
    {
        return Err(DialCause::Revoked);
    }
    let config = ClientConfig {
        transport: url.transport,
        binding: channel.binding,
        cluster: caller.cluster,
        node: caller.node,
        role: caller.role,
        generation: caller.generation,
        build: caller.release.version.to_owned(),
        addresses: caller.addresses,
        wall_ms: clock(),
        nonce: random(),
        proof: caller.proof,
        server: channel.peer.as_ref().map(|facts| facts.claim.clone()),
        invited: false,
    };
    let protocols = caller.release.protocols();
    let server = as_client(io, config, protocols).await.map_err(|error| match error {
        HandshakeError::Io(error) => tls_or_lost(error),
        HandshakeError::Client(error) => DialCause::Handshake(error),
        HandshakeError::Frame(_) | HandshakeError::Refused(_) => {
            DialCause::Handshake(remuda_wire::handshake::ClientError::Malformed)
        }
    })?;
    let issuers = channel.peer.iter().map(|facts| facts.issuer.clone()).chain(caller.issuer);
    Ok(Peer { issuers: issuers.collect(), ..peer(server, url.transport, remote, true) })
}

/// The peer of a link, as the handshake made it known.
pub(super) fn peer(
    other: Established,
    transport: Transport,
    remote: String,
    dialled: bool,
) -> Peer {
    Peer {
        node: other.node,
        role: other.role,
        generation: other.generation,
        version: other.build,
        protocol: other.version,
        transport,
        remote,
        addresses: other.addresses,
        dialled,
        authenticated_by: other.method,
        issuers: Vec::new(),
    }
}
