//! Joining a cluster: from a token to a certificate, and its renewal.

use std::{net::SocketAddr, time::Duration};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use remuda_model::{Chain, ErrorKind, Failure, Generation, LinkUrl, NodeId, Release, Role};
use remuda_wire::{
    decode, encode,
    handshake::{Claim, Proof, Secret},
    message::{JOIN, join},
};
use sha2::{Digest as _, Sha256};

use crate::{
    CallError, DialError, JoinToken, Link, Peer, Priority,
    authority::{Authority, AuthorityError, Request},
    endpoint::{Caller, call},
    identity::{CertificateError, CertificateFacts, NodeCertificate, pin_of, public_key},
    limits::Limits,
    tls::{Trust, pinned_client},
    transport::proxy::Proxy,
};

/// A dial that takes this long gets company.
const STAGGER: Duration = Duration::from_millis(250);
/// Dials at the same time.
const MAX_DIALS: usize = 16;
/// How long a control node may take to sign.
const ANSWER: Duration = Duration::from_secs(10);

/// Why a node closes the link over which it has joined.
pub const JOINED: &str = "joined";

/// A node did not become part of the cluster.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// No address was given.
    #[error("no address to join at")]
    NoAddress,
    /// No link came about at any address.
    #[error("cannot join at any of {} addresses: {}", .0.len(), list(.0))]
    NoLink(Vec<DialError>),
    /// The control node did not answer.
    #[error("the control node did not answer")]
    NoAnswer(#[source] CallError),
    /// The control node refused.
    #[error("the control node refused")]
    Refused(#[source] Failure),
    /// The answer is not what was asked for.
    #[error("the credentials cannot be used")]
    Certificate(#[source] CertificateError),
    /// The answer is for another cluster, node, role or key.
    #[error("the credentials are not for this node: {0}")]
    Mismatch(&'static str),
    /// The answer cannot be read.
    #[error("the control node's answer cannot be read")]
    Malformed,
    /// No key could be made.
    #[error("cannot make a key")]
    Key(#[source] AuthorityError),
}

fn list(errors: &[DialError]) -> String {
    let texts: Vec<_> = errors.iter().map(|error| Chain(error).to_string()).collect();
    texts.join("; ")
}

impl JoinError {
    /// What to try.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoAddress => Some("give the address of a control node".to_owned()),
            // The first refusal says more than later timeouts.
            Self::NoLink(errors) => errors.iter().find_map(DialError::hint),
            Self::Refused(failure) => failure.hint.clone(),
            _ => None,
        }
    }

    /// What a user is told.
    pub fn into_failure(self) -> Failure {
        let (kind, code) = match &self {
            Self::Refused(failure) => (failure.kind, failure.code.clone()),
            Self::NoAddress => (ErrorKind::Invalid, "no_address".to_owned()),
            Self::NoLink(errors) => errors.first().map_or_else(
                || (ErrorKind::Unavailable, "no_link".to_owned()),
                |error| (error.kind(), error.code().to_owned()),
            ),
            Self::NoAnswer(_) => (ErrorKind::Unavailable, "no_answer".to_owned()),
            Self::Certificate(_) | Self::Mismatch(_) | Self::Malformed => {
                (ErrorKind::Unauthenticated, "bad_credentials".to_owned())
            }
            Self::Key(_) => (ErrorKind::Internal, "internal".to_owned()),
        };
        let failure = Failure::new(kind, Chain(&self).to_string()).code(code);
        match self.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// First contact: proves the token's secret to the first control node that can be reached (up to
/// sixteen are tried at a time), and brings home a certificate and where the control nodes are.
///
/// Over `tls`, `quic` and `wss` the token's pin is checked before anything is proved. Plaintext
/// transports are for loopback.
///
/// # Errors
///
/// [`JoinError`], with every address that failed.
pub async fn join(
    urls: &[LinkUrl],
    token: &JoinToken,
    node: &NodeId,
    role: Role,
) -> Result<(NodeCertificate, join::Credentials), JoinError> {
    join_with(&Joining::default(), urls, token, node, role).await
}

/// How a node joins, besides the usual.
#[derive(Clone, Debug)]
pub struct Joining {
    /// As which release it speaks.
    pub release: Release,
    /// The way out for `wss`.
    pub proxy: Option<Proxy>,
}

impl Default for Joining {
    fn default() -> Self {
        Self { release: Release::CURRENT, proxy: None }
    }
}

/// As [`join`], in some other way.
///
/// # Errors
///
/// As [`join`].
pub async fn join_with(
    how: &Joining,
    urls: &[LinkUrl],
    token: &JoinToken,
    node: &NodeId,
    role: Role,
) -> Result<(NodeCertificate, join::Credentials), JoinError> {
    let link = first_contact(urls, |url| contact(how, url, token, node, role)).await?;
    let joined = credentials_over(&link, token, node, role).await;
    link.close(JOINED);
    joined
}

/// Asks for the first certificate over a link, and checks that it is of the token's cluster and CA.
pub(crate) async fn credentials_over(
    link: &Link,
    token: &JoinToken,
    node: &NodeId,
    role: Role,
) -> Result<(NodeCertificate, join::Credentials), JoinError> {
    let (certificate, credentials) = renew(link, node, role).await?;
    if pin_of(&credentials.ca).map_err(JoinError::Certificate)? != token.pin {
        return Err(JoinError::Mismatch("another CA"));
    }
    let claim = certificate.read().map_err(JoinError::Certificate)?.claim;
    if claim.cluster != token.cluster {
        return Err(JoinError::Mismatch("another cluster"));
    }
    Ok((certificate, credentials))
}

/// The first link that comes about. An address that does not answer at once gets company, in the
/// manner of RFC 8305.
async fn first_contact<'a, F>(
    urls: &'a [LinkUrl],
    contact: impl Fn(&'a LinkUrl) -> F,
) -> Result<Link, JoinError>
where
    F: Future<Output = Result<Link, DialError>>,
{
    let mut waiting = urls.iter();
    let mut dials = FuturesUnordered::new();
    let mut failed = Vec::new();
    loop {
        if dials.len() < MAX_DIALS {
            dials.extend(waiting.next().map(&contact));
        }
        let more = dials.len() < MAX_DIALS && waiting.len() > 0;
        tokio::select! {
            dialled = dials.next() => match dialled {
                Some(Ok(link)) => return Ok(link),
                Some(Err(error)) => failed.push(error),
                None if failed.is_empty() => return Err(JoinError::NoAddress),
                None => return Err(JoinError::NoLink(failed)),
            },
            () = tokio::time::sleep(STAGGER), if more => (),
        }
    }
}

pub(crate) async fn contact(
    how: &Joining,
    url: &LinkUrl,
    token: &JoinToken,
    node: &NodeId,
    role: Role,
) -> Result<Link, DialError> {
    let trust = Trust::Pin { cluster: Some(token.cluster.clone()), pin: token.pin };
    let caller = Caller {
        cluster: Some(token.cluster.clone()),
        node: node.clone(),
        role,
        generation: Generation(0),
        addresses: Vec::new(),
        proof: Proof::Secret(Secret::random_key(token.secret)),
        tls: url.transport.is_encrypted().then(|| pinned_client(trust, url.transport)),
        issuer: None,
        allow_plaintext: false,
        source: None,
        proxy: how.proxy.clone(),
        release: how.release,
    };
    call(caller, url, Limits::default().dial, None).await
}

/// Asks for a (new) certificate over a link: after the first contact of [`join()`], and when two thirds of
/// the old one's life are over. The key is new each time.
///
/// # Errors
///
/// [`JoinError`] without its cases about dialling.
pub async fn renew(
    link: &Link,
    node: &NodeId,
    role: Role,
) -> Result<(NodeCertificate, join::Credentials), JoinError> {
    let request = Request::generate().map_err(JoinError::Key)?;
    let body = encode(&join::Request { csr: request.csr });
    let answer = link.call(JOIN, Priority::Control, body, ANSWER).await;
    let answer = answer.map_err(JoinError::NoAnswer)?;
    let answer: join::Answer = decode(&answer).map_err(|_unreadable| JoinError::Malformed)?;
    let credentials = answer.map_err(JoinError::Refused)?;
    let facts = CertificateFacts::read(&credentials.certificate).map_err(JoinError::Certificate)?;
    let Claim { role: its_role, node: its_node, .. } = facts.claim;
    if (&its_node, its_role) != (node, role) {
        return Err(JoinError::Mismatch("another node or role"));
    }
    let its_key = public_key(&credentials.certificate).map_err(JoinError::Certificate)?;
    if <[u8; 32]>::from(Sha256::digest(its_key)) != request.pin {
        return Err(JoinError::Mismatch("another key"));
    }
    let certificate = NodeCertificate {
        certificate: credentials.certificate.clone(),
        key: request.key,
        ca: credentials.ca.clone(),
    };
    Ok((certificate, credentials))
}

/// Answers a call of [`JOIN`]: signs the peer's own name and role, as the handshake proved them. A
/// control node also gets what lets it admit others, unless somebody could listen in.
#[expect(clippy::needless_pass_by_value, reason = "what came from a stranger ends here")]
pub fn answer_join(
    authority: &Authority,
    peer: &Peer,
    request: join::Request,
    controls: Vec<(NodeId, Vec<LinkUrl>)>,
) -> join::Answer {
    if !peer.transport.is_encrypted() && !is_local(peer) {
        return Err(Failure::invalid("credentials are not given over plaintext")
            .code("plaintext")
            .hint("join over tls, quic or wss"));
    }
    let certificate = authority.issue(&peer.node, peer.role, &request.csr).map_err(|error| {
        Failure::invalid(Chain(&error).to_string()).code("certificate_not_issued")
    })?;
    Ok(join::Credentials {
        certificate,
        ca: authority.ca_der().to_vec(),
        controls,
        authority: (peer.role == Role::Control).then(|| authority.to_wire()),
    })
}

fn is_local(peer: &Peer) -> bool {
    let loopback = |address: SocketAddr| address.ip().to_canonical().is_loopback();
    peer.transport == remuda_model::Transport::Mem || peer.remote.parse().is_ok_and(loopback)
}
