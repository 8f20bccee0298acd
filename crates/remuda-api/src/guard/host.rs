//! Which names a request may be for, and from which pages it may come; pure.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, Uri, header, uri::Authority};
use remuda_model::{ErrorKind, Failure};

/// Names under which the API may be reached.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    listen: IpAddr,
    names: Vec<String>,
}

impl Hosts {
    pub(crate) fn new(listen: SocketAddr, names: &[String]) -> Self {
        let names = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        Self { listen: listen.ip().to_canonical(), names }
    }

    /// Refuses requests for foreign names. Ports are not compared: they change on the way through
    /// tunnels, and rebinding a name does not need another one.
    pub(crate) fn check_host(&self, headers: &HeaderMap, uri: &Uri) -> Result<Authority, Failure> {
        let host = single(headers, &header::HOST)?
            .and_then(|text| text.parse::<Authority>().ok())
            .filter(|host| !host.as_str().contains('@'))
            .ok_or_else(|| Failure::invalid("header Host: expected a name or an address"))?;
        for named in [Some(&host), uri.authority()].into_iter().flatten() {
            if !self.is_own(named.host()) {
                return Err(Failure::new(
                    ErrorKind::Forbidden,
                    format!("the API is not served as `{}`", named.host().escape_debug()),
                )
                .code("host_not_allowed")
                .hint("use the address it listens on, or configure the name"));
            }
        }
        Ok(host)
    }

    /// Refuses changes that a page of another origin makes in somebody's browser.
    pub(crate) fn check_origin(headers: &HeaderMap, host: &Authority) -> Result<(), Failure> {
        let Some(origin) = single(headers, &header::ORIGIN)? else { return Ok(()) };
        let page = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        if page.is_some_and(|page| page.eq_ignore_ascii_case(host.as_str())) {
            Ok(())
        } else {
            Err(Failure::new(
                ErrorKind::Forbidden,
                "the request comes from a page of another origin",
            )
            .code("origin_not_allowed"))
        }
    }

    fn is_own(&self, host: &str) -> bool {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        match bare.parse::<IpAddr>() {
            // Rebinding needs a name. An address is one of this machine's or did not come here;
            // it is compared where that is known.
            Ok(ip) => {
                let ip = ip.to_canonical();
                self.listen.is_unspecified()
                    || ip == self.listen
                    || (ip.is_loopback() && self.listen.is_loopback())
            }
            Err(_name) => {
                let name = bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase();
                name == "localhost" || self.names.contains(&name)
            }
        }
    }
}

/// The value of a header that may be there once.
fn single<'a>(
    headers: &'a HeaderMap,
    name: &header::HeaderName,
) -> Result<Option<&'a str>, Failure> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match (value.to_str(), values.next()) {
        (Ok(value), None) => Ok(Some(value)),
        _ => Err(Failure::invalid(format!("header {name}: expected one text"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(listen: &str) -> Hosts {
        Hosts::new(listen.parse().expect(listen), &["Cluster.example".to_owned()])
    }

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().expect(value))).collect()
    }

    fn allows(hosts: &Hosts, host: &str) -> bool {
        hosts.check_host(&headers(&[(header::HOST, host)]), &Uri::from_static("/")).is_ok()
    }

    #[test]
    fn own_addresses_and_names_are_allowed() {
        let loopback = hosts("127.0.0.1:44200");
        for good in [
            "127.0.0.1:44200",
            "127.0.0.1",
            "localhost:8080",
            "LOCALHOST",
            "[::1]:44200",
            "cluster.example",
            "CLUSTER.example.:44200",
        ] {
            assert!(allows(&loopback, good), "{good}");
        }
        assert!(allows(&hosts("10.0.0.1:1"), "10.0.0.1:1"));
        assert!(allows(&hosts("0.0.0.0:1"), "10.0.0.7:1"));
        assert!(allows(&hosts("[::]:1"), "[fd00::1]:1"));
    }

    #[test]
    fn foreign_names_are_not() {
        for bad in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "10.0.0.1",
            "notcluster.example",
            "cluster.example.evil",
            "evil@localhost",
            "",
            "a b",
        ] {
            assert!(!allows(&hosts("127.0.0.1:44200"), bad), "{bad:?}");
        }
        assert!(!allows(&hosts("0.0.0.0:1"), "evil.example"));
    }

    #[test]
    fn the_name_is_given_once_and_everywhere_the_same() {
        let hosts = hosts("127.0.0.1:1");
        let none = hosts.check_host(&headers(&[]), &Uri::from_static("/"));
        assert_eq!(none.expect_err("no host").kind, ErrorKind::Invalid);
        let mut twice = headers(&[(header::HOST, "localhost")]);
        twice.append(header::HOST, "localhost".parse().expect("valid"));
        assert!(hosts.check_host(&twice, &Uri::from_static("/")).is_err());
        let one = headers(&[(header::HOST, "localhost")]);
        assert!(hosts.check_host(&one, &Uri::from_static("http://evil.example/")).is_err());
        assert!(hosts.check_host(&one, &Uri::from_static("http://localhost/")).is_ok());
    }

    #[test]
    fn only_pages_of_the_same_origin_may_change_things() {
        let host: Authority = "localhost:44200".parse().expect("valid");
        let check = |origin: &str| {
            Hosts::check_origin(&headers(&[(header::ORIGIN, origin)]), &host).is_ok()
        };
        assert!(Hosts::check_origin(&headers(&[]), &host).is_ok());
        assert!(check("http://localhost:44200"));
        assert!(check("https://LOCALHOST:44200"));
        for bad in ["null", "http://localhost:3000", "http://evil.example", "localhost:44200", ""] {
            assert!(!check(bad), "{bad:?}");
        }
    }
}
