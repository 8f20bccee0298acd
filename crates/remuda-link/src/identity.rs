//! Who this node is, and the certificate that says so.

use std::fmt;

use remuda_model::{ClusterId, Generation, NodeId, Role};
use remuda_wire::handshake::Claim;
use sha2::{Digest as _, Sha256};
use x509_parser::{
    extensions::{GeneralName, ParsedExtension},
    prelude::{FromDer as _, X509Certificate},
};
use zeroize::Zeroizing;

/// Who this node is on its links.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its name.
    pub node: NodeId,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its role on links.
    pub role: Role,
    /// Its boot counter.
    pub generation: Generation,
    /// Its certificate; `None` before it has joined, and where only plaintext is used.
    pub certificate: Option<NodeCertificate>,
}

/// A node's certificate with its private key and the CA that signed it.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeCertificate {
    /// The certificate, DER.
    pub certificate: Vec<u8>,
    /// The private key, PKCS#8 DER; wiped when dropped.
    pub key: Zeroizing<Vec<u8>>,
    /// The certificate of the cluster's CA, DER.
    pub ca: Vec<u8>,
}

impl NodeCertificate {
    /// What the certificate says.
    ///
    /// # Errors
    ///
    /// When it is no node certificate of remuda.
    pub fn read(&self) -> Result<CertificateFacts, CertificateError> {
        CertificateFacts::read(&self.certificate)
    }

    /// The SHA-256 of the CA's public key, by which a join token names the cluster.
    ///
    /// # Errors
    ///
    /// When the CA's certificate cannot be read.
    pub fn pin(&self) -> Result<[u8; 32], CertificateError> {
        pin_of(&self.ca)
    }
}

impl fmt::Debug for NodeCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeCertificate").field("facts", &self.read()).finish_non_exhaustive()
    }
}

/// The key of a CA, as certificates that it has signed name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Vec<u8>);

impl KeyId {
    /// The name that the CA with this certificate (DER) gives its own key.
    ///
    /// # Errors
    ///
    /// When the bytes are no certificate, or it is that of no CA.
    pub fn of_ca(der: &[u8]) -> Result<Self, CertificateError> {
        let parsed = parse(der)?;
        let named = parsed.extensions().iter().find_map(|one| match one.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(Self(id.0.to_vec())),
            _ => None,
        });
        named.filter(|_| parsed.is_ca()).ok_or(CertificateError::NoCa)
    }

    /// The key that has signed a certificate; empty when it does not say.
    fn of_issuer(certificate: &X509Certificate<'_>) -> Self {
        let named = certificate.extensions().iter().find_map(|one| match one.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref(),
            _ => None,
        });
        Self(named.map(|id| id.0.to_vec()).unwrap_or_default())
    }
}

/// What a node certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Who its holder is.
    pub claim: Claim,
    /// Its number, by which it is revoked.
    pub serial: Vec<u8>,
    /// The first moment at which it holds, in milliseconds since 1970.
    pub not_before_ms: u64,
    /// The last moment at which it holds, in milliseconds since 1970.
    pub not_after_ms: u64,
    /// The CA that has signed it.
    pub issuer: KeyId,
}

/// A certificate is not what it should be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CertificateError {
    /// The bytes are no certificate.
    #[error("not an X.509 certificate")]
    Malformed,
    /// It does not name exactly one node.
    #[error("the certificate names no node of a remuda cluster")]
    NoClaim,
    /// It is that of no CA.
    #[error("the certificate is not that of a CA")]
    NoCa,
    /// It is valid and names somebody else than this node.
    #[error("the certificate is for {0}, not for this node")]
    OtherNode(Claim),
    /// The certificate and the private key do not fit together, or cannot be used.
    #[error("the certificate cannot be used")]
    Unusable(#[source] rustls::Error),
    /// The CA's certificate cannot be used.
    #[error("the CA certificate cannot be used")]
    UnusableCa(#[source] rustls::Error),
}

impl CertificateFacts {
    /// Reads a certificate. Whether it is to be trusted is another question.
    ///
    /// # Errors
    ///
    /// When the bytes are no certificate, or it names not exactly one node.
    pub fn read(der: &[u8]) -> Result<Self, CertificateError> {
        let parsed = parse(der)?;
        let uri = only_uri(&parsed)?.ok_or(CertificateError::NoClaim)?;
        let claim = uri.parse().map_err(|_other_uri| CertificateError::NoClaim)?;
        let ms = |seconds: i64| u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000);
        Ok(Self {
            claim,
            serial: parsed.raw_serial().to_vec(),
            not_before_ms: ms(parsed.validity().not_before.timestamp()),
            not_after_ms: ms(parsed.validity().not_after.timestamp()),
            issuer: KeyId::of_issuer(&parsed),
        })
    }

    /// When it should be renewed: after two thirds of its life, in milliseconds since 1970.
    pub fn renew_at_ms(&self) -> u64 {
        let life = self.not_after_ms.saturating_sub(self.not_before_ms);
        self.not_after_ms.saturating_sub(life / 3)
    }
}

/// The SHA-256 of a certificate's public key (its `SubjectPublicKeyInfo`), by which join tokens
/// name a CA.
///
/// # Errors
///
/// When the bytes are no certificate.
pub fn pin_of(der: &[u8]) -> Result<[u8; 32], CertificateError> {
    Ok(Sha256::digest(public_key(der)?).into())
}

/// The `SubjectPublicKeyInfo` of a certificate.
pub(crate) fn public_key(der: &[u8]) -> Result<Vec<u8>, CertificateError> {
    Ok(parse(der)?.public_key().raw.to_vec())
}

/// The one name of a certificate, when it is a URI.
pub(crate) fn uri_of(der: &[u8]) -> Option<String> {
    only_uri(&parse(der).ok()?).ok()?.map(str::to_owned)
}

fn only_uri<'a>(parsed: &'a X509Certificate<'_>) -> Result<Option<&'a str>, CertificateError> {
    let names = parsed.subject_alternative_name();
    let names = names.map_err(|_duplicate| CertificateError::Malformed)?;
    Ok(match names.map(|names| &names.value.general_names[..]) {
        Some([GeneralName::URI(uri)]) => Some(*uri),
        _ => None,
    })
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, CertificateError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(CertificateError::Malformed),
    }
}
