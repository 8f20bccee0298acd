//! Thin handlers: read the request, call the use case, write the answer.

pub(crate) mod authority;
pub(crate) mod cluster;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod fanout;
pub(crate) mod file;
pub(crate) mod node;
pub(crate) mod open;
mod output;
pub(crate) mod schedule;
pub(crate) mod target_list;
pub(crate) mod task;
pub(crate) mod token;

use std::time::Duration;

use remuda_control::Consistency;
use remuda_model::Failure;
use serde_json::Value;

use crate::dto;

impl From<dto::Consistency> for Consistency {
    fn from(consistency: dto::Consistency) -> Self {
        match consistency {
            dto::Consistency::Linearizable => Self::Linearizable,
            dto::Consistency::Stale => Self::Stale,
        }
    }
}

/// How long the answer of a class or a task is awaited unless the caller says so.
const TIMEOUT_MS: u64 = 30_000;
/// The longest that a caller may say.
const MAX_TIMEOUT_MS: u64 = 24 * 60 * 60 * 1000;

/// What the field `timeout_ms` of a body says.
fn deadline(timeout_ms: Option<u64>) -> Result<Duration, Failure> {
    let ms = timeout_ms.unwrap_or(TIMEOUT_MS);
    if !(1..=MAX_TIMEOUT_MS).contains(&ms) {
        let reason = format!("body: timeout_ms: expected 1 to {MAX_TIMEOUT_MS}");
        return Err(Failure::invalid(reason));
    }
    Ok(Duration::from_millis(ms))
}

/// JSON on its way to a job class.
fn to_class(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// What a job class answered, which is JSON unless the class handles its bytes itself.
fn from_class(bytes: &[u8]) -> Result<dto::ClassReply, Failure> {
    if bytes.is_empty() {
        return Ok(dto::ClassReply { reply: Value::Null });
    }
    serde_json::from_slice(bytes).map(|reply| dto::ClassReply { reply }).map_err(|error| {
        Failure::failed(format!("the class answered with bytes that are no JSON: {error}"))
            .code("reply_not_json")
            .hint("use the class over a link, as the library does")
    })
}
