//! Failures that several parts of a worker give.

use std::time::Duration;

use remuda_model::{ErrorKind, Failure};

/// The agent ends; the call was not made.
pub(crate) fn shutting_down() -> Failure {
    Failure::new(ErrorKind::Unavailable, "the agent of this node shuts down").code("shutting_down")
}

/// The agent ends before the answer came; the call was made.
pub(crate) fn cut_off() -> Failure {
    let text = "the agent of this node shuts down before it could say what came of the call";
    Failure::new(ErrorKind::OutcomeUnknown, text)
        .code("shut_down_meanwhile")
        .hint("look at the tasks of the node once it is back")
}

/// The deadline has passed.
pub(crate) fn timed_out(what: &str, deadline: Duration) -> Failure {
    let ms = deadline.as_millis();
    Failure::new(ErrorKind::TimedOut, format!("{what} took longer than {ms} ms"))
        .hint("it may have happened; give more time with --timeout")
}
