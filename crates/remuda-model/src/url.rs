//! Addresses of nodes, in the NkCLUSTER form: `remuda://host:port;transport=wss`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

mod join;
mod parse;

pub use join::JoinUrl;

/// Longest text of a list of addresses, in bytes.
pub const MAX_TEXT: usize = 16 * 1024;
/// Most addresses in a list.
pub const MAX_URLS: usize = 64;

/// How bytes travel between two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TLS 1.3 over TCP: the default.
    Tls,
    /// Plain TCP, for loopback or where the configuration allows plaintext.
    Tcp,
    /// WebSocket, plain.
    Ws,
    /// WebSocket over TLS.
    Wss,
    /// QUIC.
    Quic,
    /// Memory of one process.
    Mem,
    /// SCTP in UDP datagrams, plain.
    Sctp,
}

impl Transport {
    /// The word used in URLs and transcripts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Tcp => "tcp",
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Quic => "quic",
            Self::Mem => "mem",
            Self::Sctp => "sctp",
        }
    }

    /// The port used when a URL names none.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Tcp => 1972,
            Self::Tls | Self::Quic => 1973,
            Self::Ws => 1974,
            Self::Wss => 1975,
            Self::Mem => 0,
            // The port of such datagrams, RFC 6951.
            Self::Sctp => 9899,
        }
    }

    /// Whether the transport itself encrypts and authenticates.
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::Wss | Self::Quic)
    }
}

impl FromStr for Transport {
    type Err = UnknownTransport;

    fn from_str(text: &str) -> Result<Self, UnknownTransport> {
        [Self::Tls, Self::Tcp, Self::Ws, Self::Wss, Self::Quic, Self::Mem, Self::Sctp]
            .into_iter()
            .find(|transport| transport.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownTransport(text.chars().take(40).collect()))
    }
}

/// The text names no transport.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown transport `{0}`: expected tls, quic, wss, ws, tcp or sctp")]
pub struct UnknownTransport(pub String);

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One address to listen on or to dial.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LinkUrl {
    /// Host name, IPv4 address or IPv6 address (without brackets); `all` and `all6` have become
    /// `0.0.0.0` and `::`.
    pub host: String,
    /// The port; the transport's default when the text named none.
    pub port: u16,
    /// How to connect.
    pub transport: Transport,
    /// Path of the HTTP upgrade, for `ws` and `wss`.
    pub path: Option<String>,
}

/// The text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot parse URL `{text}`: {reason}")]
pub struct ParseUrlError {
    /// The text, shortened.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl LinkUrl {
    /// Parses a comma-separated list; a blank text is an empty one.
    ///
    /// # Errors
    ///
    /// Names the item that is wrong and why.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, ParseUrlError> {
        let urls = JoinUrl::parse_list(text)?;
        Ok(urls.into_iter().map(Self::from).collect())
    }

    /// Host and port, as sockets and resolvers want them: an IPv6 address stands in brackets.
    pub fn authority(&self) -> String {
        format!("{}:{}", join::bracketed(&self.host), self.port)
    }
}

impl ParseUrlError {
    fn new(text: &str, reason: String) -> Self {
        // A hostile text must not fill a log line.
        Self { text: text.trim().chars().take(80).collect(), reason }
    }
}

impl FromStr for LinkUrl {
    type Err = ParseUrlError;

    fn from_str(text: &str) -> Result<Self, ParseUrlError> {
        text.parse::<JoinUrl>().map(Self::from)
    }
}

impl TryFrom<String> for LinkUrl {
    type Error = ParseUrlError;

    fn try_from(text: String) -> Result<Self, ParseUrlError> {
        text.parse()
    }
}

impl From<LinkUrl> for String {
    fn from(url: LinkUrl) -> Self {
        url.to_string()
    }
}

impl fmt::Display for LinkUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "remuda://{}{}", self.authority(), self.path.as_deref().unwrap_or_default())?;
        match self.transport {
            Transport::Tls => Ok(()),
            other => write!(f, ";transport={other}"),
        }
    }
}

#[cfg(test)]
mod tests;
