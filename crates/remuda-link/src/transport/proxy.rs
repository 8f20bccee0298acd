//! HTTP proxies: the way out of networks from which only they get out.

use std::{fmt, io, net::IpAddr, str::FromStr};

use super::tcp;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use zeroize::Zeroizing;

/// The port of a proxy when the text names none.
const PORT: u16 = 3128;
/// The longest head of an answer, in bytes, and the most lines in it.
const MAX_HEAD: (usize, usize) = (8 * 1024, 64);

/// A proxy that understands `CONNECT` (RFC 9110 section 9.3.6), and for which hosts it is not used.
///
/// As text: `http://[user:password@]host[:port]`. The connection to the proxy is not encrypted; what
/// goes through it is.
#[derive(Clone)]
pub struct Proxy {
    host: String,
    port: u16,
    /// The value of `Proxy-Authorization`.
    authorization: Option<Zeroizing<String>>,
    except: Vec<Except>,
}

/// Hosts that are reached without the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Except {
    All,
    /// A name and all below it.
    Domain(String),
    Network(IpAddr, u8),
}

/// The text names no proxy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a proxy as http://[USER:PASSWORD@]HOST[:PORT]: {0}")]
pub struct ParseProxyError(&'static str);

impl Proxy {
    /// Leaves out hosts, in the words of `NO_PROXY`: names with all below them, addresses, networks
    /// such as `10.0.0.0/8`, or `*`, separated by commas.
    pub fn except(mut self, hosts: &str) -> Self {
        let words = hosts.split([',', ' ']).map(str::trim).filter(|word| !word.is_empty());
        self.except = words.map(Except::parse).collect();
        self
    }

    /// Whether a host is reached through it. This machine never is.
    pub(crate) fn is_for(&self, host: &str) -> bool {
        let ip = host.parse::<IpAddr>().ok();
        let is_local = host == "localhost" || ip.is_some_and(|ip| ip.is_loopback());
        !is_local && !self.except.iter().any(|except| except.holds(host, ip))
    }

    /// Connects to a host by way of the proxy, which also resolves its name.
    pub(crate) async fn connect(&self, authority: &str) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        tcp::tune(&stream)?;
        let mut request =
            Zeroizing::new(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n"));
        if let Some(authorization) = &self.authorization {
            request.push_str("Proxy-Authorization: ");
            request.push_str(authorization);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        loop {
            if head.len() >= MAX_HEAD.0 {
                return Err(refusal(self, "an answer without an end"));
            }
            // Behind a good answer, the other side waits for us to speak.
            let length = stream.read_buf(&mut head).await?;
            if length == 0 {
                return Err(refusal(self, "nothing"));
            }
            let mut lines = [httparse::EMPTY_HEADER; MAX_HEAD.1];
            let mut answer = httparse::Response::new(&mut lines);
            match answer.parse(&head) {
                Ok(httparse::Status::Partial) => (),
                Ok(httparse::Status::Complete(length)) => {
                    return match answer.code {
                        Some(200..300) if length == head.len() => Ok(stream),
                        Some(200..300) => Err(refusal(self, "more than its answer")),
                        Some(code) => {
                            let reason = answer.reason.unwrap_or_default();
                            let shown: String = reason.chars().take(100).collect();
                            Err(refusal(self, &format!("{code} {shown}")))
                        }
                        None => Err(refusal(self, "no status")),
                    };
                }
                Err(_malformed) => return Err(refusal(self, "something else than HTTP")),
            }
        }
    }
}

fn refusal(proxy: &Proxy, what: &str) -> io::Error {
    io::Error::other(format!("the proxy {proxy} answers {what}"))
}

impl Except {
    fn parse(word: &str) -> Self {
        if word == "*" {
            return Self::All;
        }
        let (host, bits) = match word.split_once('/') {
            Some((host, bits)) => (host, bits.parse().ok()),
            None => (word, None),
        };
        match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(ip) => Self::Network(ip, bits.unwrap_or(if ip.is_ipv4() { 32 } else { 128 })),
            Err(_name) => {
                Self::Domain(word.trim_start_matches("*.").trim_matches('.').to_lowercase())
            }
        }
    }

    fn holds(&self, host: &str, ip: Option<IpAddr>) -> bool {
        match (self, ip) {
            (Self::All, _) => true,
            (Self::Domain(name), None) => {
                let rest = host.strip_suffix(name.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            (Self::Network(IpAddr::V4(net), bits), Some(IpAddr::V4(ip))) => {
                let shift = 32_u32.saturating_sub(u32::from(*bits));
                u64::from(net.to_bits()) >> shift == u64::from(ip.to_bits()) >> shift
            }
            (Self::Network(IpAddr::V6(net), bits), Some(IpAddr::V6(ip))) => {
                let shift = 128_u32.saturating_sub(u32::from(*bits));
                net.to_bits().checked_shr(shift) == ip.to_bits().checked_shr(shift)
            }
            _ => false,
        }
    }
}

impl FromStr for Proxy {
    type Err = ParseProxyError;

    fn from_str(text: &str) -> Result<Self, ParseProxyError> {
        let rest = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some(("https", _)) => return Err(ParseProxyError("proxies are spoken to over http")),
            Some(_) => return Err(ParseProxyError("it is another kind of proxy")),
            None => text,
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, rest),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_bad| ParseProxyError("the port is no number"))?)
            }
            _ => (place, PORT),
        };
        let host = host.trim_matches(['[', ']']);
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        if host.is_empty() || port == 0 || !host.bytes().all(is_host) {
            return Err(ParseProxyError("host or port is missing"));
        }
        let authorization = user.map(|user| {
            let plain = Zeroizing::new(percent_decoded(user));
            Zeroizing::new(format!("Basic {}", BASE64_STANDARD.encode(plain.as_slice())))
        });
        Ok(Self { host: host.to_owned(), port, authorization, except: Vec::new() })
    }
}

/// The bytes of the part of a URL.
fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = after.get(..2).filter(|_| *first == b'%');
        let hex = hex.and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    bytes
}

/// Without user and password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn proxy(text: &str) -> Proxy {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn texts_of_proxies() {
        for (text, shown, authorization) in [
            ("http://p.example", "http://p.example:3128", None),
            ("p.example:80", "http://p.example:80", None),
            ("http://u:p%40ss@10.0.0.1:8080/", "http://10.0.0.1:8080", Some("Basic dTpwQHNz")),
            ("http://[::1]:7", "http://::1:7", None),
        ] {
            let proxy = proxy(text);
            assert_eq!(proxy.to_string(), shown);
            assert_eq!(proxy.authorization.as_ref().map(|text| text.as_str()), authorization);
            assert!(!format!("{proxy:?}").contains("p@ss"));
        }
        for text in
            ["", "https://p", "socks5://p", "http://", "http://p:x", "http://p:0", "http://a b"]
        {
            assert!(text.parse::<Proxy>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_left_out() {
        let proxy =
            proxy("http://p").except("internal.example, .corp,10.0.0.0/8,[fd00::]/8, 192.0.2.7");
        for direct in [
            "localhost",
            "127.0.0.1",
            "::1",
            "internal.example",
            "a.internal.example",
            "x.corp",
            "10.77.0.1",
            "fd12::1",
            "192.0.2.7",
        ] {
            assert!(!proxy.is_for(direct), "{direct}");
        }
        for by_proxy in ["example", "notinternal.example", "11.0.0.1", "192.0.2.8", "fe80::1"] {
            assert!(proxy.is_for(by_proxy), "{by_proxy}");
        }
        assert!(!proxy.except("*").is_for("example"));
    }

    /// What comes of a proxy that answers this.
    async fn ask(answer: &'static [u8]) -> (io::Result<TcpStream>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        let serve = async {
            let (mut stream, _) = listener.accept().await.expect("connects");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut request).await.expect("reads");
            }
            stream.write_all(answer).await.expect("writes");
            stream.shutdown().await.expect("it ends");
            String::from_utf8(request).expect("text")
        };
        let proxy = proxy(&format!("http://user:word@{address}"));
        let (asked, request) = tokio::join!(proxy.connect("far.example:443"), serve);
        (asked, request)
    }

    #[tokio::test]
    async fn a_tunnel_or_what_the_proxy_says() {
        let (tunnel, request) = ask(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n").await;
        assert!(tunnel.is_ok());
        assert_eq!(
            request,
            "CONNECT far.example:443 HTTP/1.1\r\nHost: far.example:443\r\n\
             Proxy-Authorization: Basic dXNlcjp3b3Jk\r\n\r\n"
        );
        for (answer, words) in [
            (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n".as_slice(), "407 Proxy Auth"),
            (b"HTTP/1.1 403 Forbidden\r\n\r\n", "403 Forbidden"),
            (b"SSH-2.0-x\r\n\r\n", "something else than HTTP"),
            (b"HTTP/1.1 200 OK\r\n", "nothing"),
            (b"HTTP/1.1 200 OK\r\n\r\nextra", "more than its answer"),
        ] {
            let error = ask(answer).await.0.expect_err("no tunnel").to_string();
            assert!(error.contains(words) && !error.contains("word"), "{error}");
        }
    }
}
