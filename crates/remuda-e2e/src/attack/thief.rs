//! Somebody who has copied the files of a node.

use std::{fs, path::Path, sync::Arc};

use remuda_link::{
    CallError, CertificatesOnly, DialError, Endpoint, EndpointConfig, Identity, Limits, Link,
    NodeCertificate, Priority,
};
use remuda_model::{Generation, LinkUrl};
use remuda_runtime::Supervisor;

use crate::wait::PATIENCE;

/// The certificate, key and CA that lie in a node's data directory.
///
/// # Panics
///
/// When they are not there.
pub fn stolen(dir: &Path) -> NodeCertificate {
    let file = |name: &str| fs::read(dir.join("tls").join(name)).expect("a file of a node");
    NodeCertificate {
        certificate: file("certificate.der"),
        key: file("key.der").into(),
        ca: file("ca.der"),
    }
}

/// A program of its own that shows a stolen certificate.
#[derive(Debug)]
pub struct Thief {
    endpoint: Endpoint,
    _supervisor: Supervisor,
}

impl Thief {
    /// With the certificate of a node, as that node at its next boot.
    ///
    /// # Panics
    ///
    /// When the certificate cannot be used.
    pub fn new(certificate: NodeCertificate) -> Self {
        let claim = certificate.read().expect("a certificate").claim;
        let identity = Identity {
            node: claim.node,
            cluster: claim.cluster,
            role: claim.role,
            generation: Generation(1_000),
            certificate: Some(certificate),
        };
        let config = EndpointConfig {
            identity,
            advertise: Vec::new(),
            allow_plaintext: false,
            admission: Arc::new(CertificatesOnly),
            secret: None,
            limits: Limits::default(),
        };
        let supervisor = Supervisor::new();
        let (endpoint, _links) = Endpoint::new(config, supervisor.clone()).expect("usable");
        Self { endpoint, _supervisor: supervisor }
    }

    /// Dials a node.
    ///
    /// # Errors
    ///
    /// Why no link came about.
    ///
    /// # Panics
    ///
    /// When the text is no URL.
    pub async fn dial(&self, url: &str) -> Result<Link, DialError> {
        let url: LinkUrl = url.parse().expect("a URL");
        self.endpoint.dial(&url).await
    }

    /// Opens a stream under the name of a protocol, sends bytes, and tells with which code it was
    /// reset; `None` when it was answered.
    ///
    /// # Panics
    ///
    /// When the link breaks.
    pub async fn tries(link: &Link, protocol: &str, bytes: Vec<u8>) -> Option<u32> {
        match link.call(protocol, Priority::Calls, bytes.into(), PATIENCE).await {
            Ok(_) => None,
            Err(CallError::Reset { code, .. }) => Some(code),
            Err(error) => panic!("{protocol}: {error}"),
        }
    }
}
