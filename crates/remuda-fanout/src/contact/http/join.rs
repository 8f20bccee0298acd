//! Where a redirect leads (RFC 3986, section 5.2).

use remuda_run::{HttpUrl, url::UrlError};

/// Where `location` leads from a URL.
///
/// # Errors
/// It leads to what is no `http` or `https` URL.
pub(super) fn join(from: &HttpUrl, location: &str) -> Result<HttpUrl, UrlError> {
    let location = location.split_once('#').map_or(location, |(url, _fragment)| url);
    if has_scheme(location) {
        return HttpUrl::parse(location);
    }
    if location.starts_with("//") {
        let scheme = if from.tls { "https" } else { "http" };
        return HttpUrl::parse(&format!("{scheme}:{location}"));
    }
    let (path, _query) = split_query(&from.path_and_query);
    if location.is_empty() {
        return Ok(from.clone());
    }
    if location.starts_with('?') {
        return from.with_path(&format!("{path}{location}"));
    }
    let (relative, query) = split_query(location);
    let folder = &path[..=path.rfind('/').unwrap_or(0)];
    let whole = if relative.starts_with('/') {
        without_dots(relative)
    } else {
        without_dots(&format!("{folder}{relative}"))
    };
    from.with_path(&(whole + query))
}

/// The path, and the query with its question mark.
fn split_query(path: &str) -> (&str, &str) {
    path.split_at(path.find('?').unwrap_or(path.len()))
}

fn has_scheme(location: &str) -> bool {
    let Some((scheme, _)) = location.split_once(':') else { return false };
    scheme.starts_with(|char: char| char.is_ascii_alphabetic())
        && scheme.chars().all(|char| char.is_ascii_alphanumeric() || "+-.".contains(char))
}

/// A path whose `.` and `..` are gone; it never leaves the root.
fn without_dots(path: &str) -> String {
    let mut kept = Vec::new();
    let mut parts = path.split('/').skip(1).peekable();
    while let Some(part) = parts.next() {
        let is_last = parts.peek().is_none();
        match part {
            "." | ".." => {
                if part == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            part => kept.push(part),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(text: &str) -> HttpUrl {
        HttpUrl::parse(text).expect(text)
    }

    #[test]
    fn redirects_lead_where_rfc_3986_says() {
        let from = url("http://h:81/a/b/c?q=1");
        for (location, expected) in [
            ("https://other/x", "https://other/x"),
            ("//other/x", "http://other/x"),
            ("/x?y", "http://h:81/x?y"),
            ("x", "http://h:81/a/b/x"),
            ("../x", "http://h:81/a/x"),
            ("../../../../x", "http://h:81/x"),
            ("./", "http://h:81/a/b/"),
            ("..", "http://h:81/a/"),
            ("?z=2", "http://h:81/a/b/c?z=2"),
            ("x?a=../b", "http://h:81/a/b/x?a=../b"),
            ("", "http://h:81/a/b/c?q=1"),
            ("/x#part", "http://h:81/x"),
            ("x:y/z", "!"),
            ("file:///etc/passwd", "!"),
            ("javascript:alert(1)", "!"),
            ("/a b", "!"),
        ] {
            let joined = join(&from, location).map_or("!".to_owned(), |to| to.to_string());
            assert_eq!(joined, expected, "{location}");
        }
    }

    proptest! {
        #[test]
        fn no_location_panics_or_leaves_the_rules(location in "\\PC{0,40}|[a-z/.?#:@\\[\\]]{0,30}") {
            if let Ok(to) = join(&url("https://h/a/b?c"), &location) {
                prop_assert_eq!(HttpUrl::parse(&to.to_string()), Ok(to));
            }
        }
    }
}
