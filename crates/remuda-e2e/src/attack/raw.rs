//! Connections below the library: TLS with any version and certificate, handshakes with any claim,
//! from any address of this machine.

use std::{net::Ipv4Addr, sync::Arc};

use bytes::Bytes;
use remuda_link::{CertificateFacts, JoinToken, NodeCertificate, Secret};
use remuda_model::{ClusterId, Generation, LinkUrl, NodeId, Role, Transport};
use remuda_wire::handshake::{
    CHANNEL_BINDING_LABEL, Claim, Client, ClientConfig, ClientEffect, Proof,
};
use rustls::{
    ClientConfig as TlsConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::wait::within;

/// How an attacker does TLS.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// What it shows.
    pub certificate: Option<NodeCertificate>,
}

/// The first words of somebody who speaks no better TLS than this version: 1 is 1.0, 3 is 1.2.
pub fn old_hello(version: u8) -> Vec<u8> {
    let extensions: &[u8] = &[
        // Groups: P-256, X25519. Formats of points: uncompressed. Signatures: ECDSA, RSA.
        0, 10, 0, 6, 0, 4, 0, 23, 0, 29, 0, 11, 0, 2, 1, 0, 0, 13, 0, 8, 0, 6, 4, 3, 8, 4, 4, 1,
    ];
    let mut body = vec![3, version];
    body.extend([7; 32]);
    // No session; ECDHE with AES-GCM, AES-GCM and AES-CBC by RSA, and none at all; no compression.
    body.extend([0, 0, 10, 0xc0, 0x2b, 0xc0, 0x2f, 0, 0x9c, 0, 0x2f, 0, 0, 1, 0]);
    body.extend(u16::try_from(extensions.len()).expect("short").to_be_bytes());
    body.extend(extensions);
    let length = u8::try_from(body.len()).expect("short");
    let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(body);
    record
}

/// An encrypted connection to the link port of a node, before any handshake of ours.
#[derive(Debug)]
pub struct Raw {
    io: TlsStream<TcpStream>,
    binding: [u8; 32],
    /// Who the node is by its certificate.
    node: Claim,
}

impl Raw {
    /// Connects from an address of this machine.
    ///
    /// # Errors
    ///
    /// When TLS is refused; with version 1.3 a refused certificate shows only later.
    ///
    /// # Panics
    ///
    /// When nobody listens there.
    pub async fn connect(url: &str, from: Ipv4Addr, tls: &Tls) -> std::io::Result<Self> {
        let url: LinkUrl = url.parse().expect("a URL");
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((from, 0).into()).expect("all of 127.0.0.0/8 is this machine");
        let address = format!("{}:{}", url.host, url.port).parse().expect("an address");
        let stream = within("a connection", socket.connect(address)).await?;
        let name = ServerName::try_from("node.remuda.invalid").expect("a name");
        let connect = TlsConnector::from(config(tls)).connect(name, stream);
        let io = within("a TLS handshake", connect).await?;
        let (_, connection) = io.get_ref();
        let binding = connection
            .export_keying_material([0; 32], CHANNEL_BINDING_LABEL, Some(b""))
            .map_err(std::io::Error::other)?;
        let shown = connection.peer_certificates().and_then(<[_]>::first).expect("a certificate");
        let node = CertificateFacts::read(shown).expect("that of a node").claim;
        Ok(Self { io, binding, node })
    }

    /// What the handshake is bound to.
    pub fn binding(&self) -> [u8; 32] {
        self.binding
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    ///
    /// When the connection is closed.
    pub async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.io.write_all(bytes).await?;
        self.io.flush().await
    }

    /// The body of the next frame of a handshake; `None` when the connection was closed instead.
    pub async fn frame(&mut self) -> Option<Vec<u8>> {
        let read = async {
            let length = self.io.read_u32().await.ok()?;
            let mut body =
                vec![0; usize::try_from(length).ok().filter(|length| *length <= 16_384)?];
            self.io.read_exact(&mut body).await.ok()?;
            Some(body)
        };
        within("a frame or the end", read).await
    }

    /// All that the other side says until it closes.
    pub async fn until_closed(&mut self) -> Vec<u8> {
        let mut said = Vec::new();
        // A reset is an end as well.
        let read = within("the end of a connection", self.io.read_to_end(&mut said)).await;
        drop(read);
        said
    }

    /// Plays the dialling side of the handshake, frame by frame through `change`; returns the
    /// answers to the first and to the second frame.
    pub async fn shake(
        &mut self,
        config: ClientConfig,
        change: impl Fn(usize, Bytes) -> Bytes,
    ) -> Vec<Vec<u8>> {
        let (mut client, hello) = Client::start(config);
        let mut answers = Vec::new();
        let mut next = Some(hello);
        while let Some(frame) = next.take() {
            if self.send(&change(answers.len(), frame)).await.is_err() {
                break;
            }
            let Some(answer) = self.frame().await else { break };
            for effect in client.handle(&answer) {
                if let ClientEffect::Send(frame) = effect {
                    next = Some(frame);
                }
            }
            answers.push(answer);
        }
        answers
    }

    /// What a node says that joins with a token on this connection.
    ///
    /// # Panics
    ///
    /// When the name is none.
    pub fn joining(&self, token: &JoinToken, name: &str, role: Role) -> ClientConfig {
        let proof = Proof::Secret(Secret::random_key(token.secret));
        self.claim(token.cluster.clone(), name, role, proof)
    }

    /// Any claim at all.
    ///
    /// # Panics
    ///
    /// When the name is none.
    pub fn claim(&self, cluster: ClusterId, name: &str, role: Role, proof: Proof) -> ClientConfig {
        let mut nonce = [0; 32];
        nonce.fill_with(|| fastrand::u8(..));
        ClientConfig {
            transport: Transport::Tls,
            binding: self.binding,
            cluster: Some(cluster),
            node: name.parse::<NodeId>().expect("a name"),
            role,
            generation: Generation(1),
            build: remuda_model::VERSION.to_owned(),
            addresses: Vec::new(),
            wall_ms: remuda_runtime::wall_ms(),
            nonce,
            proof,
            server: Some(self.node.clone()),
            invited: false,
        }
    }
}

fn config(tls: &Tls) -> Arc<TlsConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = TlsConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has it")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible(provider)));
    let mut config = match &tls.certificate {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let chain = vec![own.certificate.clone().into(), own.ca.clone().into()];
            let key = PrivatePkcs8KeyDer::from(own.key.to_vec());
            builder.with_client_auth_cert(chain, key.into()).expect("a certificate")
        }
    };
    config.alpn_protocols = vec![b"remuda/1".to_vec()];
    Arc::new(config)
}

/// Believes every server, as an attacker may.
#[derive(Debug)]
struct Gullible(Arc<CryptoProvider>);

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
