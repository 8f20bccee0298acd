//! Why listening and dialling fail, and what to do about it.

use std::{io, time::Duration};

use remuda_model::{Chain, ClusterId, ErrorKind, Failure, LinkUrl};
use remuda_wire::handshake::{ClientError, Refusal};

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The name has no address.
    #[error("cannot resolve {url}")]
    Resolve {
        /// The address.
        url: LinkUrl,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The address is taken, not of this machine, or not allowed to this user.
    #[error("cannot listen on {url}")]
    Bind {
        /// The address.
        url: LinkUrl,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others could read and change what is said.
    #[error("{url} would be plaintext that leaves this machine")]
    Plaintext {
        /// The address.
        url: LinkUrl,
    },
    /// An encrypted transport needs a certificate.
    #[error("{url} needs a certificate, and this node has none yet")]
    NoCertificate {
        /// The address.
        url: LinkUrl,
    },
    /// Nobody joins where others could read and change what is said.
    #[error("{url} is not encrypted, and this node has yet to join")]
    Unencrypted {
        /// The address.
        url: LinkUrl,
    },
    /// The password is everybody's first guess.
    #[error("the cluster's password is too weak for {url}")]
    WeakPassword {
        /// The address.
        url: LinkUrl,
    },
}

impl ListenError {
    /// What to try.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Resolve { .. } => "use an address of this machine, or `all` for every one",
            Self::Bind { source, .. } => match source.kind() {
                io::ErrorKind::AddrInUse => {
                    "another process listens there: stop it, or use another port (0 for any)"
                }
                io::ErrorKind::PermissionDenied => "ports below 1024 need more rights",
                _ => "use an address of this machine, or `all` for every one",
            },
            Self::Plaintext { .. } => {
                "use transport tls, quic or wss, or listen on 127.0.0.1; allow_plaintext permits it"
            }
            Self::NoCertificate { .. } => "join a cluster first; the listener can be added then",
            Self::Unencrypted { .. } => "wait to be invited over tls, quic or wss",
            Self::WeakPassword { .. } => {
                "use a join token, or a password of at least 12 characters that nobody guesses"
            }
        }
    }
}

/// No link came about.
#[derive(Debug, thiserror::Error)]
#[error("cannot link to {url}")]
pub struct DialError {
    /// Where.
    pub url: LinkUrl,
    /// What failed.
    #[source]
    pub cause: DialCause,
}

/// What failed on the way to a link.
#[derive(Debug, thiserror::Error)]
pub enum DialCause {
    /// The name has no address.
    #[error("cannot resolve the name")]
    Resolve(#[source] io::Error),
    /// Nobody listens there.
    #[error("connection refused")]
    Refused(#[source] io::Error),
    /// The network does not get there, or it broke.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// The proxy does not let us out, or cannot be reached.
    #[error("no way through the proxy")]
    Proxy(#[source] io::Error),
    /// It took too long.
    #[error("no link after {} s", limit.as_secs_f32())]
    TimedOut {
        /// What was allowed.
        limit: Duration,
    },
    /// Others could read and change what is said.
    #[error("it would be plaintext that leaves this machine")]
    Plaintext,
    /// An encrypted transport needs a certificate.
    #[error("this node has no certificate yet")]
    NoCertificate,
    /// A plaintext transport needs a shared secret.
    #[error("this node has no secret to prove")]
    NoSecret,
    /// Without it, nobody knows whom the token is shown to.
    #[error("the cluster's CA is not known")]
    NoPin,
    /// TLS failed: the certificate is foreign, expired, of another cluster or CA, or revoked.
    #[error("TLS failed")]
    Tls(#[source] io::Error),
    /// QUIC failed.
    #[error("QUIC failed")]
    Quic(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is no WebSocket.
    #[error("the WebSocket upgrade failed")]
    WebSocket(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The other side closed the connection in the midst of the handshake.
    #[error("the connection ended within the handshake")]
    Lost(#[source] io::Error),
    /// The certificate of the other side was revoked.
    #[error("the certificate of the other side was revoked")]
    Revoked,
    /// A node waits there to be invited, and for another cluster.
    #[error("the node there waits for cluster {theirs}, not {ours}")]
    WaitsFor {
        /// The one of this node.
        ours: ClusterId,
        /// The one that its token names.
        theirs: ClusterId,
    },
    /// A node waits there that does not take this one for a control node of its cluster.
    #[error("the node that waits there does not believe this control node")]
    NotBelieved(#[source] io::Error),
    /// A node waits there that may not join.
    #[error("the node that waits there was refused: {0}")]
    NotAdmitted(Refusal),
    /// The handshake failed, or the other side refused.
    #[error(transparent)]
    Handshake(#[from] ClientError),
}

impl DialError {
    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match &self.cause {
            DialCause::TimedOut { .. }
            | DialCause::Resolve(_)
            | DialCause::Refused(_)
            | DialCause::Connect(_)
            | DialCause::Proxy(_)
            | DialCause::Quic(_)
            | DialCause::Lost(_) => ErrorKind::Unavailable,
            DialCause::Plaintext | DialCause::WebSocket(_) => ErrorKind::Invalid,
            DialCause::NoCertificate
            | DialCause::NoSecret
            | DialCause::NoPin
            | DialCause::Tls(_)
            | DialCause::NotBelieved(_)
            | DialCause::Revoked => ErrorKind::Unauthenticated,
            DialCause::WaitsFor { .. } => ErrorKind::Forbidden,
            DialCause::NotAdmitted(refusal) => refusal.kind(),
            DialCause::Handshake(error) => error.kind(),
        }
    }

    /// The stable word for what failed.
    pub fn code(&self) -> &str {
        match &self.cause {
            DialCause::Resolve(_) => "unresolved",
            DialCause::Refused(_) => "refused",
            DialCause::Connect(_) | DialCause::Quic(_) => "unreachable",
            DialCause::Proxy(_) => "proxy",
            DialCause::TimedOut { .. } => "timed_out",
            DialCause::Plaintext => "plaintext",
            DialCause::NoCertificate => "no_certificate",
            DialCause::NoSecret => "no_secret",
            DialCause::NoPin => "no_pin",
            DialCause::Tls(_) | DialCause::NotBelieved(_) => "tls",
            DialCause::WaitsFor { .. } => "cluster_mismatch",
            DialCause::NotAdmitted(refusal) => refusal.code(),
            DialCause::WebSocket(_) => "websocket",
            DialCause::Lost(_) => "lost",
            DialCause::Revoked => "revoked",
            DialCause::Handshake(error) => error.code(),
        }
    }

    /// What to try.
    pub fn hint(&self) -> Option<String> {
        let hint = match &self.cause {
            DialCause::Resolve(_) => "check the name, or use an address",
            DialCause::Refused(_) => "is a node listening there, on this port and transport?",
            DialCause::Connect(_) | DialCause::Quic(_) | DialCause::TimedOut { .. } => {
                "check the address, and whether a firewall is in between"
            }
            DialCause::Proxy(_) => {
                "check --proxy (HTTPS_PROXY), and whether it allows this host and port"
            }
            DialCause::Plaintext => {
                "use transport tls, quic or wss; allow_plaintext permits it all the same"
            }
            DialCause::NoCertificate => "join the cluster with a token first",
            DialCause::NoSecret => "give this node the cluster's password or join secret",
            DialCause::NoPin => "give the CA pin, which is part of the join token",
            DialCause::Tls(_) => {
                "the node there belongs to another cluster, its certificate has expired, or \
                 somebody sits in between"
            }
            DialCause::WaitsFor { .. } => "start that node with a join token of this cluster",
            DialCause::NotBelieved(_) | DialCause::NotAdmitted(Refusal::AuthFailed) => {
                "its token may be older than the cluster's: start that node with the one that \
                 `remuda cluster join-token worker` prints now"
            }
            DialCause::NotAdmitted(refusal) => return refusal.hint(),
            DialCause::WebSocket(_) => "check the path, and whether a proxy passes upgrades on",
            DialCause::Lost(_) => {
                "too many connections may wait there, or it speaks another transport"
            }
            DialCause::Revoked => return Refusal::Revoked.hint(),
            DialCause::Handshake(error) => return error.hint(),
        };
        Some(hint.to_owned())
    }

    /// What a user is told.
    pub fn into_failure(self) -> Failure {
        let failure = Failure::new(self.kind(), Chain(&self).to_string()).code(self.code());
        match self.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}
