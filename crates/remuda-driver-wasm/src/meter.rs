//! Counts the processor time of a guest.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

use crate::ticker::Ticker;

/// What one call may use, and has used. What waits for others costs nothing.
#[derive(Debug)]
pub(crate) struct Meter {
    limit: u64,
    /// Of earlier polls, in nanoseconds.
    spent: AtomicU64,
    /// When the poll that goes on has begun, by the clock of its thread.
    began: AtomicU64,
}

fn thread_time() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanos) = (now.tv_sec.cast_unsigned(), now.tv_nsec.cast_unsigned());
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

impl Meter {
    pub(crate) fn new(limit: Duration) -> Self {
        let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        Self { limit, spent: AtomicU64::new(0), began: AtomicU64::new(0) }
    }

    /// The next call begins.
    pub(crate) fn reset(&self) {
        self.spent.store(0, Relaxed);
    }

    /// Whether the guest that runs on this very thread has used more than it may.
    pub(crate) fn is_over(&self) -> bool {
        let running = thread_time().saturating_sub(self.began.load(Relaxed));
        self.spent.load(Relaxed).saturating_add(running) > self.limit
    }

    /// Runs a call of a guest and counts.
    pub(crate) fn run<F: Future + Send>(
        self: &Arc<Self>,
        ticker: &Arc<Ticker>,
        call: F,
    ) -> Metered<F> {
        Metered { meter: Arc::clone(self), ticker: Arc::clone(ticker), call: Box::pin(call) }
    }
}

/// A call of a guest, counted.
pub(crate) struct Metered<F> {
    meter: Arc<Meter>,
    ticker: Arc<Ticker>,
    call: Pin<Box<F>>,
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let _running = this.ticker.enter();
        let began = thread_time();
        this.meter.began.store(began, Relaxed);
        let polled = this.call.as_mut().poll(context);
        this.meter.spent.fetch_add(thread_time().saturating_sub(began), Relaxed);
        polled
    }
}
