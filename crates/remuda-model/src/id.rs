//! Names of things. Each kind of name is a type, so that one cannot be passed as another.

use std::{borrow::Borrow, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Crockford's base 32, lower case: no `i`, `l`, `o`, `u`.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A text is no valid name of its kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what} `{text}`: {rule}")]
pub struct ParseIdError {
    what: &'static str,
    text: String,
    rule: &'static str,
}

/// The bytes from the operating system's generator.
///
/// # Panics
///
/// When the operating system has no randomness to give, which no supported system does.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}

/// Writes `bits` (5 for each character, most significant first) in Crockford's base 32.
fn base32(bytes: &[u8], n_chars: usize) -> String {
    let bit = |at: usize| bytes.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1);
    let digit = |char: usize| {
        (0..5).fold(0_usize, |value, offset| value << 1 | usize::from(bit(char * 5 + offset)))
    };
    (0..n_chars).map(|char| char::from(ALPHABET[digit(char)])).collect()
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.into()))
                } else {
                    // A hostile text must not fill a log line.
                    let text = text.chars().take(80).collect();
                    Err(ParseIdError { what: $what, text, rule: $rule })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;

            fn try_from(text: String) -> Result<Self, ParseIdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().to_owned()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn is_host_like(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
        })
}

fn is_token(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        && text.bytes().any(|byte| byte.is_ascii_alphanumeric())
}

text_id! {
    /// The name of a node, kept in its data directory for life.
    ///
    /// At most 63 characters of `a-z`, `0-9`, `-` and `.`, with a letter or digit at both ends, so
    /// that a host name can serve.
    NodeId, "node name",
    "at most 63 characters of a-z, 0-9, `-` and `.`, with a letter or digit at both ends",
    is_host_like
}
text_id! {
    /// The name of a task: given by its starter, or eight characters made by [`TaskId::random`].
    ///
    /// At most 128 characters of `A-Z`, `a-z`, `0-9`, `.`, `_` and `-`, one of them a letter or digit.
    TaskId, "task id", "at most 128 characters of A-Z, a-z, 0-9, `.`, `_` and `-`",
    |text| is_token(text, 128)
}
text_id! {
    /// The name of a fan-out run: given by its starter, or eight characters made by
    /// [`RunId::random`].
    ///
    /// At most 128 characters of `A-Z`, `a-z`, `0-9`, `.`, `_` and `-`, one of them a letter or digit.
    RunId, "run id", "at most 128 characters of A-Z, a-z, 0-9, `.`, `_` and `-`",
    |text| is_token(text, 128)
}
text_id! {
    /// The name of a list of fan-out targets that the cluster keeps.
    ///
    /// At most 64 characters of `A-Z`, `a-z`, `0-9`, `.`, `_` and `-`, one of them a letter or digit.
    TargetListId, "target list name", "at most 64 characters of A-Z, a-z, 0-9, `.`, `_` and `-`",
    |text| is_token(text, 64)
}
text_id! {
    /// The name of a schedule of fan-out runs. The ids of its runs begin with it.
    ///
    /// At most 64 characters of `A-Z`, `a-z`, `0-9`, `.`, `_` and `-`, one of them a letter or digit.
    ScheduleId, "schedule name", "at most 64 characters of A-Z, a-z, 0-9, `.`, `_` and `-`",
    |text| is_token(text, 64)
}
text_id! {
    /// Names content by what it is: its BLAKE3 digest as 64 hexadecimal digits.
    Digest, "digest", "64 hexadecimal digits in lower case",
    |text| text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
text_id! {
    /// The name of a job class, such as `node` or `exec`.
    ClassName, "job class", "at most 64 characters of A-Z, a-z, 0-9, `.`, `_` and `-`",
    |text| is_token(text, 64)
}
text_id! {
    /// The public half of an API token.
    TokenId, "token id", "at most 64 characters of A-Z, a-z, 0-9, `.`, `_` and `-`",
    |text| is_token(text, 64)
}
text_id! {
    /// The identity of a cluster: 128 random bits as 26 characters of Crockford's base 32.
    ClusterId, "cluster id", "26 characters of Crockford's base 32 in lower case",
    |text| text.len() == 26 && text.bytes().all(|byte| ALPHABET.contains(&byte))
}

impl NodeId {
    /// A fresh name of eight characters.
    pub fn random() -> Self {
        Self(base32(&random::<5>(), 8).into())
    }
}

impl TaskId {
    /// A fresh id of eight characters.
    pub fn random() -> Self {
        Self(base32(&random::<5>(), 8).into())
    }
}

impl RunId {
    /// A fresh id of eight characters.
    pub fn random() -> Self {
        Self(base32(&random::<5>(), 8).into())
    }
}

impl TokenId {
    /// A fresh id of eight characters.
    pub fn random() -> Self {
        Self(base32(&random::<5>(), 8).into())
    }
}

impl ClusterId {
    /// A fresh identity.
    pub fn random() -> Self {
        Self(base32(&random::<16>(), 26).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_node_names() {
        for good in ["dev1", "a", "web-01.example", "0"] {
            assert_eq!(good.parse::<NodeId>().expect(good).as_str(), good);
        }
        for bad in ["", "-a", "a-", "A", "a b", "../x", "ä", &"a".repeat(64), "a/b", "."] {
            assert!(bad.parse::<NodeId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn task_ids_are_no_paths() {
        assert!("build_7.2-Rc".parse::<TaskId>().is_ok());
        for bad in ["", ".", "..", "a/b", "a\0", "-", &"x".repeat(129)] {
            assert!(bad.parse::<TaskId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn digests_have_one_way_to_be_written() {
        assert!("0f".repeat(32).parse::<Digest>().is_ok());
        for bad in ["", "0f", &"0F".repeat(32), &"0g".repeat(32), &"0f".repeat(33)] {
            assert!(bad.parse::<Digest>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn fresh_names_are_valid_and_differ() {
        assert_eq!(TaskId::random().as_str().len(), 8);
        assert_ne!(TaskId::random(), TaskId::random());
        let cluster = ClusterId::random();
        assert_eq!(cluster.as_str().parse(), Ok(cluster));
    }

    #[test]
    fn base32_is_most_significant_first() {
        assert_eq!(base32(&[0xff, 0xff, 0xff, 0xff, 0xff], 8), "zzzzzzzz");
        assert_eq!(base32(&[0, 0, 0, 0, 1], 8), "00000001");
    }

    #[test]
    fn a_bad_name_is_refused_when_deserialised() {
        assert!(serde_json::from_str::<NodeId>("\"a b\"").is_err());
        assert_eq!(serde_json::from_str::<NodeId>("\"a\"").expect("valid"), "a".parse().unwrap());
    }
}
