//! How certificates of targets are judged.

use std::{sync::Arc, time::Duration};

use remuda_model::{Failure, Span, run::TroubleKind};
use remuda_run::check::TlsPlan;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
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

/// Why a certificate is not believed, and how a run believes it.
pub(crate) fn disbelief(why: &CertificateError) -> String {
    use CertificateError as E;
    let (what, how) = match why {
        E::UnknownIssuer => (
            "it is signed by no authority that counts here".to_owned(),
            "give that authority with --target-ca, or ",
        ),
        E::Expired => ("it has expired".to_owned(), ""),
        E::ExpiredContext { time, not_after } => {
            let ago = time.as_secs().saturating_sub(not_after.as_secs());
            (format!("it expired {} ago", about(ago)), "")
        }
        E::NotValidYet => ("it is not valid yet".to_owned(), ""),
        E::NotValidYetContext { time, not_before } => {
            let rest = not_before.as_secs().saturating_sub(time.as_secs());
            (format!("it is not valid before {} have passed", about(rest)), "")
        }
        E::NotValidForNameContext { expected, presented } => (
            format!("it is for {}, not for `{}`", names(presented), expected.to_str()),
            "say with --tls-name for which name it must be, or ",
        ),
        // What `openssl req -x509` makes. The crate that has the type is not ours to name.
        E::Other(other) if other.to_string() == "CaUsedAsEndEntity" => {
            ("it is that of an authority, not of a server".to_owned(), "")
        }
        other => (other.to_string(), ""),
    };
    format!("its certificate is not believed: {what}; {how}accept every one with --insecure")
}

/// The names of a certificate, as rustls writes them: `DnsName("web1.example")`.
fn names(presented: &[String]) -> String {
    const MOST: usize = 5;
    let bare = |name: &String| {
        let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
        format!("`{}`", inner.unwrap_or(name).trim_matches('"'))
    };
    let mut shown: Vec<String> = presented.iter().take(MOST).map(bare).collect();
    match presented.len() {
        0 => return "no name".to_owned(),
        len if len > MOST => shown.push(format!("{} more", len - MOST)),
        _ => {}
    }
    shown.join(", ")
}

/// A time for people, in its largest unit.
fn about(seconds: u64) -> Span {
    let unit = [86_400, 3_600, 60].into_iter().find(|unit| seconds >= *unit).unwrap_or(1);
    Span(Duration::from_secs(seconds / unit * unit))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_believed_is_said_in_words() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let expired = CertificateError::ExpiredContext { time: at(200_000), not_after: at(10_000) };
        assert!(disbelief(&expired).contains("it expired 2d ago; accept every one with"));
        let early = CertificateError::NotValidYetContext { time: at(10), not_before: at(3_700) };
        assert!(disbelief(&early).contains("before 1h have passed"));
        let named = |presented: Vec<String>| {
            let expected = ServerName::try_from("web1.example").expect("a name");
            disbelief(&CertificateError::NotValidForNameContext { expected, presented })
        };
        let many = (1..=7).map(|n| format!("DnsName(\"n{n}.example\")")).collect();
        let words = "for `n1.example`, `n2.example`, `n3.example`, `n4.example`, `n5.example`, 2 more, not \
                     for `web1.example`; say with --tls-name";
        assert!(named(many).contains(words));
        assert!(named(vec!["IpAddress(127.0.0.1)".to_owned()]).contains("for `127.0.0.1`, not"));
        assert!(named(Vec::new()).contains("for no name, not"));
    }
}
