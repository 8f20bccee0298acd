//! What went wrong in a guest, for whoever called it.

use remuda_model::{ErrorKind, Failure};
use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::{
    bindings::remuda::job::types::{Failure as Said, Kind},
    limits::Denied,
};

/// The longest texts of a guest's own failure.
const MAX_CODE: usize = 64;
const MAX_TEXT: usize = 16 << 10;

/// A guest was stopped.
pub(crate) fn failure_of(error: &wasmtime::Error, class: &str, denied: Option<Denied>) -> Failure {
    if let Some(trace) = error.downcast_ref::<WasmBacktrace>() {
        tracing::debug!(class, %trace, "a component trapped");
    }
    let failed = |text: String, code: &str| Failure::failed(text).code(code);
    let trap = error.downcast_ref::<Trap>();
    if trap == Some(&Trap::Interrupt) {
        return failed(
            format!("`{class}` used more processor time than one call may"),
            "cpu_limit",
        )
        .hint("make it do less at a time, or raise quota.cpu_ms");
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return failed(
            format!("`{class}` ended its own instance with status {}", exit.0),
            "exited",
        )
        .hint("return a failure instead");
    }
    let cause = error.root_cause().to_string();
    if cause.starts_with("too much data is being copied") {
        return failed(format!("`{class}` handed over more than it may"), "output_too_large")
            .hint("answer less, or raise quota.output_bytes");
    }
    let failure = failed(format!("`{class}` trapped: {cause}"), "trapped");
    match (denied, trap) {
        (Some(Denied::Quota), _) => {
            failure.code("memory_limit").hint("it asked for more memory than quota.memory_bytes")
        }
        (Some(Denied::Node), _) => failure
            .code("memory_limit")
            .hint("all components of this node together have reached the memory that they may use"),
        (Some(Denied::Tables), _) => failure.code("memory_limit").hint("its tables are too long"),
        (None, Some(Trap::StackOverflow)) => failure.hint("its recursion may have no end"),
        (None, _) => failure,
    }
}

impl From<Said> for Failure {
    fn from(said: Said) -> Self {
        let kind = match said.kind {
            Kind::Invalid => ErrorKind::Invalid,
            Kind::Forbidden => ErrorKind::Forbidden,
            Kind::NotFound => ErrorKind::NotFound,
            Kind::Exists => ErrorKind::Exists,
            Kind::Conflict => ErrorKind::Conflict,
            Kind::NoCapacity => ErrorKind::NoCapacity,
            Kind::Unavailable => ErrorKind::Unavailable,
            Kind::Failed => ErrorKind::Failed,
        };
        let failure = Self::new(kind, cut(said.message, MAX_TEXT));
        let failure = match cut(said.code, MAX_CODE) {
            code if code.is_empty() => failure,
            code => failure.code(code),
        };
        match said.hint {
            Some(hint) => failure.hint(cut(hint, MAX_TEXT)),
            None => failure,
        }
    }
}

/// At most so many bytes.
pub(crate) fn cut(mut text: String, max: usize) -> String {
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max));
    }
    text
}
