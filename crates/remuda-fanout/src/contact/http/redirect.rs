//! Whether an answer is followed elsewhere, and with what.

use http::{Method, StatusCode};
use remuda_model::run::TroubleKind;
use remuda_run::HttpUrl;

use super::join::join;
use crate::contact::Stop;

/// A request as it is now, after the redirects so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) url: HttpUrl,
    pub(super) method: Method,
    /// Whether the body of the run is sent.
    pub(super) body: bool,
    /// Whether headers with credentials are sent, and the run's own name counts for certificates.
    pub(super) trusted: bool,
    /// How many redirects were followed to come here.
    pub(super) followed: u8,
}

impl Step {
    pub(super) fn first(url: HttpUrl, method: Method) -> Self {
        Self { url, method, body: true, trusted: true, followed: 0 }
    }

    /// The next request, if this answer is to be followed.
    ///
    /// Credentials and the body stay with the server for which they were meant, and they do not come
    /// back when a later redirect does.
    ///
    /// # Errors
    /// It must not be followed.
    pub(super) fn next(
        &self,
        status: StatusCode,
        location: Option<&[u8]>,
        most: u8,
    ) -> Result<Option<Self>, Stop> {
        let (true, Some(location)) = (most > 0 && is_redirect(status), location) else {
            return Ok(None);
        };
        let refused = |message: String| Err(Stop::new(TroubleKind::Redirect, message));
        if self.followed >= most {
            return refused(format!("it redirects more than {most} times"));
        }
        let Ok(location) = std::str::from_utf8(location) else {
            return refused("it redirects to what is no text".to_owned());
        };
        let url = match join(&self.url, location.trim()) {
            Ok(url) => url,
            Err(error) => return refused(format!("it redirects to where it must not: {error}")),
        };
        if self.url.tls && !url.tls {
            return refused(format!("it redirects from https to http, to `{location}`"));
        }
        let same = same_server(&self.url, &url);
        let to_get = match status.as_u16() {
            303 => self.method != Method::GET && self.method != Method::HEAD,
            301 | 302 => self.method == Method::POST,
            _ => false,
        };
        Ok(Some(Self {
            method: if to_get { Method::GET } else { self.method.clone() },
            body: self.body && same && !to_get,
            trusted: self.trusted && same,
            followed: self.followed + 1,
            url,
        }))
    }
}

/// Whether both lead to the same host and port.
pub(in crate::contact) fn same_server(one: &HttpUrl, other: &HttpUrl) -> bool {
    one.host == other.host && one.port == other.port
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(url: &str, method: Method) -> Step {
        Step::first(HttpUrl::parse(url).expect("a URL"), method)
    }

    fn next(step: &Step, status: u16, location: &str) -> Result<Option<Step>, Stop> {
        let status = StatusCode::from_u16(status).expect("a status");
        step.next(status, Some(location.as_bytes()), 2)
    }

    #[test]
    fn only_redirects_are_followed_and_only_on_wish() {
        let first = step("http://h/a", Method::GET);
        for status in [200, 204, 300, 304, 305, 306, 400] {
            assert_eq!(next(&first, status, "/b"), Ok(None), "{status}");
        }
        let found = StatusCode::FOUND;
        assert_eq!(first.next(found, None, 3), Ok(None), "without a place it is an answer");
        assert_eq!(first.next(found, Some(b"/b"), 0), Ok(None), "not on wish");
    }

    #[test]
    fn methods_change_as_in_browsers() {
        for (method, status, expected, body) in [
            (Method::POST, 301, Method::GET, false),
            (Method::POST, 302, Method::GET, false),
            (Method::POST, 303, Method::GET, false),
            (Method::POST, 307, Method::POST, true),
            (Method::POST, 308, Method::POST, true),
            (Method::PUT, 302, Method::PUT, true),
            (Method::PUT, 303, Method::GET, false),
            (Method::HEAD, 303, Method::HEAD, true),
            (Method::GET, 302, Method::GET, true),
        ] {
            let first = step("http://h/a", method.clone());
            let then = next(&first, status, "/b").expect("allowed").expect("followed");
            assert_eq!((then.method, then.body), (expected, body), "{method} {status}");
        }
    }

    #[test]
    fn credentials_and_bodies_stay_with_their_server() {
        let first = step("https://h/a", Method::PUT);
        let same = next(&first, 307, "https://h:443/b").expect("allowed").expect("followed");
        assert!(same.trusted && same.body);
        let other = next(&first, 307, "https://other/b").expect("allowed").expect("followed");
        assert!(!other.trusted && !other.body);
        let back = next(&other, 307, "https://h/c").expect("allowed").expect("followed");
        assert!(!back.trusted && !back.body, "another server could have led it back");
        let port = next(&first, 307, "https://h:8443/b").expect("allowed").expect("followed");
        assert!(!port.trusted && !port.body);
    }

    #[test]
    fn some_redirects_are_refused() {
        let first = step("https://h/a", Method::GET);
        for location in ["http://h/a", "file:///etc/passwd", "gopher://h/", "https://u:p@h/"] {
            let stop = next(&first, 302, location).expect_err(location);
            assert_eq!(stop.trouble.kind, TroubleKind::Redirect, "{location}");
        }
        let mut step = first;
        for _ in 0..2 {
            step = next(&step, 302, "/a").expect("allowed").expect("followed");
        }
        let stop = next(&step, 302, "/a").expect_err("too often");
        assert_eq!(stop.trouble.message, "it redirects more than 2 times");
    }
}
