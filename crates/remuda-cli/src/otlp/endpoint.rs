//! Where a collector listens.

use std::{fmt, str::FromStr};

use hyper::Uri;

/// The port of OTLP over HTTP.
const PORT: u16 = 4318;

/// The base address of a collector, of which the path of traces is made as OpenTelemetry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint(Uri);

impl Endpoint {
    pub(super) fn host(&self) -> &str {
        let host = self.0.host().unwrap_or_default();
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    pub(super) fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or(PORT)
    }

    pub(super) fn authority(&self) -> String {
        format!("{}:{}", self.0.host().unwrap_or_default(), self.port())
    }

    pub(super) fn path(&self) -> String {
        format!("{}/v1/traces", self.0.path().trim_end_matches('/'))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.path())
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("`{text}` is no address: {error}"))?;
        match uri.scheme_str() {
            Some("http") => (),
            Some("https") => {
                return Err("`https` is not spoken to collectors: run one on this machine, which \
                            passes traces on"
                    .to_owned());
            }
            _ => return Err(format!("`{text}` does not begin with http://")),
        }
        if uri.authority().is_none_or(|authority| authority.as_str().contains('@')) {
            return Err(format!("`{text}` must name a host and nothing else before it"));
        }
        if uri.query().is_some() {
            return Err(format!("`{text}` has a query"));
        }
        Ok(Self(uri))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_traces_follows_the_base() {
        for (text, shown) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://collector", "http://collector:4318/v1/traces"),
            ("http://collector:1/base/", "http://collector:1/base/v1/traces"),
            ("http://[::1]:5", "http://[::1]:5/v1/traces"),
        ] {
            assert_eq!(text.parse::<Endpoint>().expect(text).to_string(), shown);
        }
        let local: Endpoint = "http://[::1]:5".parse().expect("an address");
        assert_eq!((local.host(), local.port()), ("::1", 5));
    }

    #[test]
    fn what_cannot_be_spoken_to_is_refused() {
        for bad in
            ["", "collector:4318", "https://collector", "http://a@b", "http://b/?x", "http:///"]
        {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }
}
