//! The messages of the handshake and their frames.

use std::fmt;

use bytes::Bytes;
use remuda_model::{ClusterId, ErrorKind, Failure, Generation, LinkUrl, NodeId, Role};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroize as _;

use super::secret::Kdf;
use crate::codec::{DecodeError, decode, encode};

/// The longest frame that is read from a peer that has not proved itself, in bytes.
pub const MAX_FRAME: usize = 16 * 1024;

/// The first bytes of every link, so that something else on the port is recognised.
const MAGIC: [u8; 4] = *b"rmda";

/// What the client says before anything is agreed. Its shape never changes: it precedes the
/// [`Hello`] in the first frame, and every version can read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    magic: [u8; 4],
    /// The protocol versions that the client speaks, best first.
    pub versions: Vec<u16>,
    /// The version of its build.
    pub build: String,
}

impl Opening {
    /// An opening with these versions.
    pub fn new(versions: &[u16], build: &str) -> Self {
        Self { magic: MAGIC, versions: versions.to_vec(), build: build.to_owned() }
    }
}

/// What a control node says first to a node that it has dialled and that waits to be invited: which
/// versions it speaks, in an [`Opening`]. The waiting node is the client from there on.
pub fn invitation(versions: &[u16], build: &str) -> Bytes {
    framed(&Opening::new(versions, build))
}

/// Reads an [`invitation`]; `None` when it is something else. What follows the opening is for later
/// versions.
pub fn read_invitation(body: &[u8]) -> Option<Opening> {
    read_opening(body).map(|(opening, _rest)| opening)
}

/// How the client means to prove itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// By the certificate that it showed in the TLS handshake.
    Certificate,
    /// By knowing the join secret or password.
    Secret,
    /// By an API token, as a client.
    Bearer,
}

/// The method with what it needs on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Credential {
    /// See [`Method::Certificate`].
    Certificate,
    /// See [`Method::Secret`]; the secret itself never travels.
    Secret,
    /// See [`Method::Bearer`].
    Bearer(Bearer),
}

impl Credential {
    /// Which method it is.
    pub fn method(&self) -> Method {
        match self {
            Self::Certificate => Method::Certificate,
            Self::Secret => Method::Secret,
            Self::Bearer(_) => Method::Bearer,
        }
    }
}

/// An API token on its way; wiped when dropped; `Debug` shows `***`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bearer(String);

impl Bearer {
    /// Wraps the text of a token.
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// The text, for checking it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for Bearer {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Who the client says it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The cluster that it means; only a client with an API token may not know.
    pub cluster: Option<ClusterId>,
    /// Its name.
    pub node: NodeId,
    /// The role that it claims.
    pub role: Role,
    /// Its boot counter.
    pub generation: Generation,
    /// Where it can be dialled.
    pub addresses: Vec<LinkUrl>,
    /// Abilities within a version, one bit each; unknown bits are ignored, none is defined yet.
    pub capabilities: u64,
    /// Its wall clock, in milliseconds since 1970.
    pub wall_ms: u64,
    /// Fresh random bytes.
    pub nonce: [u8; 32],
    /// How it will prove itself.
    pub credential: Credential,
}

/// Who the server says it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthInit {
    /// The protocol version that it chose among the client's.
    pub version: u16,
    /// The version of its build.
    pub build: String,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its name.
    pub node: NodeId,
    /// Its role.
    pub role: Role,
    /// Its boot counter.
    pub generation: Generation,
    /// Where it can be dialled.
    pub addresses: Vec<LinkUrl>,
    /// See [`Hello::capabilities`].
    pub capabilities: u64,
    /// Its wall clock, in milliseconds since 1970.
    pub wall_ms: u64,
    /// Fresh random bytes.
    pub nonce: [u8; 32],
    /// How the key is made from the secret.
    pub kdf: Kdf,
}

/// What the client sends after its [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromClient {
    /// Its proof.
    Proof {
        /// See [`super::Transcript::client_proof`].
        mac: [u8; 32],
    },
}

/// What the server sends. Refusals come first, so that every version can read them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromServer {
    /// No; the connection ends.
    Refused(Refusal),
    /// Go on.
    Init(Box<AuthInit>),
    /// The link is open.
    Ok {
        /// See [`super::Transcript::server_proof`].
        mac: [u8; 32],
    },
}

/// Why a link was refused. An attacker must not learn more than it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// No common version.
    VersionUnsupported {
        /// The protocol versions that the server speaks.
        spoken: Vec<u16>,
        /// The version of its build.
        build: String,
    },
    /// The message could not be read, or was not due.
    Malformed,
    /// The proof does not hold; which part of it is not said.
    AuthFailed,
    /// The client means another cluster.
    ClusterMismatch,
    /// Another node has this name.
    NodeIdInUse,
    /// The certificate was revoked.
    Revoked,
    /// The clocks are too far apart for a certificate.
    ClockSkew {
        /// By how much, in milliseconds.
        skew_ms: u64,
    },
    /// Too many failed attempts from there.
    TooManyAttempts {
        /// When to try again, in milliseconds.
        retry_ms: u64,
    },
    /// Proved, and refused all the same.
    NotAdmitted(Failure),
}

impl Refusal {
    /// Its stable word.
    pub fn code(&self) -> &str {
        match self {
            Self::VersionUnsupported { .. } => "version_unsupported",
            Self::Malformed => "malformed",
            Self::AuthFailed => "auth_failed",
            Self::ClusterMismatch => "cluster_mismatch",
            Self::NodeIdInUse => "node_id_in_use",
            Self::Revoked => "revoked",
            Self::ClockSkew { .. } => "clock_skew",
            Self::TooManyAttempts { .. } => "too_many_attempts",
            Self::NotAdmitted(failure) => &failure.code,
        }
    }

    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::VersionUnsupported { .. } | Self::Malformed => ErrorKind::Invalid,
            Self::AuthFailed => ErrorKind::Unauthenticated,
            Self::ClusterMismatch | Self::Revoked => ErrorKind::Forbidden,
            Self::NodeIdInUse => ErrorKind::Exists,
            Self::ClockSkew { .. } => ErrorKind::Conflict,
            Self::TooManyAttempts { .. } => ErrorKind::NoCapacity,
            Self::NotAdmitted(failure) => failure.kind,
        }
    }

    /// What to try.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::VersionUnsupported { build, .. } => {
                return Some(format!("the other side runs version {build}: upgrade the older one"));
            }
            Self::NotAdmitted(failure) => return failure.hint.clone(),
            Self::Malformed => "is a remuda node listening there, with this transport?",
            Self::AuthFailed => {
                "check the token or password; `remuda cluster status` on a control node shows the \
                 present cluster"
            }
            Self::ClusterMismatch => "the token or the data directory belongs to another cluster",
            Self::NodeIdInUse => "give this node another name, or remove the old one",
            Self::Revoked => "remove the data directory and join again",
            Self::ClockSkew { .. } => "set the clock (NTP) and join again",
            Self::TooManyAttempts { .. } => "wait, then try again with the right credentials",
        };
        Some(hint.to_owned())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VersionUnsupported { spoken, build } => {
                write!(f, "no common protocol version: {build} speaks {spoken:?}")
            }
            Self::Malformed => f.write_str("the handshake was not understood"),
            Self::AuthFailed => f.write_str("authentication failed"),
            Self::ClusterMismatch => f.write_str("it belongs to another cluster"),
            Self::NodeIdInUse => f.write_str("another node has this name"),
            Self::Revoked => f.write_str("the certificate was revoked"),
            Self::ClockSkew { skew_ms } => {
                write!(f, "the clocks differ by {} s", skew_ms.div_ceil(1_000))
            }
            Self::TooManyAttempts { retry_ms } => {
                write!(f, "too many failed attempts; next in {} s", retry_ms.div_ceil(1_000))
            }
            Self::NotAdmitted(failure) => write!(f, "{failure}"),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        if let Refusal::NotAdmitted(failure) = refusal {
            return failure;
        }
        let failure = Self::new(refusal.kind(), refusal.to_string()).code(refusal.code());
        match refusal.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// A length that no frame of the handshake has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a handshake frame of {0} bytes; at most {MAX_FRAME} are allowed")]
pub struct FrameError(pub u32);

/// Checks the four bytes that precede a frame and gives its length, before anything is allocated.
///
/// # Errors
///
/// [`FrameError`] for more than [`MAX_FRAME`] bytes or none.
pub fn frame_length(header: [u8; 4]) -> Result<usize, FrameError> {
    let length = u32::from_be_bytes(header);
    usize::try_from(length)
        .ok()
        .filter(|length| (1..=MAX_FRAME).contains(length))
        .ok_or(FrameError(length))
}

/// Puts the length before a body.
pub fn frame(body: &[u8]) -> Bytes {
    let length = u32::try_from(body.len()).expect("bodies of the handshake are short");
    [&length.to_be_bytes(), body].concat().into()
}

/// A message as a frame.
pub(super) fn framed<T: Serialize>(message: &T) -> Bytes {
    frame(&encode(message))
}

/// The first frame.
pub(super) fn framed_hello(opening: &Opening, hello: &Hello) -> Bytes {
    frame(&[encode(opening), encode(hello)].concat())
}

/// The opening, and what follows it.
pub(super) fn read_opening(body: &[u8]) -> Option<(Opening, &[u8])> {
    let (opening, rest): (Opening, _) = postcard::take_from_bytes(body).ok()?;
    (opening.magic == MAGIC && opening.versions.len() <= 64 && opening.build.len() <= 64)
        .then_some((opening, rest))
}

/// One message that fills its frame.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, DecodeError> {
    decode(body)
}
