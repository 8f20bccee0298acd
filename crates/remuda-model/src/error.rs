//! Errors as users, peers and scripts see them: a kind that decides what to do next, a code for
//! machines, a message and a hint for people.

use std::{error::Error, fmt};

use serde::{Deserialize, Serialize};

/// What sort of failure it is. HTTP status, exit code and whether to retry derive from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is wrong by itself.
    Invalid,
    /// No or unknown credentials.
    Unauthenticated,
    /// Known, but not allowed.
    Forbidden,
    /// No such object.
    NotFound,
    /// The name is taken.
    Exists,
    /// The object is in another state, or has changed since it was read.
    Conflict,
    /// A limit was reached; nothing was done.
    NoCapacity,
    /// Not now; nothing was done.
    Unavailable,
    /// The worker has no link; nothing was sent.
    NotConnected,
    /// It was sent and the answer never came: it may have happened.
    OutcomeUnknown,
    /// The deadline passed: it may have happened.
    TimedOut,
    /// The work itself failed, or its job class refused it.
    Failed,
    /// A bug.
    Internal,
}

impl ErrorKind {
    /// The HTTP status that carries this kind.
    pub fn http_status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Exists | Self::Conflict => 409,
            Self::NoCapacity => 507,
            Self::Unavailable | Self::NotConnected => 503,
            Self::OutcomeUnknown | Self::TimedOut => 504,
            Self::Failed => 502,
            Self::Internal => 500,
        }
    }

    /// The exit code of a command that ends with this kind.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Invalid => 2,
            Self::NotFound => 3,
            Self::Exists | Self::Conflict | Self::NoCapacity => 4,
            Self::Unavailable | Self::NotConnected | Self::OutcomeUnknown | Self::TimedOut => 5,
            Self::Unauthenticated | Self::Forbidden => 6,
            Self::Internal => 70,
        }
    }

    /// Whether nothing was done, so that the same call may be made again without harm.
    pub fn nothing_was_done(self) -> bool {
        !matches!(self, Self::OutcomeUnknown | Self::TimedOut | Self::Failed | Self::Internal)
    }

    /// The word used in JSON and codes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Exists => "exists",
            Self::Conflict => "conflict",
            Self::NoCapacity => "no_capacity",
            Self::Unavailable => "unavailable",
            Self::NotConnected => "not_connected",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::TimedOut => "timed_out",
            Self::Failed => "failed",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failure that travels: over links, through the API, to the terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What to do about it.
    pub kind: ErrorKind,
    /// A stable word for machines, such as `node_not_ready`; the kind's word unless said otherwise.
    pub code: String,
    /// What went wrong, for people: lower case, no full stop.
    pub message: String,
    /// What to try, for people.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure whose code is its kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, code: kind.as_str().to_owned(), message: message.into(), hint: None }
    }

    /// The same failure with a code of its own.
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = code.into();
        self
    }

    /// The same failure with advice.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A request that is wrong by itself.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// Work that failed, or was refused by its job class.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, message)
    }

    /// No such object.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// A bug, said with the whole chain of causes.
    pub fn internal(error: &(dyn Error + 'static)) -> Self {
        Self::new(ErrorKind::Internal, Chain(error).to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {}

/// Shows an error with all its causes, joined by `: `.
///
/// Texts of errors never contain their source; this is the one place that joins them.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_names_every_cause_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot open the log")]
        struct Outer(#[source] std::num::ParseIntError);
        let inner = "x".parse::<u8>().expect_err("not a number");
        assert_eq!(
            Chain(&Outer(inner)).to_string(),
            "cannot open the log: invalid digit found in string"
        );
    }

    #[test]
    fn unknown_outcomes_are_never_called_safe_to_repeat() {
        assert!(!ErrorKind::OutcomeUnknown.nothing_was_done());
        assert!(!ErrorKind::TimedOut.nothing_was_done());
        assert!(ErrorKind::NotConnected.nothing_was_done());
    }
}
