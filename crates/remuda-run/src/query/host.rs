//! Hosts by name, also with `*` and `?`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    host::{self, MAX_NAME},
    shortened,
};

/// A host, or hosts: `*` stands for any characters, `?` for one. Case does not matter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern {
    /// In lower case.
    text: String,
    has_wildcards: bool,
}

/// The text is no host, and no pattern of hosts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no host and no pattern such as `web*.example`")]
pub struct HostPatternError(pub String);

impl HostPattern {
    /// Whether a canonical host is meant.
    pub fn matches(&self, host: &str) -> bool {
        if self.has_wildcards {
            glob(self.text.as_bytes(), host.as_bytes())
        } else {
            self.text == host
        }
    }
}

/// Goes back to the last `*` only, so that the time is bounded by the product of the lengths.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where the last `*` is, and how much of the text it has taken.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                p = at + 1;
                t = taken + 1;
            }
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        let wrong = || HostPatternError(shortened(text));
        if !text.contains(['*', '?']) {
            let host = host::canonical(text).ok().ok_or_else(wrong)?;
            return Ok(Self { text: host.into_owned(), has_wildcards: false });
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"*?.:-_".contains(&byte);
        if text.len() > MAX_NAME || !text.bytes().all(allowed) {
            return Err(wrong());
        }
        Ok(Self { text: text.to_ascii_lowercase(), has_wildcards: true })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for HostPattern {
    type Error = HostPatternError;

    fn try_from(text: String) -> Result<Self, HostPatternError> {
        text.parse()
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Slow and obvious.
    fn obvious(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|at| obvious(rest, &text[at..])),
            ([b'?', rest @ ..], [_, more @ ..]) => obvious(rest, more),
            ([byte, rest @ ..], [other, more @ ..]) => byte == other && obvious(rest, more),
            _ => false,
        }
    }

    #[test]
    fn wildcards_stand_for_what_is_there() {
        for (pattern, host, expected) in [
            ("web1", "web1", true),
            ("web1", "web11", false),
            ("Web*", "web11", true),
            ("*.example", "a.b.example", true),
            ("w?b", "web", true),
            ("w?b", "wb", false),
            ("*", "", true),
            ("[::1]", "::1", true),
            ("2001:db8:*", "2001:db8::1", true),
        ] {
            let pattern: HostPattern = pattern.parse().expect(pattern);
            assert_eq!(pattern.matches(host), expected, "{pattern} {host}");
        }
        let slow = format!("{}b", "a*".repeat(120));
        let slow: HostPattern = slow.parse().expect("valid");
        assert!(!slow.matches(&"a".repeat(253)));
    }

    proptest! {
        #[test]
        fn the_quick_way_finds_what_the_obvious_one_finds(
            pattern in "[ab*?]{0,8}", host in "[ab]{0,8}"
        ) {
            prop_assert_eq!(
                glob(pattern.as_bytes(), host.as_bytes()),
                obvious(pattern.as_bytes(), host.as_bytes())
            );
        }

        #[test]
        fn no_text_is_too_strange(text in any::<String>()) {
            if let Ok(pattern) = text.parse::<HostPattern>() {
                pattern.matches("web1");
            }
        }
    }
}
