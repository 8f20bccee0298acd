//! Runs code of job classes so that a panic ends only what it belongs to.

use std::{any::Any, panic::AssertUnwindSafe};

use futures_util::FutureExt;
use remuda_model::{ErrorKind, Failure};

/// What the code that was run has said when it panicked.
#[derive(Debug)]
pub(crate) struct Panicked(String);

impl Panicked {
    /// For callers.
    pub(crate) fn into_failure(self) -> Failure {
        Failure::new(ErrorKind::Internal, self.to_string()).code("handler_panicked")
    }
}

impl std::fmt::Display for Panicked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "its code panicked: {}", self.0)
    }
}

/// Runs a future to its end or its panic.
pub(crate) async fn caught<T>(future: impl Future<Output = T>) -> Result<T, Panicked> {
    // What the future has left behind broken is dropped with it.
    let outcome = AssertUnwindSafe(future).catch_unwind().await;
    outcome.map_err(|panic| Panicked(text(panic.as_ref())))
}

fn text(panic: &(dyn Any + Send)) -> String {
    let said = panic.downcast_ref::<&str>().copied();
    let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    said.unwrap_or("no message").to_owned()
}
