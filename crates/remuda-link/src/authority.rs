//! The cluster's certificate authority and the join secrets, which control nodes share.

use std::{fmt, sync::Arc, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _,
    SanType, SerialNumber,
};
use remuda_model::{ClusterId, NodeId, Role};
use remuda_runtime::wall_ms;
use remuda_wire::{
    handshake::{Claim, Secret},
    message::join,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::{
    handshake::random,
    identity::{CertificateError, NodeCertificate, pin_of, public_key},
    token::JoinToken,
};

/// How long a node certificate holds.
const LIFE: Duration = Duration::from_hours(30 * 24);
/// How far before its issue a certificate holds, so that a slow clock accepts it.
const BACKDATE: Duration = Duration::from_hours(24);
/// How long the CA holds: the life of a cluster.
const CA_LIFE: Duration = Duration::from_hours(50 * 365 * 24);
/// The longest certificate signing request that is looked at, in bytes.
const MAX_CSR: usize = 4096;

/// The CA of one cluster. Cheap to clone.
#[derive(Clone)]
pub struct Authority(Arc<Inner>);

struct Inner {
    cluster: ClusterId,
    ca: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
    pin: [u8; 32],
    ca_key: Zeroizing<Vec<u8>>,
    worker_secret: Zeroizing<[u8; 32]>,
    control_secret: Zeroizing<[u8; 32]>,
}

/// A certificate cannot be issued, or the CA cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The signing request cannot be read, or its signature does not hold.
    #[error("unacceptable certificate signing request")]
    Request(#[source] rcgen::Error),
    /// The signing request is longer than any honest one.
    #[error("a certificate signing request of {0} bytes")]
    RequestTooLong(usize),
    /// The key is of a kind that is not used.
    #[error("the key must be P-256 or Ed25519")]
    KeyKind,
    /// Clients have tokens, not certificates.
    #[error("the role {0} has no certificates")]
    Role(Role),
    /// The CA's key cannot be used.
    #[error("cannot use the key of the CA")]
    Key(#[source] rcgen::Error),
    /// The CA's certificate cannot be used.
    #[error("cannot use the certificate of the CA")]
    Ca(#[source] CertificateError),
    /// The certificate of the CA belongs to another key.
    #[error("the certificate and the key of the CA do not belong together")]
    Mismatch,
    /// TLS does not take what was made for it.
    #[error("cannot use a certificate made here")]
    Tls(#[source] rustls::Error),
    /// Signing failed.
    #[error("cannot sign")]
    Sign(#[source] rcgen::Error),
}

impl Authority {
    /// A new CA and new join secrets, for a new cluster.
    ///
    /// # Errors
    ///
    /// When the cryptographic library fails.
    pub fn generate(cluster: &ClusterId) -> Result<Self, AuthorityError> {
        Self::with_secrets(cluster, random(), random())
    }

    /// Another CA for the same cluster, with the same join secrets.
    ///
    /// # Errors
    ///
    /// When the cryptographic library fails.
    pub fn successor(&self) -> Result<Self, AuthorityError> {
        let Inner { cluster, worker_secret, control_secret, .. } = &*self.0;
        Self::with_secrets(cluster, **worker_secret, **control_secret)
    }

    /// The same CA with another secret for those who join in this role; clients do not join.
    ///
    /// # Errors
    ///
    /// For clients; when the cryptographic library fails.
    pub fn with_new_secret(&self, role: Role) -> Result<Self, AuthorityError> {
        let mut wire = self.to_wire();
        match role {
            Role::Worker => wire.worker_secret = random(),
            Role::Control => wire.control_secret = random(),
            Role::Client => return Err(AuthorityError::Role(role)),
        }
        Self::from_wire(&self.0.cluster, &self.0.ca, wire)
    }

    /// The same CA with the join secrets of another authority.
    ///
    /// # Errors
    ///
    /// When the cryptographic library fails.
    pub fn with_secrets_of(&self, other: &Self) -> Result<Self, AuthorityError> {
        let wire = join::Authority { ca_key: self.0.ca_key.to_vec(), ..other.to_wire() };
        Self::from_wire(&self.0.cluster, &self.0.ca, wire)
    }

    fn with_secrets(
        cluster: &ClusterId,
        worker_secret: [u8; 32],
        control_secret: [u8; 32],
    ) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate().map_err(AuthorityError::Key)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(&format!("remuda {cluster}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let now = wall_ms();
        params.not_before = at(now.saturating_sub(ms(BACKDATE)));
        params.not_after = at(now.saturating_add(ms(CA_LIFE)));
        let ca = params.self_signed(&key).map_err(AuthorityError::Sign)?;
        let wire = join::Authority { ca_key: key.serialize_der(), worker_secret, control_secret };
        Self::from_wire(cluster, ca.der(), wire)
    }

    /// The authority that another control node sent, or that was saved.
    ///
    /// # Errors
    ///
    /// When the key cannot be used or belongs to another certificate.
    pub fn from_wire(
        cluster: &ClusterId,
        ca_der: &[u8],
        wire: join::Authority,
    ) -> Result<Self, AuthorityError> {
        let ca_key = Zeroizing::new(wire.ca_key);
        let key = KeyPair::try_from(ca_key.as_slice()).map_err(AuthorityError::Key)?;
        if public_key(ca_der).map_err(AuthorityError::Ca)? != key.subject_public_key_info() {
            return Err(AuthorityError::Mismatch);
        }
        let issuer = Issuer::from_ca_cert_der(&CertificateDer::from(ca_der), key)
            .map_err(AuthorityError::Key)?;
        Ok(Self(Arc::new(Inner {
            cluster: cluster.clone(),
            ca: ca_der.to_vec(),
            issuer,
            pin: pin_of(ca_der).map_err(AuthorityError::Ca)?,
            ca_key,
            worker_secret: Zeroizing::new(wire.worker_secret),
            control_secret: Zeroizing::new(wire.control_secret),
        })))
    }

    /// Everything secret of it, to save it or to hand it to another control node.
    pub fn to_wire(&self) -> join::Authority {
        join::Authority {
            ca_key: self.0.ca_key.to_vec(),
            worker_secret: *self.0.worker_secret,
            control_secret: *self.0.control_secret,
        }
    }

    /// The cluster.
    pub fn cluster(&self) -> &ClusterId {
        &self.0.cluster
    }

    /// The CA's certificate, DER.
    pub fn ca_der(&self) -> &[u8] {
        &self.0.ca
    }

    /// The SHA-256 of the CA's public key.
    pub fn pin(&self) -> [u8; 32] {
        self.0.pin
    }

    /// The secret that a node of this role proves when it joins; clients do not join.
    pub fn join_secret(&self, role: Role) -> Option<Secret> {
        self.raw_secret(role).map(Secret::random_key)
    }

    /// What a node of this role needs to join; clients do not join.
    pub fn join_token(&self, role: Role) -> Option<JoinToken> {
        let secret = self.raw_secret(role)?;
        Some(JoinToken { cluster: self.0.cluster.clone(), pin: self.0.pin, secret })
    }

    fn raw_secret(&self, role: Role) -> Option<[u8; 32]> {
        match role {
            Role::Worker => Some(*self.0.worker_secret),
            Role::Control => Some(*self.0.control_secret),
            Role::Client => None,
        }
    }

    /// Signs a certificate for a node that has proved itself. Of the request only the public key
    /// counts; name, usages and validity (30 days) are chosen here.
    ///
    /// # Errors
    ///
    /// When the request is malformed or its key of a kind that is not used.
    pub fn issue(
        &self,
        node: &NodeId,
        role: Role,
        csr_der: &[u8],
    ) -> Result<Vec<u8>, AuthorityError> {
        self.issue_at(node, role, csr_der, wall_ms())
    }

    pub(crate) fn issue_at(
        &self,
        node: &NodeId,
        role: Role,
        csr_der: &[u8],
        now_ms: u64,
    ) -> Result<Vec<u8>, AuthorityError> {
        if csr_der.len() > MAX_CSR {
            return Err(AuthorityError::RequestTooLong(csr_der.len()));
        }
        if role == Role::Client {
            return Err(AuthorityError::Role(role));
        }
        let request = CertificateSigningRequestDer::from(csr_der);
        let request =
            CertificateSigningRequestParams::from_der(&request).map_err(AuthorityError::Request)?;
        let kind = request.public_key.algorithm();
        if ![&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ED25519].contains(&kind) {
            return Err(AuthorityError::KeyKind);
        }
        let claim = Claim { cluster: self.0.cluster.clone(), role, node: node.clone() };
        let uri = claim.to_string().try_into().map_err(AuthorityError::Sign)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(node.as_str());
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial());
        params.not_before = at(now_ms.saturating_sub(ms(BACKDATE)));
        params.not_after = at(now_ms.saturating_add(ms(LIFE)));
        let certificate =
            params.signed_by(&request.public_key, &self.0.issuer).map_err(AuthorityError::Sign)?;
        Ok(certificate.der().to_vec())
    }

    /// A key and a certificate for a node of this very process: the first control node.
    ///
    /// # Errors
    ///
    /// As [`issue`](Self::issue).
    pub fn certify(&self, node: &NodeId, role: Role) -> Result<NodeCertificate, AuthorityError> {
        let request = Request::generate()?;
        let certificate = self.issue(node, role, &request.csr)?;
        Ok(NodeCertificate { certificate, key: request.key, ca: self.0.ca.clone() })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("cluster", &self.0.cluster).finish_non_exhaustive()
    }
}

/// A fresh key with the request for its certificate.
pub(crate) struct Request {
    /// PKCS#8 DER.
    pub(crate) key: Zeroizing<Vec<u8>>,
    /// DER.
    pub(crate) csr: Vec<u8>,
    /// The SHA-256 of the public key.
    pub(crate) pin: [u8; 32],
}

impl Request {
    pub(crate) fn generate() -> Result<Self, AuthorityError> {
        let key = KeyPair::generate().map_err(AuthorityError::Key)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let csr = params.serialize_request(&key).map_err(AuthorityError::Sign)?;
        Ok(Self {
            pin: Sha256::digest(key.subject_public_key_info()).into(),
            key: Zeroizing::new(key.serialize_der()),
            csr: csr.der().to_vec(),
        })
    }
}

fn common_name(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// A positive number of 16 random bytes.
fn serial() -> SerialNumber {
    let mut bytes: [u8; 16] = random();
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::from_slice(&bytes)
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn at(wall_ms: u64) -> OffsetDateTime {
    let seconds = i64::try_from(wall_ms / 1_000).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests;
