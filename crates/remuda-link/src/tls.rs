//! TLS 1.3 with the cluster's own CA: no other version, no public CA, no resumption.
//!
//! Names in certificates are remuda's (`remuda://<cluster>/<role>/<node>`), not those of DNS: a node
//! may be reached under any address. What counts is checked in the handshake proper.

mod waiting;

use std::sync::Arc;

use remuda_model::{ClusterId, Role, Transport};
use remuda_wire::handshake::CHANNEL_BINDING_LABEL;
use rustls::{
    CertificateError as TlsCertificateError, ClientConfig, DigitallySignedStruct, Error,
    OtherError, PeerIncompatible, RootCertStore, ServerConfig, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier},
    version::TLS13,
};

use crate::{
    authority::AuthorityError,
    identity::{CertificateError, CertificateFacts, KeyId, NodeCertificate, pin_of},
    token::JoinToken,
};

/// What TLS adds to a connection: the binding of the channel and who the other side says it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Channel {
    /// Zeros without TLS.
    pub(crate) binding: [u8; 32],
    /// The other side's certificate, verified; `None` when it showed none.
    pub(crate) peer: Option<CertificateFacts>,
    /// The cluster that the other side says to wait for, instead of a node's certificate.
    pub(crate) waits_for: Option<ClusterId>,
}

impl Channel {
    /// What a finished TLS handshake says.
    pub(crate) fn of<Data>(
        connection: &rustls::ConnectionCommon<Data>,
    ) -> Result<Self, ChannelError> {
        let binding = connection
            .export_keying_material([0; 32], CHANNEL_BINDING_LABEL, Some(b""))
            .map_err(ChannelError::Binding)?;
        let shown = connection.peer_certificates().and_then(<[_]>::first);
        Ok(Self::showing(binding, shown)?)
    }

    /// A channel on which the other side has shown this certificate, verified.
    pub(crate) fn showing(
        binding: [u8; 32],
        shown: Option<&CertificateDer<'_>>,
    ) -> Result<Self, CertificateError> {
        let waits_for = shown.and_then(|certificate| waiting::waits_for(certificate));
        let shown = shown.filter(|_| waits_for.is_none());
        let peer = shown.map(|certificate| CertificateFacts::read(certificate)).transpose()?;
        Ok(Self { binding, peer, waits_for })
    }
}

/// A TLS channel that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChannelError {
    #[error("cannot bind the handshake to the TLS channel")]
    Binding(#[source] Error),
    #[error("unusable certificate")]
    Certificate(#[from] CertificateError),
}

/// Which servers the dialling side believes.
#[derive(Clone, Debug)]
pub(crate) enum Trust {
    /// Those with a certificate of this CA, for this cluster.
    Ca { cluster: ClusterId, roots: Arc<RootCertStore> },
    /// Control nodes with a certificate of the CA whose public key has this SHA-256: first contact.
    Pin { cluster: Option<ClusterId>, pin: [u8; 32] },
}

/// The configurations that a node's certificate makes.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    client: Arc<ClientConfig>,
    /// Believes nodes that wait to be invited as well: they prove themselves later.
    inviter: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    /// Who has signed the certificate.
    pub(crate) issuer: KeyId,
}

impl Tls {
    /// With a certificate to show, and the CAs (DER) whose certificates are believed.
    pub(crate) fn new(
        cluster: &ClusterId,
        certificate: &NodeCertificate,
        trusted: &[Vec<u8>],
    ) -> Result<Self, CertificateError> {
        let roots = Arc::new(roots(trusted)?);
        let trust = Trust::Ca { cluster: cluster.clone(), roots: Arc::clone(&roots) };
        let unusable = CertificateError::Unusable;
        let client = |waiting| {
            client_builder(trust.clone(), waiting)
                .with_client_auth_cert(chain(certificate), key(certificate))
                .map(|config| Arc::new(without_resumption(config)))
                .map_err(unusable)
        };
        // Joining nodes and clients have no certificate yet; what they may do is decided later.
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
            .allow_unauthenticated()
            .build()
            .map_err(|error| CertificateError::UnusableCa(Error::General(error.to_string())))?;
        let server = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain(certificate), key(certificate))
            .map_err(unusable)?;
        Ok(Self {
            client: client(false)?,
            inviter: client(true)?,
            server: Arc::new(without_sessions(server)),
            issuer: certificate.read()?.issuer,
        })
    }

    pub(crate) fn client(&self, transport: Transport) -> Arc<ClientConfig> {
        with_protocol(&self.client, transport)
    }

    /// Like [`client`](Self::client), for one who dials nodes that wait to be invited too.
    pub(crate) fn inviter(&self, transport: Transport) -> Arc<ClientConfig> {
        with_protocol(&self.inviter, transport)
    }

    pub(crate) fn server(&self, transport: Transport) -> Arc<ServerConfig> {
        spoken(&self.server, transport)
    }
}

/// What a node shows that has no certificate of its cluster yet, and whom it believes.
#[derive(Clone, Debug)]
pub(crate) struct Waiting(Arc<ServerConfig>);

impl Waiting {
    pub(crate) fn new(token: &JoinToken) -> Result<Self, AuthorityError> {
        waiting::server(token).map(|config| Self(Arc::new(config)))
    }

    pub(crate) fn server(&self, transport: Transport) -> Arc<ServerConfig> {
        spoken(&self.0, transport)
    }
}

fn spoken(config: &ServerConfig, transport: Transport) -> Arc<ServerConfig> {
    let mut config = config.clone();
    config.alpn_protocols = vec![protocol(transport)];
    Arc::new(config)
}

/// A resumed session would skip the certificate, and with it the look at revocations.
fn without_sessions(mut config: ServerConfig) -> ServerConfig {
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config
}

/// For first contact: no certificate of one's own, and a pin to know the cluster by.
pub(crate) fn pinned_client(trust: Trust, transport: Transport) -> Arc<ClientConfig> {
    let config = without_resumption(client_builder(trust, false).with_no_client_auth());
    with_protocol(&config, transport)
}

/// The name under which a dialler asks for a node: certificates do not carry it.
pub(crate) fn server_name() -> ServerName<'static> {
    ServerName::try_from("node.remuda.invalid").expect("a valid DNS name")
}

fn with_protocol(config: &ClientConfig, transport: Transport) -> Arc<ClientConfig> {
    let mut config = config.clone();
    config.alpn_protocols = vec![protocol(transport)];
    Arc::new(config)
}

/// What is spoken inside, so that a connection to another service of the port's host is noticed.
fn protocol(transport: Transport) -> Vec<u8> {
    match transport {
        Transport::Wss | Transport::Ws => b"http/1.1".to_vec(),
        Transport::Tls | Transport::Tcp | Transport::Quic | Transport::Mem | Transport::Sctp => {
            b"remuda/1".to_vec()
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn roots(cas: &[impl AsRef<[u8]>]) -> Result<RootCertStore, CertificateError> {
    let mut roots = RootCertStore::empty();
    for ca in cas {
        let ca = CertificateDer::from(ca.as_ref().to_vec());
        roots.add(ca).map_err(CertificateError::UnusableCa)?;
    }
    Ok(roots)
}

/// The CA goes along, for those who know only its pin.
fn chain(certificate: &NodeCertificate) -> Vec<CertificateDer<'static>> {
    vec![certificate.certificate.clone().into(), certificate.ca.clone().into()]
}

fn key(certificate: &NodeCertificate) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(certificate.key.to_vec()).into()
}

fn client_builder(
    trust: Trust,
    waiting: bool,
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let provider = provider();
    let algorithms = provider.signature_verification_algorithms;
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { trust, waiting, algorithms }))
}

fn without_resumption(mut config: ClientConfig) -> ClientConfig {
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    config
}

/// Checks the server's chain up to the cluster's CA, and that it is of the right cluster.
#[derive(Debug)]
struct Verifier {
    trust: Trust,
    /// Whether nodes are let pass that wait to be invited.
    waiting: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

/// The CA with this pin, of those that came along.
fn pinned(shown: &[CertificateDer<'_>], pin: &[u8; 32]) -> Result<RootCertStore, WrongPeer> {
    let ca = shown.iter().find(|ca| pin_of(ca).is_ok_and(|its| its == *pin));
    roots(&[ca.ok_or(WrongPeer::Pin)?]).map_err(|_unusable| WrongPeer::Pin)
}

/// A valid certificate of somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WrongPeer {
    #[error("its CA is not the one that the token names")]
    Pin,
    #[error("its certificate names no node of a remuda cluster")]
    NoNode,
    #[error("it belongs to another cluster")]
    Cluster,
    #[error("it is no control node")]
    Role,
}

impl From<WrongPeer> for Error {
    fn from(wrong: WrongPeer) -> Self {
        TlsCertificateError::Other(OtherError(Arc::new(wrong))).into()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // That it has the key is proved all the same, and who it is by the handshake proper.
        if self.waiting && waiting::waits_for(end_entity).is_some() {
            return Ok(ServerCertVerified::assertion());
        }
        let found;
        let (roots, cluster) = match &self.trust {
            Trust::Ca { cluster, roots } => (&**roots, Some(cluster)),
            Trust::Pin { cluster, pin } => {
                found = pinned(intermediates, pin)?;
                (&found, cluster.as_ref())
            }
        };
        let parsed = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        let claim = CertificateFacts::read(end_entity).map_err(|_other| WrongPeer::NoNode)?.claim;
        if cluster.is_some_and(|cluster| claim.cluster != *cluster) {
            return Err(WrongPeer::Cluster.into());
        }
        // Whoever knows only a pin gives away a token or takes credentials: from a control node.
        if matches!(self.trust, Trust::Pin { .. }) && claim.role != Role::Control {
            return Err(WrongPeer::Role.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls13RequiredForQuic.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
