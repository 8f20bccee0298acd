//! Why an attempt ended otherwise than expected.

use std::{error::Error as _, io};

use remuda_discovery::dns::NameError;
use remuda_model::{
    Chain,
    run::{Outcome, Trouble, TroubleKind},
};

use super::tls;
use crate::{Again, policy::Denial};

/// Why an attempt ended otherwise than expected, and whether another one is safe because of that
/// alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) trouble: Trouble,
    /// Whether the same attempt may go better the next time.
    pub(crate) passes: bool,
}

impl Stop {
    /// Trouble that will be the same the next time.
    pub(crate) fn new(kind: TroubleKind, message: impl Into<String>) -> Self {
        Self { trouble: Trouble::new(kind, message), passes: false }
    }

    /// Trouble that may pass.
    pub(crate) fn passing(kind: TroubleKind, message: impl Into<String>) -> Self {
        Self { passes: true, ..Self::new(kind, message) }
    }

    /// How a target ends with it.
    pub(crate) fn outcome(&self) -> Outcome {
        match self.trouble.kind {
            TroubleKind::Status | TroubleKind::Exit | TroubleKind::Mismatch | TroubleKind::Job => {
                Outcome::Unexpected
            }
            TroubleKind::ConnectTimeout | TroubleKind::Timeout | TroubleKind::Stuck => {
                Outcome::TimedOut
            }
            TroubleKind::Policy => Outcome::Blocked,
            _ => Outcome::Failed,
        }
    }

    /// What may be done after it at a moment of the attempt.
    pub(crate) fn again(&self, moment: Again) -> Again {
        if self.passes { moment } else { Again::No }
    }

    /// No connection came about.
    pub(crate) fn connecting(error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::ConnectionRefused => TroubleKind::Refused,
            io::ErrorKind::TimedOut => TroubleKind::ConnectTimeout,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                TroubleKind::Unreachable
            }
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
                TroubleKind::Closed
            }
            _ => TroubleKind::Internal,
        };
        Self::passing(kind, format!("cannot connect: {error}"))
    }

    /// A connection broke, or TLS failed on it.
    pub(crate) fn broken(error: &io::Error) -> Self {
        if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Self::tls(tls);
        }
        match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => {
                Self::passing(TroubleKind::Closed, format!("the connection broke: {error}"))
            }
            io::ErrorKind::TimedOut => {
                Self::passing(TroubleKind::Timeout, format!("the connection broke: {error}"))
            }
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                Self::passing(TroubleKind::Unreachable, format!("the connection broke: {error}"))
            }
            _ => Self::passing(TroubleKind::Internal, format!("the connection broke: {error}")),
        }
    }

    fn tls(error: &rustls::Error) -> Self {
        let message = match error {
            rustls::Error::InvalidCertificate(why) => tls::disbelief(why),
            rustls::Error::InvalidMessage(_) => format!("it does not speak TLS: {error}"),
            other => format!("TLS failed: {other}"),
        };
        Self::new(TroubleKind::Tls, message)
    }

    /// What hyper says.
    pub(crate) fn http(error: &hyper::Error) -> Self {
        if error.is_parse_too_large() {
            return Self::new(
                TroubleKind::Protocol,
                "the head of its answer has more than 16 KiB or 100 headers",
            );
        }
        if error.is_parse() {
            return Self::new(
                TroubleKind::Protocol,
                format!("it does not speak HTTP/1.1: {error}"),
            );
        }
        if error.is_incomplete_message() {
            let message = "it closed the connection before the answer was whole";
            return Self::passing(TroubleKind::Closed, message);
        }
        let mut source = error.source();
        while let Some(cause) = source {
            if let Some(io) = cause.downcast_ref::<io::Error>() {
                return match io.kind() {
                    // How hyper names a body in pieces that are none.
                    io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
                        if io.get_ref().is_none_or(|inner| !inner.is::<rustls::Error>()) =>
                    {
                        let message = format!("its answer is not HTTP/1.1: {io}");
                        Self::new(TroubleKind::Protocol, message)
                    }
                    _ => Self::broken(io),
                };
            }
            source = cause.source();
        }
        Self::passing(TroubleKind::Closed, Chain(error).to_string())
    }
}

impl From<Denial> for Stop {
    fn from(denial: Denial) -> Self {
        Self::new(TroubleKind::Policy, denial.to_string())
    }
}

impl From<NameError> for Stop {
    fn from(error: NameError) -> Self {
        Self { passes: error.passes(), ..Self::new(TroubleKind::Dns, error.to_string()) }
    }
}
