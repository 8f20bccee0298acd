//! How the API is served.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use remuda_model::ErrorKind;
use rustls::{
    ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::{CertifiedKey, SingleCertAndKey},
};

use crate::MoreMetrics;

/// Where and how to serve the API.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The certificate to present. Needed on every address but loopback.
    pub tls: Option<ApiTls>,
    /// Further names under which the API may be reached, besides IP addresses it listens on and
    /// `localhost`: requests for other names are refused, because a page that makes a browser
    /// resolve its own name to this address (DNS rebinding) sends that name.
    pub names: Vec<String>,
    /// Serves without TLS on an address that is not loopback; tokens then cross the network in
    /// the clear.
    pub insecure: bool,
    /// Limits against abuse and bad networks.
    pub limits: ApiLimits,
    /// Shows `/metrics` to callers without a token. It tells nothing secret, but how many nodes
    /// there are and what they do.
    pub open_metrics: bool,
    /// What `/metrics` shows besides what the control node knows.
    pub more_metrics: Option<MoreMetrics>,
}

impl ApiConfig {
    /// Serves without TLS under the usual limits, which is allowed on loopback.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            tls: None,
            names: Vec::new(),
            insecure: false,
            limits: ApiLimits::default(),
            open_metrics: false,
            more_metrics: None,
        }
    }

    /// Whether others than this machine could read what is sent.
    pub(crate) fn in_the_clear(&self) -> bool {
        self.tls.is_none() && !self.listen.ip().to_canonical().is_loopback()
    }
}

/// Limits against abuse and bad networks.
#[derive(Clone, Debug)]
pub struct ApiLimits {
    /// Connections at a time; further ones wait to be accepted.
    pub connections: usize,
    /// How long a new connection may take for its TLS handshake and its first request's head.
    pub first_head: Duration,
    /// How long a connection may take from one answer to the head of the next request.
    pub keep_alive: Duration,
    /// The longest head of a request, in bytes.
    pub head_bytes: usize,
    /// The longest body of a request, in bytes.
    pub body_bytes: usize,
    /// How long a body may take in all, besides one second for each 16 KiB of it that arrived.
    pub body_grace: Duration,
    /// Wrong tokens that one source address may try in a second before it is told to wait.
    pub failures_per_second: u32,
    /// How long connections may take to finish when the API shuts down.
    pub drain: Duration,
}

impl Default for ApiLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            first_head: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            head_bytes: 16 * 1024,
            body_bytes: 4 * 1024 * 1024,
            body_grace: Duration::from_secs(30),
            failures_per_second: 10,
            drain: Duration::from_secs(5),
        }
    }
}

/// A certificate for the API with its key.
#[derive(Clone)]
pub struct ApiTls(pub(crate) Arc<ServerConfig>);

impl fmt::Debug for ApiTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiTls").finish_non_exhaustive()
    }
}

impl ApiTls {
    /// From DER: the certificate followed by those that lead to its authority, and the key in
    /// PKCS#8. A client that pins the authority needs its certificate among them.
    pub fn from_der(chain: Vec<Vec<u8>>, key: &[u8]) -> Result<Self, TlsError> {
        let key = PrivateKeyDer::Pkcs8(key.to_vec().into());
        Self::new(chain.into_iter().map(CertificateDer::from).collect(), key)
    }

    /// From PEM.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let chain = chain.map_err(|error| TlsError::Chain { reason: error.to_string() })?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| TlsError::Key { reason: error.to_string() })?;
        Self::new(chain, key)
    }

    /// Whatever `current` gives at the time of a connection, in the form of
    /// [`from_der`](Self::from_der): certificates that are renewed while the API is served.
    ///
    /// # Errors
    ///
    /// When there is none at present, or it cannot be used.
    pub fn live(
        current: impl Fn() -> Option<(Vec<Vec<u8>>, Vec<u8>)> + Send + Sync + 'static,
    ) -> Result<Self, TlsError> {
        Self::resolving(Arc::new(Live::new(Box::new(current))?))
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, TlsError> {
        Self::resolving(Arc::new(SingleCertAndKey::from(certified(chain, key)?)))
    }

    fn resolving(certificates: Arc<dyn ResolvesServerCert>) -> Result<Self, TlsError> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_cert_resolver(certificates);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, TlsError> {
    if chain.is_empty() {
        return Err(TlsError::Chain { reason: "it holds no certificate".to_owned() });
    }
    Ok(CertifiedKey::from_der(chain, key, &provider())?)
}

/// Certificates and key, in DER.
type Current = Box<dyn Fn() -> Option<(Vec<Vec<u8>>, Vec<u8>)> + Send + Sync>;

/// Shows the certificate that is current, and prepares it once.
struct Live {
    current: Current,
    /// The certificate that was shown last, and what it was made to.
    shown: Mutex<(Vec<u8>, Arc<CertifiedKey>)>,
}

impl Live {
    fn new(current: Current) -> Result<Self, TlsError> {
        let none = || TlsError::Chain { reason: "there is no certificate".to_owned() };
        let (chain, key) = current().ok_or_else(none)?;
        let shown = Self::prepare(chain, key)?;
        Ok(Self { current, shown: Mutex::new(shown) })
    }

    fn prepare(
        chain: Vec<Vec<u8>>,
        key: Vec<u8>,
    ) -> Result<(Vec<u8>, Arc<CertifiedKey>), TlsError> {
        let first = chain.first().cloned().unwrap_or_default();
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        Ok((first, Arc::new(certified(chain, PrivateKeyDer::Pkcs8(key.into()))?)))
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Live {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((chain, key)) = (self.current)()
            && chain.first() != Some(&shown.0)
        {
            match Self::prepare(chain, key) {
                Ok(prepared) => *shown = prepared,
                Err(error) => tracing::error!(%error, "the API keeps its former certificate"),
            }
        }
        Some(Arc::clone(&shown.1))
    }
}

/// A certificate for the API cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The certificates cannot be read.
    #[error("cannot read the certificates of the API: {reason}")]
    Chain {
        /// Why.
        reason: String,
    },
    /// The key cannot be read.
    #[error("cannot read the key of the API: {reason}")]
    Key {
        /// Why.
        reason: String,
    },
    /// Certificates and key do not go together, or are of an unknown kind.
    #[error("cannot use the certificates of the API")]
    Unusable(#[from] rustls::Error),
}

/// The API cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// It would be served in the clear to others than this machine.
    #[error("the API would be served without TLS on {listen}, which is not loopback")]
    Insecure {
        /// The address.
        listen: SocketAddr,
    },
    /// The address cannot be had.
    #[error("cannot serve the API on {listen}")]
    Bind {
        /// The address.
        listen: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl ServeError {
    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Insecure { .. } => ErrorKind::Invalid,
            Self::Bind { .. } => ErrorKind::Unavailable,
        }
    }

    /// What to try.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Insecure { .. } => Some(
                "listen on 127.0.0.1, give the API a certificate, or pass \
                 --insecure-i-understand if tokens may cross this network in the clear",
            ),
            Self::Bind { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
                Some("another process listens there; choose another address or port 0")
            }
            Self::Bind { .. } => None,
        }
    }
}
