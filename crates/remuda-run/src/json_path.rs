//! Where something is in JSON: a pointer (RFC 6901) or a path (RFC 9535).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::shortened;

/// The longest text of a path, in bytes.
pub const MAX_PATH: usize = 1024;
/// How deep brackets may be nested: the parser uses the stack.
const MAX_NESTING: usize = 8;

/// Where something is in JSON: a pointer such as `/nodes/0/name`, or a path such as
/// `$.nodes[*].name`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JsonPath {
    text: String,
    path: Option<serde_json_path::JsonPath>,
}

/// The text is neither.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no path in JSON: {reason}")]
pub struct JsonPathError {
    /// The text, shortened.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl JsonPath {
    /// All that is there.
    pub fn find<'a>(&self, document: &'a Value) -> Vec<&'a Value> {
        match &self.path {
            Some(path) => path.query(document).all(),
            None => document.pointer(&self.text).into_iter().collect(),
        }
    }
}

/// Whether a text is a JSON pointer.
pub(crate) fn is_pointer(text: &str) -> bool {
    let escapes_are_whole =
        || text.split('~').skip(1).all(|after| after.starts_with('0') || after.starts_with('1'));
    (text.is_empty() || text.starts_with('/')) && text.len() <= MAX_PATH && escapes_are_whole()
}

impl FromStr for JsonPath {
    type Err = JsonPathError;

    fn from_str(text: &str) -> Result<Self, JsonPathError> {
        let error = |reason: String| JsonPathError { text: shortened(text), reason };
        if text.len() > MAX_PATH {
            return Err(error(format!("longer than {MAX_PATH} bytes")));
        }
        if text.is_empty() || text.starts_with('/') {
            return if is_pointer(text) {
                Ok(Self { text: text.to_owned(), path: None })
            } else {
                Err(error("after `~` stands 0 or 1 in a JSON pointer".to_owned()))
            };
        }
        if !text.starts_with('$') {
            return Err(error("it begins with `/` or `$`".to_owned()));
        }
        check_size(text).map_err(|reason| error(reason.to_owned()))?;
        let path = serde_json_path::JsonPath::parse(text).map_err(|e| error(e.to_string()))?;
        Ok(Self { text: text.to_owned(), path: Some(path) })
    }
}

/// Refuses what would be long to parse or to follow.
fn check_size(text: &str) -> Result<(), &'static str> {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    if deepest > MAX_NESTING {
        return Err("brackets are nested too deep");
    }
    // Each time, what is deep is looked at once more for each level above it.
    if text.matches("..").count() > 1 {
        return Err("it may say `..` once");
    }
    // It would be looked at as a whole for each part of it.
    if text.contains('?') && text.matches('$').count() > 1 {
        return Err("a filter looks at `@` only, not at `$`");
    }
    Ok(())
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for JsonPath {
    type Error = JsonPathError;

    fn try_from(text: String) -> Result<Self, JsonPathError> {
        text.parse()
    }
}

impl From<JsonPath> for String {
    fn from(path: JsonPath) -> Self {
        path.text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn pointers_and_paths_find_the_same() {
        let document = json!({"nodes": [{"name": "a"}, {"name": "b", "down": true}], "": 1});
        let find = |path: &str| {
            path.parse::<JsonPath>().expect(path).find(&document).into_iter().cloned().collect()
        };
        let found: Vec<Value> = find("/nodes/1/name");
        assert_eq!(found, [json!("b")]);
        assert_eq!(find("$.nodes[1].name"), [json!("b")]);
        assert_eq!(find("$.nodes[*].name"), [json!("a"), json!("b")]);
        assert_eq!(find("$.nodes[?@.down == true].name"), [json!("b")]);
        assert_eq!(find("$..name").len(), 2);
        assert_eq!(find(""), vec![document.clone()]);
        assert_eq!(find("/nodes/7"), [] as [Value; 0]);
    }

    #[test]
    fn wrong_paths_say_why() {
        for (text, reason) in [
            ("nodes", "it begins with `/` or `$`"),
            ("/a~2", "after `~` stands 0 or 1 in a JSON pointer"),
            ("$..a..b", "it may say `..` once"),
            ("$[?$[?@ == 1]]", "a filter looks at `@` only, not at `$`"),
            ("$[?((((((((@.a))))))))]", "brackets are nested too deep"),
        ] {
            let error = text.parse::<JsonPath>().expect_err(text);
            assert_eq!(error.reason, reason, "{text}");
        }
        assert!("$.nodes[".parse::<JsonPath>().is_err());
    }

    proptest! {
        #[test]
        fn no_path_is_too_strange(text in "\\PC{0,40}|[$]([.\\[\\]()?@*'\"a0!=&|<,: -]){0,60}") {
            if let Ok(path) = text.parse::<JsonPath>() {
                path.find(&json!({"a": [{"a": 1}, "a", null]}));
            }
        }
    }
}
