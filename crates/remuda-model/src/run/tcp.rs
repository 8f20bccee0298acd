//! Bytes of a run over TCP, and whether a target is there.

use serde::{Deserialize, Serialize};

use super::Tls;

/// Bytes over a connection, and what comes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tcp {
    /// The port, a template.
    pub port: String,
    /// What is sent, a template; nothing unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send: Option<String>,
    /// When the answer is whole.
    #[serde(default)]
    pub until: Until,
    /// A text that must be in the answer for it to be as expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<String>,
    /// Speaks TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// How much of the answer is kept, in bytes; [`DEFAULT_BODY`](super::DEFAULT_BODY) unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<u32>,
}

/// When the answer over TCP is whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// At once: that there is a connection, and that all was sent, is enough.
    Connected,
    /// When the target closes the connection.
    #[default]
    Closed,
    /// After a line.
    Line,
    /// After so many bytes.
    Bytes(u32),
    /// After this text.
    Text(String),
    /// When nothing came for so many milliseconds.
    Idle(u64),
}

/// Whether a target is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ping {
    /// How it is found out.
    #[serde(default)]
    pub mode: PingMode,
    /// The port for TCP, a template; 22 unless given. A refusal proves presence too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// How many echoes are asked for at most, until one comes; 2 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<u8>,
}

/// How presence is found out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PingMode {
    /// By an ICMP echo where the worker may send one, otherwise by TCP.
    #[default]
    Auto,
    /// By an ICMP echo.
    Icmp,
    /// By a TCP connection.
    Tcp,
}
