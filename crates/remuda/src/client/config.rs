//! Where to connect, and as whom.

use std::{env, fmt, str::FromStr, time::Duration};

use remuda_model::Failure;

/// The port of the API when an address names none.
const DEFAULT_PORT: u16 = 44200;

/// What a client needs to know.
#[derive(Clone)]
pub struct ClientConfig {
    /// `http://host:port` or `https://host:port`; without a scheme `http` is meant, without a port
    /// 44200.
    pub address: String,
    /// The API token, `rmt1.…`.
    pub token: String,
    /// Whom to trust with `https`.
    pub ca: Option<Ca>,
    /// How long a plain call may take in all. Requests with a time limit of their own may take
    /// that much longer; streams are limited only until they begin.
    pub timeout: Duration,
}

/// Whom to trust with `https`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ca {
    /// Certificates in PEM. The server must prove the host name of the address.
    Pem(Vec<u8>),
    /// One certificate in DER. The server must prove the host name of the address.
    Der(Vec<u8>),
    /// SHA-256 of the public key (SPKI) of a cluster's authority. The server must be one of the
    /// cluster's control nodes, under whatever host name.
    Pin([u8; 32]),
}

impl ClientConfig {
    /// A configuration with a timeout of 30 s and no certificate authority.
    pub fn new(address: impl Into<String>, token: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            token: token.into(),
            ca: None,
            timeout: Duration::from_secs(30),
        }
    }

    /// See [`Client::from_env`](super::Client::from_env).
    pub fn from_env() -> Result<Self, Failure> {
        let address =
            env::var("REMUDA_ADDR").unwrap_or_else(|_unset| "http://127.0.0.1:44200".to_owned());
        let token = env::var("REMUDA_TOKEN").map_err(|_unset| {
            Failure::invalid("REMUDA_TOKEN is not set")
                .hint("make a token with `remuda token create`, or start a cluster: `remuda dev`")
        })?;
        let ca = match env::var_os("REMUDA_CA") {
            None => None,
            Some(path) => Some(Ca::Pem(std::fs::read(&path).map_err(|error| {
                Failure::invalid(format!(
                    "cannot read REMUDA_CA `{}`: {error}",
                    path.to_string_lossy().escape_debug()
                ))
            })?)),
        };
        Ok(Self { ca, ..Self::new(address, token) })
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("address", &self.address)
            .field("ca", &self.ca)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// An address in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) tls: bool,
    /// Without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Address {
    /// Host and port as in a URL.
    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Address {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let bad = |reason: &str| {
            let shown: String = text.chars().take(80).collect();
            Failure::invalid(format!("cannot read address `{}`: {reason}", shown.escape_debug()))
                .hint("write it as `http://127.0.0.1:44200` or `https://host:44200`")
        };
        let (tls, rest) = match text.split_once("://") {
            None => (false, text),
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) => return Err(bad("the scheme is neither `http` nor `https`")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(|| bad("`]` is missing"))?;
                if host.parse::<std::net::Ipv6Addr>().is_err() {
                    return Err(bad("no IPv6 address stands in the brackets"));
                }
                match port {
                    "" => (host, None),
                    port => match port.strip_prefix(':') {
                        Some(port) => (host, Some(port)),
                        None => return Err(bad("a port follows `:`")),
                    },
                }
            }
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let host_like = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
        if host.is_empty() || !host.bytes().all(host_like) {
            return Err(bad("the host is missing or has characters that no host has"));
        }
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => {
                port.parse().map_err(|_not_a_port| bad("the port is no number up to 65535"))?
            }
        };
        Ok(Self { tls, host: host.to_owned(), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_scheme_and_port() {
        for (text, tls, host, port) in [
            ("http://127.0.0.1:80", false, "127.0.0.1", 80),
            ("https://c1.example", true, "c1.example", 44200),
            ("localhost:7", false, "localhost", 7),
            ("c1", false, "c1", 44200),
            ("http://[::1]:9/", false, "::1", 9),
            ("https://[::1]", true, "::1", 44200),
        ] {
            let expected = Address { tls, host: host.to_owned(), port };
            assert_eq!(text.parse::<Address>(), Ok(expected), "{text}");
        }
        assert_eq!("[::1]:9".parse::<Address>().expect("valid").authority(), "[::1]:9");
    }

    #[test]
    fn other_texts_are_no_addresses() {
        for bad in [
            "",
            "http://",
            "ftp://x",
            "http://a/b",
            "a:b:c",
            "a:99999",
            "[::1",
            "[x]:1",
            "[::1]9",
            "a b",
            "http://user@host",
            "host\r\nX: y",
            "http://a?b",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_token_is_not_shown() {
        let config = ClientConfig::new("c1", "rmt1.secret");
        assert!(!format!("{config:?}").contains("secret"));
    }
}
