//! Waiting for values, with a deadline.

use std::{fmt::Debug, time::Duration};

use tokio::time::{Instant, sleep, timeout};

/// How long a test waits for anything that should come within seconds on an idle machine.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks until `probe` gives a value that `good` accepts; panics with the last one after
/// [`PATIENCE`].
pub async fn eventually<T: Debug>(
    what: &str,
    mut probe: impl AsyncFnMut() -> T,
    good: impl Fn(&T) -> bool,
) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        let seen = timeout(PATIENCE, probe()).await.unwrap_or_else(|_| panic!("{what}: no answer"));
        if good(&seen) {
            return seen;
        }
        assert!(Instant::now() < end, "{what}: last seen {seen:#?}");
        sleep(PAUSE).await;
    }
}

/// Waits for a future at most [`PATIENCE`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} took too long"))
}
