//! What is said to the process in which one function runs, and what it says: lines of JSON.

use remuda_model::{ErrorKind, Failure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest line to the process, in bytes.
pub(super) const MAX_CALL: u64 = 16 * 1024 * 1024;

/// The longest line from the process: a result and a little more.
pub(super) const MAX_LINE: u64 = MAX_RESULT as u64 + 64 * 1024;

/// The longest result of a request, as JSON.
pub(super) const MAX_RESULT: usize = 4 * 1024 * 1024;

/// The longest result of a task: nodes keep it with the record of the task.
pub(crate) const MAX_TASK_RESULT: usize = 128 * 1024;

/// The one line that the process is told. When its standard input ends, it ends.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Call {
    pub(super) source: String,
    pub(super) args: Vec<Value>,
    pub(super) timeout_ms: u64,
    pub(super) memory_bytes: u64,
    pub(super) max_result: usize,
    /// Whether log is said without a bound, and `progress` and `emit` at all.
    pub(super) speaks: bool,
}

/// One line that the process says; a result or a fault is the last.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    Log(String),
    /// More was logged than is kept.
    LogTruncated,
    /// `null` for what is no number.
    Progress(Option<f64>),
    Value(Value),
    Result(Value),
    Fault(Fault),
}

/// Why a function gives no result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fault {
    pub(super) sort: Sort,
    pub(super) message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sort {
    /// The source is no JavaScript.
    Syntax,
    /// The source is no function.
    NoFunction,
    /// It threw.
    Threw,
    /// It took too long.
    TimedOut,
    /// It took too much memory.
    OutOfMemory,
    /// What it returned cannot be given back.
    Result,
    /// The process could not lock itself in, or died.
    Process,
}

impl Fault {
    pub(super) fn new(sort: Sort, message: impl Into<String>) -> Self {
        Self { sort, message: message.into() }
    }

    pub(crate) fn into_failure(self) -> Failure {
        let Self { sort, message } = self;
        match sort {
            Sort::Syntax => Failure::invalid(format!("source: {message}")).code("syntax_error"),
            Sort::NoFunction => Failure::invalid(format!("source: {message}"))
                .hint("give an expression such as function (a, b) { return a + b }"),
            Sort::Threw => Failure::failed(message).code("function_threw"),
            Sort::TimedOut => Failure::failed(message)
                .code("function_timed_out")
                .hint("give it more with timeout_ms, or start it as a task"),
            Sort::OutOfMemory => Failure::failed(message)
                .code("function_out_of_memory")
                .hint("give it more with memory_bytes"),
            Sort::Result => Failure::failed(message).code("function_result"),
            Sort::Process => Failure::new(ErrorKind::Unavailable, message),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The agent may be older than the program that it starts: after an upgrade, before a restart.
    #[test]
    fn both_sides_are_spelled_as_ever() {
        let call = Call {
            source: "() => 1".to_owned(),
            args: vec![json!([1])],
            timeout_ms: 2,
            memory_bytes: 3,
            max_result: 4,
            speaks: true,
        };
        assert_eq!(
            serde_json::to_string(&call).expect("JSON"),
            r#"{"source":"() => 1","args":[[1]],"timeout_ms":2,"memory_bytes":3,"max_result":4,"speaks":true}"#
        );
        let fault = Fault::new(Sort::OutOfMemory, "m");
        for (said, text) in [
            (Said::Log("a".to_owned()), r#"{"log":"a"}"#),
            (Said::LogTruncated, r#""log_truncated""#),
            (Said::Progress(Some(0.5)), r#"{"progress":0.5}"#),
            (Said::Progress(None), r#"{"progress":null}"#),
            (Said::Value(json!({})), r#"{"value":{}}"#),
            (Said::Result(json!(1)), r#"{"result":1}"#),
            (Said::Fault(fault), r#"{"fault":{"sort":"out_of_memory","message":"m"}}"#),
        ] {
            assert_eq!(serde_json::to_string(&said).expect("JSON"), text);
            assert_eq!(serde_json::from_str::<Said>(text).expect("read"), said);
        }
    }
}
