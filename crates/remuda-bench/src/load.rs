//! Closed-loop load: N callers, each with one call outstanding.

use std::{
    fmt,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

/// What one run saw.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) callers: usize,
    pub(crate) rate: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) p999: Duration,
    pub(crate) errors: u64,
}

/// How long a run lasts, after half a second that does not count.
pub(crate) const RUN: Duration = Duration::from_secs(2);
const WARM_UP: Duration = Duration::from_millis(500);

/// One caller: makes a call, waits for its answer.
pub(crate) trait Caller: Send + 'static {
    /// One call.
    fn call(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// How long it rests between two calls.
    fn pause() -> Duration {
        Duration::ZERO
    }
}

/// Lets every caller call until the time is over.
pub(crate) async fn closed_loop<C: Caller>(connections: Vec<C>) -> Result<Sample> {
    let callers = connections.len();
    let counted = Instant::now() + WARM_UP;
    let end = counted + RUN;
    let mut loops = Vec::with_capacity(callers);
    for mut connection in connections {
        loops.push(tokio::spawn(async move {
            let (mut nanos, mut errors) = (Vec::with_capacity(1 << 16), 0_u64);
            loop {
                let start = Instant::now();
                if start >= end {
                    return (nanos, errors);
                }
                let answer = connection.call().await;
                let spent = start.elapsed();
                if !C::pause().is_zero() {
                    tokio::time::sleep(C::pause()).await;
                }
                if start < counted {
                    continue;
                }
                match answer {
                    Ok(()) => nanos.push(u32::try_from(spent.as_nanos()).unwrap_or(u32::MAX)),
                    Err(_) => errors += 1,
                }
            }
        }));
    }
    let (mut nanos, mut errors) = (Vec::new(), 0);
    for done in loops {
        let (its_nanos, its_errors) = done.await.context("a caller panicked")?;
        nanos.extend(its_nanos);
        errors += its_errors;
    }
    Ok(summary(callers, nanos, errors))
}

fn summary(callers: usize, mut nanos: Vec<u32>, errors: u64) -> Sample {
    nanos.sort_unstable();
    let at = |permille: usize| {
        let index = (nanos.len() * permille / 1000).min(nanos.len().saturating_sub(1));
        Duration::from_nanos(nanos.get(index).copied().unwrap_or_default().into())
    };
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = nanos.len() as f64 / RUN.as_secs_f64();
    Sample { callers, rate, p50: at(500), p99: at(990), p999: at(999), errors }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = |span: Duration| span.as_secs_f64() * 1e6;
        write!(
            f,
            "{:>4} callers {:>9.0}/s  p50 {:>8.1} µs  p99 {:>8.1} µs  p99.9 {:>8.1} µs  errors {}",
            self.callers,
            self.rate,
            micros(self.p50),
            micros(self.p99),
            micros(self.p999),
            self.errors
        )
    }
}
