//! Addresses of trackers.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use super::PORT;

/// Where a tracker is: `http://host[:port]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackerUrl {
    /// Host name, IPv4 address, or IPv6 address in brackets.
    pub host: String,
    /// The port; [`PORT`](super::PORT) unless the text says another.
    pub port: u16,
}

/// The text is no address of a tracker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no address of a tracker: {reason}")]
pub struct ParseTrackerUrlError {
    /// The text, shortened.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl TrackerUrl {
    /// The tracker at an address.
    pub fn at(address: SocketAddr) -> Self {
        let host = match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Self { host, port: address.port() }
    }

    /// Host and port.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl FromStr for TrackerUrl {
    type Err = ParseTrackerUrlError;

    fn from_str(text: &str) -> Result<Self, ParseTrackerUrlError> {
        parse(text.trim()).map_err(|reason| ParseTrackerUrlError {
            // What stands before the host may be a password.
            text: text.rsplit('@').next().unwrap_or_default().chars().take(80).collect(),
            reason,
        })
    }
}

fn parse(text: &str) -> Result<TrackerUrl, &'static str> {
    let uri: http::Uri = text.parse().map_err(|_bad| "expected http://HOST[:PORT]")?;
    match uri.scheme_str() {
        Some("http") => (),
        Some("https") => return Err("trackers are asked over http; what they say is proved later"),
        _ => return Err("expected http://HOST[:PORT]"),
    }
    let authority = uri.authority().ok_or("the host is missing")?;
    if authority.as_str().contains('@') {
        return Err("user and password are not supported");
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err("a path is not supported");
    }
    match uri.port_u16() {
        Some(0) => Err("port 0 is no port of a tracker"),
        port => Ok(TrackerUrl { host: authority.host().to_owned(), port: port.unwrap_or(PORT) }),
    }
}

impl fmt::Display for TrackerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority())
    }
}
