//! Time limits that cost nothing where nobody waits.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use tokio::time::{error::Elapsed, timeout};

/// The work, for at most `limit` from the moment on at which it first has to wait. Work that never
/// waits looks at no clock.
///
/// # Errors
///
/// When the time is over. The work is dropped then.
///
/// # Cancel safety
///
/// That of the work.
pub async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, Elapsed> {
    let mut work = pin!(work);
    match poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await {
        Poll::Ready(done) => Ok(done),
        Poll::Pending => timeout(limit, work).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_limited() {
        let limit = Duration::from_secs(1);
        assert!(within(limit, std::future::pending::<()>()).await.is_err());
        let in_time = tokio::time::sleep(limit / 2);
        assert!(within(limit, in_time).await.is_ok());
    }

    #[test]
    fn what_does_not_wait_needs_no_clock() {
        let mut done = pin!(within(Duration::ZERO, async { 7 }));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        // Outside of a runtime a timer would panic.
        assert!(matches!(done.as_mut().poll(&mut context), Poll::Ready(Ok(7))));
    }
}
