//! Addresses of nodes, in the NkCLUSTER form: `remuda://host:port;transport=wss`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

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
        }
    }

    /// Whether the transport itself encrypts and authenticates.
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::Wss | Self::Quic)
    }
}

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
    /// Parses a comma-separated list.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, ParseUrlError> {
        text.split(',').map(|part| part.trim().parse()).collect()
    }
}

impl FromStr for LinkUrl {
    type Err = ParseUrlError;

    fn from_str(text: &str) -> Result<Self, ParseUrlError> {
        Err(ParseUrlError { text: text.to_owned(), reason: "placeholder".to_owned() })
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
        write!(f, "remuda://{}:{}", self.host, self.port)
    }
}
