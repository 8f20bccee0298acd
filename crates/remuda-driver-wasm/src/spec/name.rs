//! How the versions of a class are called.

use remuda_model::{ClassName, Digest, Failure};

const MAX_NAME: usize = 30;
const MAX_VERSION: usize = 32;

/// The names of one version of a class. The plain name has no dot, so `NAME.vVERSION` can be read in
/// one way only, and every node and client knows it as the name of a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) name: String,
    pub(crate) version: String,
}

impl Names {
    /// Checks them. Without a version it is the beginning of the digest.
    pub(crate) fn new(name: &str, version: Option<&str>, digest: &Digest) -> Result<Self, Failure> {
        let version = version.unwrap_or(&digest.as_str()[..12]);
        if !is_word(name, MAX_NAME, b"_-") {
            return Err(Failure::invalid(format!("name: `{}` is no name for a class", cut(name)))
                .hint("at most 30 letters, digits, `_` and `-`"));
        }
        if !is_word(version, MAX_VERSION, b"._-") {
            return Err(Failure::invalid(format!("version: `{}` is no version", cut(version)))
                .hint("at most 32 letters, digits, `.`, `_` and `-`"));
        }
        Ok(Self { name: name.to_owned(), version: version.to_owned() })
    }

    /// The class that means the current version.
    pub(crate) fn plain(&self) -> ClassName {
        self.name.parse().expect("checked when it was made")
    }

    /// The class that means this version.
    pub(crate) fn exact(&self) -> ClassName {
        format!("{}.v{}", self.name, self.version).parse().expect("checked when it was made")
    }
}

fn is_word(text: &str, max: usize, others: &[u8]) -> bool {
    (1..=max).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
        && text.bytes().any(|byte| byte.is_ascii_alphanumeric())
}

/// A hostile text must not fill a log line.
fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(name: &str, version: Option<&str>) -> Result<Names, Failure> {
        Names::new(name, version, &"0f".repeat(32).parse().expect("a digest"))
    }

    #[test]
    fn a_version_is_a_class_of_its_own() {
        let made = names("greeter", Some("1.2.0-rc.1")).expect("valid");
        assert_eq!(made.plain().as_str(), "greeter");
        assert_eq!(made.exact().as_str(), "greeter.v1.2.0-rc.1");
        assert_eq!(names("a", None).expect("valid").exact().as_str(), "a.v0f0f0f0f0f0f");
        let longest = names(&"n".repeat(30), Some(&"1".repeat(32))).expect("valid");
        assert_eq!(longest.exact().as_str().len(), 64);
    }

    #[test]
    fn no_name_can_be_taken_for_a_version() {
        for bad in ["", "a.b", "a.v1", "-", "a b", "../x", "ä", &"a".repeat(31)] {
            assert!(names(bad, None).is_err(), "{bad:?}");
        }
        for bad in ["", ".", "1 2", "1/2", &"1".repeat(33)] {
            assert!(names("a", Some(bad)).is_err(), "{bad:?}");
        }
    }
}
