//! Addresses that may leave open what DNS can tell.

use std::{borrow::Cow, fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{LinkUrl, ParseUrlError, Transport, parse};

/// Where a cluster is looked for: an address as [`LinkUrl`], whose port and transport may be left
/// open. For a host name, DNS may then say them (NAPTR and SRV records); otherwise they have the
/// defaults of a [`LinkUrl`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JoinUrl {
    /// Host name, IPv4 address or IPv6 address (without brackets).
    pub host: String,
    /// The port, if the text named one.
    pub port: Option<u16>,
    /// How to connect, if the text said so.
    pub transport: Option<Transport>,
    /// Path of the HTTP upgrade, for `ws` and `wss`.
    pub path: Option<String>,
}

impl JoinUrl {
    /// Parses a comma-separated list; a blank text is an empty one.
    ///
    /// # Errors
    ///
    /// Names the item that is wrong and why.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, ParseUrlError> {
        parse::list(text).map_err(|reason| ParseUrlError::new(text, reason))
    }

    /// Whether the host is a name that DNS may know, rather than an address.
    pub fn is_name(&self) -> bool {
        self.host.parse::<IpAddr>().is_err()
    }
}

/// The host as it stands before a port.
pub(super) fn bracketed(host: &str) -> Cow<'_, str> {
    if host.contains(':') { format!("[{host}]").into() } else { host.into() }
}

impl From<JoinUrl> for LinkUrl {
    fn from(url: JoinUrl) -> Self {
        let transport = url.transport.unwrap_or(Transport::Tls);
        let port = url.port.unwrap_or(transport.default_port());
        Self { host: url.host, port, transport, path: url.path }
    }
}

impl From<LinkUrl> for JoinUrl {
    fn from(url: LinkUrl) -> Self {
        let LinkUrl { host, port, transport, path } = url;
        Self { host, port: Some(port), transport: Some(transport), path }
    }
}

impl FromStr for JoinUrl {
    type Err = ParseUrlError;

    fn from_str(text: &str) -> Result<Self, ParseUrlError> {
        parse::single(text).map_err(|reason| ParseUrlError::new(text, reason))
    }
}

impl TryFrom<String> for JoinUrl {
    type Error = ParseUrlError;

    fn try_from(text: String) -> Result<Self, ParseUrlError> {
        text.parse()
    }
}

impl From<JoinUrl> for String {
    fn from(url: JoinUrl) -> Self {
        url.to_string()
    }
}

impl fmt::Display for JoinUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "remuda://{}", bracketed(&self.host))?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", self.path.as_deref().unwrap_or_default())?;
        match self.transport {
            Some(transport) => write!(f, ";transport={transport}"),
            None => Ok(()),
        }
    }
}
