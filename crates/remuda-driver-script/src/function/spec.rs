//! What users say about a function, and what they are told.

use std::time::Duration;

use remuda_model::Failure;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest source, in bytes.
const MAX_SOURCE: usize = 256 * 1024;

/// Memory that a function may take, in bytes.
const MEMORY: std::ops::RangeInclusive<u64> = 1024 * 1024..=1024 * 1024 * 1024;
const DEFAULT_MEMORY: u64 = 64 * 1024 * 1024;

/// How long a function may run.
const MAX_TIME: Duration = Duration::from_hours(24);
const REQUEST_TIME: Duration = Duration::from_secs(10);
const TASK_TIME: Duration = Duration::from_hours(1);

/// A function to run: JavaScript, without anything of a browser or of Node.js.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionSpec {
    /// An expression that is a function: `function (a, b) { … }`, `(a, b) => …`, `async …`.
    pub source: String,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<Value>,
    /// How long it may run, in milliseconds: at most a day; by default ten seconds as a request,
    /// and an hour as a task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// How much memory it may take, in bytes: from 1 MiB to 1 GiB; by default 64 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}

/// What a request to run a function is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FunctionReply {
    /// What the function returned; `null` when it returned nothing.
    pub result: Value,
    /// What it wrote with `console.log`: the first 64 KiB, and at most 1,000 lines.
    pub log: Vec<String>,
    /// Whether it wrote more than that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub log_truncated: bool,
}

/// What differs between a function that somebody waits for and a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Request,
    Task,
}

/// How much a function may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) time: Duration,
    pub(crate) memory_bytes: u64,
}

impl FunctionSpec {
    /// Checks what can be checked without running it.
    ///
    /// # Errors
    ///
    /// Names the field that is wrong.
    pub(crate) fn limits(&self, way: Way) -> Result<Limits, Failure> {
        if self.source.trim().is_empty() {
            return Err(Failure::invalid("source: the function is missing")
                .hint("give an expression such as function (a, b) { return a + b }"));
        }
        if self.source.len() > MAX_SOURCE {
            return Err(Failure::invalid(format!("source: longer than {MAX_SOURCE} bytes")));
        }
        if self.source.contains('\0') {
            return Err(Failure::invalid("source: holds a zero byte"));
        }
        let memory_bytes = self.memory_bytes.unwrap_or(DEFAULT_MEMORY);
        if !MEMORY.contains(&memory_bytes) {
            let (least, most) = (MEMORY.start(), MEMORY.end());
            return Err(Failure::invalid(format!("memory_bytes: not from {least} to {most}")));
        }
        let default = if way == Way::Request { REQUEST_TIME } else { TASK_TIME };
        let time = self.timeout_ms.map_or(default, Duration::from_millis);
        if time.is_zero() || time > MAX_TIME {
            let most = MAX_TIME.as_millis();
            return Err(Failure::invalid(format!("timeout_ms: not from 1 to {most}")));
        }
        Ok(Limits { time, memory_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(source: &str) -> FunctionSpec {
        FunctionSpec { source: source.to_owned(), ..FunctionSpec::default() }
    }

    #[test]
    fn defaults_differ_between_requests_and_tasks() {
        let request = spec("() => 1").limits(Way::Request).expect("valid");
        assert_eq!(request, Limits { time: REQUEST_TIME, memory_bytes: DEFAULT_MEMORY });
        let task = spec("() => 1").limits(Way::Task).expect("valid");
        assert_eq!(task.time, TASK_TIME);
    }

    #[test]
    fn every_limit_has_an_end_and_a_name() {
        let day = 24 * 3600 * 1000;
        let memory = |bytes| FunctionSpec { memory_bytes: Some(bytes), ..spec("() => 1") };
        let time = |ms| FunctionSpec { timeout_ms: Some(ms), ..spec("() => 1") };
        for (field, wrong) in [
            ("source", spec(" \n")),
            ("source", spec("\0")),
            ("source", spec(&"x".repeat(MAX_SOURCE + 1))),
            ("memory_bytes", memory(1024 * 1024 - 1)),
            ("memory_bytes", memory(u64::MAX)),
            ("timeout_ms", time(0)),
            ("timeout_ms", time(day + 1)),
            ("timeout_ms", time(u64::MAX)),
        ] {
            let failure = wrong.limits(Way::Task).expect_err(field);
            assert!(failure.message.starts_with(field), "{failure}");
        }
        assert!(time(day).limits(Way::Task).is_ok() && memory(1 << 20).limits(Way::Task).is_ok());
    }

    #[test]
    fn unknown_fields_are_refused() {
        let error = serde_json::from_str::<FunctionSpec>(r#"{"source":"x","arg":[1]}"#);
        assert!(error.expect_err("refused").to_string().contains("arg"));
    }
}
