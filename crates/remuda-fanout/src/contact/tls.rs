//! How certificates of targets are judged.

use std::sync::Arc;

use remuda_model::{Failure, run::TroubleKind};
use remuda_run::check::TlsPlan;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use tokio::sync::OnceCell;

use super::{Stop, connect::Secure};
use crate::resolve::literal;

/// The certificate authorities of the worker's system, read once, with the first `https`.
#[derive(Debug, Default)]
pub(crate) struct Roots(OnceCell<Arc<RootCertStore>>);

impl Roots {
    async fn get(&self) -> Result<Arc<RootCertStore>, Stop> {
        let roots = self.0.get_or_try_init(|| async {
            let loaded = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
            let loaded = loaded.map_err(|error| {
                let message = format!("the certificate authorities cannot be read: {error}");
                Stop::new(TroubleKind::Internal, message)
            })?;
            for error in &loaded.errors {
                tracing::warn!(%error, "a certificate authority of the system cannot be read");
            }
            let mut roots = RootCertStore::empty();
            let (taken, left_out) = roots.add_parsable_certificates(loaded.certs);
            tracing::debug!(taken, left_out, "certificate authorities of the system");
            if taken == 0 {
                return Err(Stop::new(
                    TroubleKind::Internal,
                    "the worker has no certificate authorities; install `ca-certificates` there, or \
                     give some with the run",
                ));
            }
            Ok(Arc::new(roots))
        });
        roots.await.cloned()
    }
}

/// How a run judges certificates, and what it says of what it speaks.
pub(crate) struct Judge {
    alpn: Option<&'static [u8]>,
    config: OnceCell<Arc<ClientConfig>>,
}

impl Judge {
    /// What the run says; `alpn` is the protocol spoken, if it has a name.
    ///
    /// # Errors
    /// The certificate authorities are malformed.
    pub(crate) fn new(tls: &TlsPlan, alpn: Option<&'static [u8]>) -> Result<Self, Failure> {
        let trust = match &tls.ca {
            _ if tls.insecure => Some(Trust::Everyone),
            Some(pem) => Some(Trust::Roots(Arc::new(authorities(pem)?))),
            None => None,
        };
        let config = trust.map(|trust| config(trust, alpn)).transpose()?.map(Arc::new);
        Ok(Self { alpn, config: OnceCell::new_with(config) })
    }

    /// TLS with a server whose certificate must have this name.
    pub(crate) async fn secure(&self, name: &str, roots: &Roots) -> Result<Secure, Stop> {
        let config = self.config.get_or_try_init(|| async {
            let made = config(Trust::Roots(roots.get().await?), self.alpn);
            made.map(Arc::new).map_err(|failure| Stop::new(TroubleKind::Internal, failure.message))
        });
        let config = config.await?.clone();
        let server = match literal(name) {
            Some(address) => ServerName::from(address),
            None => ServerName::try_from(name.to_owned()).map_err(|_invalid| {
                Stop::new(TroubleKind::Tls, format!("no certificate can have the name `{name}`"))
            })?,
        };
        Ok(Secure { connector: config.into(), name: server })
    }
}

enum Trust {
    Everyone,
    Roots(Arc<RootCertStore>),
}

fn config(trust: Trust, alpn: Option<&[u8]>) -> Result<ClientConfig, Failure> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::internal(&error))?;
    let mut config = match trust {
        Trust::Roots(roots) => builder.with_root_certificates(roots),
        Trust::Everyone => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAll { provider }))
        }
    }
    .with_no_client_auth();
    // Each target is met once or a few times: tickets would only cost memory.
    config.resumption = Resumption::disabled();
    config.alpn_protocols = alpn.map(<[u8]>::to_vec).into_iter().collect();
    Ok(config)
}

fn authorities(pem: &str) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| {
            Failure::invalid(format!("tls.ca: no certificate in PEM: {error:?}"))
        })?;
        roots.add(certificate).map_err(|error| Failure::invalid(format!("tls.ca: {error}")))?;
    }
    if roots.is_empty() {
        return Err(Failure::invalid("tls.ca: there is no certificate in it")
            .hint("give certificates of authorities in PEM: -----BEGIN CERTIFICATE-----"));
    }
    Ok(roots)
}

/// Believes every certificate, as the run wishes.
#[derive(Debug)]
struct AcceptAll {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AcceptAll {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
