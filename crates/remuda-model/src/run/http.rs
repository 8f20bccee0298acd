//! HTTP requests of a run.

use serde::{Deserialize, Serialize};

/// An HTTP/1.1 request to each target, each over a connection of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// The method.
    pub method: String,
    /// The URL, a template; `http` or `https`.
    pub url: String,
    /// Headers, their values templates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Header>,
    /// The body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Payload>,
    /// Which statuses are as expected, such as `200-299,404`; 200 to 399 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<String>,
    /// How many redirects are followed, at most 3; none unless given.
    #[serde(default)]
    pub redirects: u8,
    /// How `https` is done.
    #[serde(default)]
    pub tls: Tls,
    /// What of the answer is kept.
    #[serde(default)]
    pub capture: Capture,
    /// Questions after the first answer, until the target says that it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll: Option<Poll>,
}

/// A header of a request or an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// The body of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// A template.
    Text(String),
    /// Bytes as they are, in base64.
    Base64(String),
}

/// How `https` is done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Accepts every certificate.
    #[serde(default)]
    pub insecure: bool,
    /// Certificate authorities in PEM that count instead of those of the worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// The name that the certificate must have instead of the host's, a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What of an answer is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capture {
    /// How much of a body is kept, in bytes; [`DEFAULT_BODY`](super::DEFAULT_BODY) unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<u32>,
    /// Which headers are kept.
    #[serde(default)]
    pub headers: Keep,
}

/// Which headers are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// None.
    #[default]
    None,
    /// All, up to 16 KiB.
    All,
    /// These, in whatever case.
    Only(Vec<String>),
}

/// For targets that take a request at once and do it later: asks until a field of the JSON answer
/// says that it is done. Paths are JSON pointers (RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Poll {
    /// Where to ask, a template that may contain `{{job}}`; a path is one at the same host.
    pub url: String,
    /// Where `{{job}}` is in the first answer; its last part after `/` is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The field that says how far it is.
    pub done: String,
    /// Its values that mean success, such as `100` or `"done"`.
    pub success: Vec<String>,
    /// Its values that mean failure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failure: Vec<String>,
    /// Milliseconds between two questions; 2,000 unless given, 100 at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_ms: Option<u64>,
    /// After so many milliseconds without a change of the field the target is stuck; 600,000 unless
    /// given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck_ms: Option<u64>,
    /// How many questions in a row may go wrong; 5 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_errors: Option<u32>,
    /// How long all of it may take in milliseconds; an hour unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_ms: Option<u64>,
}
