//! URLs that a run asks, read in one strict way.
//!
//! What judges a URL and what contacts its host must read the same host in it, so everything that
//! programs read differently is refused.

use std::fmt;

use crate::{
    host::{self, HostError},
    shortened,
};

/// The longest URL, in bytes.
pub const MAX_URL: usize = 64 << 10;

/// An `http` or `https` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl {
    /// Whether it is `https`.
    pub tls: bool,
    /// The canonical host; IPv6 without brackets.
    pub host: String,
    /// The port; 80 or 443 unless the URL names one.
    pub port: u16,
    /// What follows, `/` at least.
    pub path_and_query: String,
}

/// The text is no URL that is asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}`: {reason}")]
pub struct UrlError {
    /// The URL, shortened.
    pub text: String,
    /// What is wrong with it.
    pub reason: UrlProblem,
}

/// What is wrong with a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlProblem {
    /// Another scheme, or none.
    #[error("a URL begins with `http://` or `https://`")]
    Scheme,
    /// Names and passwords end up in logs.
    #[error("a URL has no user and no password: give them in a header")]
    User,
    /// The host.
    #[error("{0}")]
    Host(HostError),
    /// The port.
    #[error("the port is a number from 1 to 65535")]
    Port,
    /// A space, a control character, or one that programs read differently.
    #[error("a URL has no {0:?}: write it as `%XX`")]
    Character(char),
    /// `#…`
    #[error("a part after `#` is never sent")]
    Fragment,
    /// Too long.
    #[error("longer than {MAX_URL} bytes")]
    Long,
}

impl HttpUrl {
    /// Parses a URL.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        Self::read(text).map_err(|reason| UrlError { text: shortened(text), reason })
    }

    fn read(text: &str) -> Result<Self, UrlProblem> {
        if text.len() > MAX_URL {
            return Err(UrlProblem::Long);
        }
        if let Some(bad) = text.chars().find(|&character| !is_allowed(character)) {
            return Err(UrlProblem::Character(bad));
        }
        if text.contains('#') {
            return Err(UrlProblem::Fragment);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlProblem::Scheme)?;
        let tls = match scheme {
            _ if scheme.eq_ignore_ascii_case("http") => false,
            _ if scheme.eq_ignore_ascii_case("https") => true,
            _ => return Err(UrlProblem::Scheme),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(UrlProblem::User);
        }
        let (host, port) = split_port(authority);
        if host.contains(':') && !host.starts_with('[') {
            return Err(UrlProblem::Host(HostError::Ipv6));
        }
        let host = host::canonical(host).map_err(UrlProblem::Host)?.into_owned();
        let port = match port {
            None => {
                if tls {
                    443
                } else {
                    80
                }
            }
            Some(port) => parse_port(port).ok_or(UrlProblem::Port)?,
        };
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self { tls, host, port, path_and_query: format!("{slash}{path}") })
    }

    /// The host as it stands in a `Host` header: with brackets and port where they are needed.
    pub fn authority(&self) -> String {
        let default = if self.tls { 443 } else { 80 };
        let (open, close) = if host::is_ipv6(&self.host) { ("[", "]") } else { ("", "") };
        match self.port {
            port if port == default => format!("{open}{}{close}", self.host),
            port => format!("{open}{}{close}:{port}", self.host),
        }
    }

    /// The same host with another path, which begins with `/`.
    ///
    /// # Errors
    ///
    /// When the path does not belong into a URL.
    pub fn with_path(&self, path: &str) -> Result<Self, UrlError> {
        let error = |reason| UrlError { text: shortened(path), reason };
        match path.chars().find(|&character| !is_allowed(character)) {
            Some(bad) => Err(error(UrlProblem::Character(bad))),
            None if path.contains('#') => Err(error(UrlProblem::Fragment)),
            None if path.len() > MAX_URL => Err(error(UrlProblem::Long)),
            None if !path.starts_with('/') => Err(error(UrlProblem::Scheme)),
            None => Ok(Self { path_and_query: path.to_owned(), ..self.clone() }),
        }
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path_and_query)
    }
}

/// A port of decimal digits, not 0.
pub(crate) fn parse_port(text: &str) -> Option<u16> {
    let digits = (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&port| digits && port != 0)
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    let after_address = authority.rfind(']').map_or(0, |at| at + 1);
    match authority[after_address..].rfind(':') {
        Some(at) => {
            let (host, port) = authority.split_at(after_address + at);
            (host, Some(&port[1..]))
        }
        None => (authority, None),
    }
}

/// Whether a character stands for itself. The others are no part of a URL by RFC 3986; `{`, `|` and
/// `}` are, by custom.
fn is_allowed(character: char) -> bool {
    character.is_ascii_graphic() && !matches!(character, '"' | '<' | '>' | '\\' | '^' | '`')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_url_is_host_port_and_path() {
        let parsed = |text: &str| {
            let url = HttpUrl::parse(text).expect(text);
            (url.tls, url.host.clone(), url.port, url.path_and_query.clone(), url.authority())
        };
        let of = |tls, host: &str, port, path: &str, authority: &str| {
            (tls, host.to_owned(), port, path.to_owned(), authority.to_owned())
        };
        assert_eq!(parsed("http://Web1"), of(false, "web1", 80, "/", "web1"));
        assert_eq!(
            parsed("HTTPS://a.b:8443/x?y={z}"),
            of(true, "a.b", 8443, "/x?y={z}", "a.b:8443")
        );
        assert_eq!(parsed("https://[::1]:443?a=b@c:d"), of(true, "::1", 443, "/?a=b@c:d", "[::1]"));
        assert_eq!(parsed("http://[::1]:8080/"), of(false, "::1", 8080, "/", "[::1]:8080"));
    }

    #[test]
    fn urls_that_are_read_differently_are_refused() {
        for (text, reason) in [
            ("web1/x", UrlProblem::Scheme),
            ("ftp://web1/", UrlProblem::Scheme),
            ("http://a@b/", UrlProblem::User),
            ("http://a:b@c/", UrlProblem::User),
            ("http:///x", UrlProblem::Host(HostError::Empty)),
            ("http://::1/", UrlProblem::Host(HostError::Ipv6)),
            ("http://0x7f.1/", UrlProblem::Host(HostError::Ipv4)),
            ("http://a:/", UrlProblem::Port),
            ("http://a:0/", UrlProblem::Port),
            ("http://a:65536/", UrlProblem::Port),
            ("http://a:+80/", UrlProblem::Port),
            ("http://a\\@b/", UrlProblem::Character('\\')),
            ("http://a/b c", UrlProblem::Character(' ')),
            ("http://a/\r\nHost: b", UrlProblem::Character('\r')),
            ("http://a/ü", UrlProblem::Character('ü')),
            ("http://a/#b", UrlProblem::Fragment),
        ] {
            assert_eq!(HttpUrl::parse(text).map_err(|error| error.reason), Err(reason), "{text}");
        }
    }

    #[test]
    fn another_path_keeps_the_host() {
        let url = HttpUrl::parse("https://a:1/x").expect("url");
        let other = url.with_path("//b/y").expect("path");
        assert_eq!(other.to_string(), "https://a:1//b/y");
        assert!(url.with_path("b").is_err());
        assert!(url.with_path("/ b").is_err());
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,40}|https?://[a-z0-9.:@/?\\[\\]#%-]{0,30}") {
            if let Ok(url) = HttpUrl::parse(&text) {
                prop_assert_eq!(HttpUrl::parse(&url.to_string()), Ok(url));
            }
        }
    }
}
