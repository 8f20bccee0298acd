//! TLS of a node that has no certificate yet and waits to be invited.
//!
//! It shows a certificate that it made itself and that proves nothing: it says that the node waits,
//! and for which cluster. It believes control nodes that show a certificate of the CA which its
//! token names, and nobody else gets past TLS.

use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, KeyPair, SanType};
use remuda_model::{ClusterId, Role};
use rustls::{
    DigitallySignedStruct, DistinguishedName as Subject, Error, PeerIncompatible, ServerConfig,
    SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    version::TLS13,
};

use super::{WrongPeer, pinned, provider, without_sessions};
use crate::{
    authority::AuthorityError,
    identity::{CertificateFacts, uri_of},
    token::JoinToken,
};

/// Before the id of the cluster; no certificate that a CA signs has such a name.
const WAITS_FOR: &str = "remuda-waiting:";

/// The cluster that the holder of this certificate says to wait for; `None` for all others.
pub(super) fn waits_for(der: &[u8]) -> Option<ClusterId> {
    uri_of(der)?.strip_prefix(WAITS_FOR)?.parse().ok()
}

/// What a node shows and believes that waits for the cluster of its token.
pub(crate) fn server(token: &JoinToken) -> Result<ServerConfig, AuthorityError> {
    let key = KeyPair::generate().map_err(AuthorityError::Key)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let name = format!("{WAITS_FOR}{}", token.cluster).try_into().map_err(AuthorityError::Sign)?;
    params.subject_alt_names = vec![SanType::URI(name)];
    let certificate = params.self_signed(&key).map_err(AuthorityError::Sign)?;
    let provider = provider();
    let algorithms = provider.signature_verification_algorithms;
    let inviter = Inviter { cluster: token.cluster.clone(), pin: token.pin, algorithms };
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has TLS 1.3")
        .with_client_cert_verifier(Arc::new(inviter))
        .with_single_cert(vec![certificate.der().clone()], key)
        .map_err(AuthorityError::Tls)?;
    Ok(without_sessions(config))
}

/// Believes control nodes of one cluster, by the pin of its CA.
#[derive(Debug)]
struct Inviter {
    cluster: ClusterId,
    pin: [u8; 32],
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for Inviter {
    fn root_hint_subjects(&self) -> &[Subject] {
        // Whose certificate it is asked for is known to whoever has one.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let roots = Arc::new(pinned(intermediates, &self.pin)?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
            .build()
            .map_err(|_unusable| WrongPeer::Pin)?;
        let verified = verifier.verify_client_cert(end_entity, intermediates, now)?;
        let claim = CertificateFacts::read(end_entity).map_err(|_other| WrongPeer::NoNode)?.claim;
        if claim.cluster != self.cluster {
            return Err(WrongPeer::Cluster.into());
        }
        if claim.role != Role::Control {
            return Err(WrongPeer::Role.into());
        }
        Ok(verified)
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
