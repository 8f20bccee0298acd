//! Where a node meets others: it listens, accepts and dials, and gives out authenticated links.

mod accept;
mod admission;
mod dial;
mod error;
mod invite;
mod waiting;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use remuda_model::{LinkUrl, Release};
use remuda_runtime::Supervisor;
use remuda_wire::handshake::Secret;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
};

pub(crate) use self::dial::{Caller, call};
pub use self::{
    admission::{Admission, CertificatesOnly},
    error::{DialCause, DialError, ListenError},
    waiting::{Waiting, WaitingConfig},
};
use self::{dial::How, waiting::Waits};
use crate::{
    Link,
    identity::{CertificateError, CertificateFacts, Identity, NodeCertificate},
    limits::{Failures, Gate, Limits, PeerLinks},
    tls::Tls,
    transport::proxy::Proxy,
};

/// Accepted links that wait to be taken; further ones wait outside.
const ACCEPTED: usize = 64;
/// Advertised addresses beyond these are left out, so that a hello stays short.
const MAX_ADVERTISED: usize = 16;

/// What an [`Endpoint`] needs.
#[derive(Clone)]
pub struct EndpointConfig {
    /// Who this node is.
    pub identity: Identity,
    /// Where others can dial it; 16 addresses count.
    pub advertise: Vec<LinkUrl>,
    /// Whether plaintext transports may leave this machine.
    pub allow_plaintext: bool,
    /// Decides who comes in.
    pub admission: Arc<dyn Admission>,
    /// What this node proves on plaintext links that it dials.
    pub secret: Option<Secret>,
    /// Bounds for strangers.
    pub limits: Limits,
}

impl fmt::Debug for EndpointConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointConfig")
            .field("identity", &self.identity)
            .field("advertise", &self.advertise)
            .field("allow_plaintext", &self.allow_plaintext)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// A node's door: cheap to clone. Listeners live as long as the supervisor; links live on their own.
#[derive(Clone)]
pub struct Endpoint(Arc<Inner>);

pub(crate) struct Inner {
    state: RwLock<State>,
    /// For a node that waits to be invited.
    waiting: Option<Waits>,
    allow_plaintext: bool,
    admission: Arc<dyn Admission>,
    secret: Option<Secret>,
    limits: Limits,
    gate: Gate,
    failures: Mutex<Failures>,
    peer_links: Mutex<PeerLinks>,
    accepted: mpsc::Sender<Link>,
    supervisor: Supervisor,
}

/// What may change while links live.
#[derive(Clone)]
struct State {
    identity: Identity,
    advertise: Vec<LinkUrl>,
    /// The CAs whose certificates are believed, DER; none means that of the own certificate.
    trusted: Vec<Vec<u8>>,
    tls: Option<Tls>,
    proxy: Option<Proxy>,
    release: Release,
}

/// A connection that an HTTP server of this process has upgraded to a WebSocket.
#[derive(Clone, Debug)]
pub struct Upgraded {
    /// The other side.
    pub remote: SocketAddr,
    /// For `wss`: what its TLS channel exports under the label `EXPORTER-Channel-Binding`, and the
    /// verified certificate of the client, DER.
    pub tls: Option<([u8; 32], Option<Vec<u8>>)>,
}

impl Endpoint {
    /// A door that is still closed. The receiver gives the authenticated links that others dialled;
    /// it must be drained, because connections wait while it is full.
    ///
    /// # Errors
    ///
    /// When the identity's certificate cannot be used.
    pub fn new(
        config: EndpointConfig,
        supervisor: Supervisor,
    ) -> Result<(Self, mpsc::Receiver<Link>), CertificateError> {
        let (inner, links) = Inner::new(config, None, Release::CURRENT, supervisor)?;
        Ok((Self(inner), links))
    }

    /// Listens until the supervisor ends. Gives the address with the port that was taken, which is
    /// the one asked for unless that was 0.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound, needs a certificate that is not there, or would be
    /// plaintext beyond this machine. [`ListenError::hint`] says what to do.
    pub async fn listen(&self, url: &LinkUrl) -> Result<LinkUrl, ListenError> {
        accept::listen(&self.0, url).await
    }

    /// Connects and authenticates, within [`Limits::dial`] in all.
    ///
    /// # Errors
    ///
    /// [`DialError`] names what failed; [`DialError::hint`] says what to do.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the attempt.
    pub async fn dial(&self, url: &LinkUrl) -> Result<Link, DialError> {
        dial::from_endpoint(&self.0, url, How::default()).await
    }

    /// Like [`dial`](Self::dial), and lets a node join that [waits](Waiting) there: over `tls`, `wss`
    /// and `quic`. It has then proved the join secret, may only ask for its certificate
    /// ([`Peer::may_only_join`](crate::Peer::may_only_join)), and has [`Limits::join`] for it.
    ///
    /// # Errors
    ///
    /// As [`dial`](Self::dial), and when the node waits for another cluster or may not join.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the attempt.
    pub async fn invite(&self, url: &LinkUrl) -> Result<Link, DialError> {
        let how = How { invites: true, ..How::default() };
        let link = dial::from_endpoint(&self.0, url, how).await?;
        if link.peer().may_only_join() {
            self.0.end_in_time(&link);
        }
        Ok(link)
    }

    /// Like [`dial`](Self::dial), from one address of this machine: for machines with several, and
    /// for programs that stand for many nodes. Over `quic` the system chooses the address.
    ///
    /// # Errors
    ///
    /// As [`dial`](Self::dial), and when this machine does not have the address.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the attempt.
    pub async fn dial_from(&self, url: &LinkUrl, source: IpAddr) -> Result<Link, DialError> {
        let how = How { source: Some(source), ..How::default() };
        dial::from_endpoint(&self.0, url, how).await
    }

    /// Authenticates a WebSocket connection whose upgrade was answered elsewhere; the link comes
    /// out of the receiver of [`new`](Self::new) like any other. Returns when that is decided.
    pub async fn accept_upgraded(
        &self,
        io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        upgraded: Upgraded,
    ) {
        accept::upgraded(&self.0, io, upgraded).await;
    }

    /// Uses this certificate for every handshake from now on.
    ///
    /// # Errors
    ///
    /// When it cannot be used; the old one stays.
    pub fn set_certificate(&self, certificate: NodeCertificate) -> Result<(), CertificateError> {
        let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        let identity = Identity { certificate: Some(certificate), ..state.identity.clone() };
        state.tls = tls_of(&identity, &state.trusted)?;
        state.identity = identity;
        Ok(())
    }

    /// Believes certificates of these CAs (DER) from now on, and of no others; without a call, of
    /// the CA that came with the own certificate. Links that are open stay.
    ///
    /// # Errors
    ///
    /// When one of them cannot be used; nothing changes then.
    pub fn set_trusted(&self, trusted: Vec<Vec<u8>>) -> Result<(), CertificateError> {
        let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        state.tls = tls_of(&state.identity, &trusted)?;
        state.trusted = trusted;
        Ok(())
    }

    /// The CAs whose certificates are believed, DER.
    pub fn trusted(&self) -> Vec<Vec<u8>> {
        let state = self.0.state.read().unwrap_or_else(PoisonError::into_inner);
        let own = state.identity.certificate.as_ref();
        if state.trusted.is_empty() {
            own.map(|certificate| certificate.ca.clone()).into_iter().collect()
        } else {
            state.trusted.clone()
        }
    }

    /// Says to peers from now on that this node can be dialled here; 16 addresses count.
    pub fn set_advertise(&self, mut advertise: Vec<LinkUrl>) {
        advertise.truncate(MAX_ADVERTISED);
        self.0.state.write().unwrap_or_else(PoisonError::into_inner).advertise = advertise;
    }

    /// Speaks as a node of this release in every handshake from now on; as
    /// [`Release::CURRENT`] unless said here.
    pub fn set_release(&self, release: Release) {
        self.0.state.write().unwrap_or_else(PoisonError::into_inner).release = release;
    }

    /// Dials over `wss` by way of this proxy from now on.
    pub fn set_proxy(&self, proxy: Option<Proxy>) {
        self.0.state.write().unwrap_or_else(PoisonError::into_inner).proxy = proxy;
    }

    /// Who this node is.
    pub fn identity(&self) -> Identity {
        self.0.state().identity
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("identity", &self.identity()).finish_non_exhaustive()
    }
}

impl Inner {
    fn new(
        config: EndpointConfig,
        waiting: Option<Waits>,
        release: Release,
        supervisor: Supervisor,
    ) -> Result<(Arc<Self>, mpsc::Receiver<Link>), CertificateError> {
        let (accepted, links) = mpsc::channel(ACCEPTED);
        let tls = tls_of(&config.identity, &[])?;
        let mut advertise = config.advertise;
        advertise.truncate(MAX_ADVERTISED);
        let state = State {
            identity: config.identity,
            advertise,
            trusted: Vec::new(),
            tls,
            proxy: None,
            release,
        };
        let inner = Self {
            state: RwLock::new(state),
            waiting,
            allow_plaintext: config.allow_plaintext,
            admission: config.admission,
            secret: config.secret,
            limits: config.limits,
            gate: Gate::new(config.limits),
            failures: Mutex::new(Failures::new(config.limits.failures_per_minute)),
            peer_links: Mutex::new(PeerLinks::new()),
            accepted,
            supervisor,
        };
        Ok((Arc::new(inner), links))
    }

    fn state(&self) -> State {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A certificate of another node or cluster is caught here, before a peer does.
fn tls_of(identity: &Identity, trusted: &[Vec<u8>]) -> Result<Option<Tls>, CertificateError> {
    let Some(certificate) = &identity.certificate else { return Ok(None) };
    let claim = CertificateFacts::read(&certificate.certificate)?.claim;
    if (&claim.cluster, claim.role, &claim.node)
        != (&identity.cluster, identity.role, &identity.node)
    {
        return Err(CertificateError::OtherNode(claim));
    }
    let own = std::slice::from_ref(&certificate.ca);
    let trusted = if trusted.is_empty() { own } else { trusted };
    Tls::new(&identity.cluster, certificate, trusted).map(Some)
}

#[cfg(test)]
mod tests;
