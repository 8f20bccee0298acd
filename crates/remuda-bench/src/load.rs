//! Closed-loop load: N callers, each with one call outstanding.

use std::{
    fmt,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use crate::options::Options;

/// What one run saw.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) callers: usize,
    pub(crate) rate: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) p999: Duration,
    pub(crate) errors: u64,
    /// What the first of them was.
    pub(crate) error: Option<String>,
}

/// How long a run lasts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// What does not count.
    pub(crate) warm_up: Duration,
    /// What counts, after that.
    pub(crate) run: Duration,
}

impl Span {
    const FULL: Self = Self { warm_up: Duration::from_millis(500), run: Duration::from_secs(2) };
    const QUICK: Self =
        Self { warm_up: Duration::from_millis(100), run: Duration::from_millis(300) };

    /// As long as the command line wants it.
    pub(crate) fn of(options: &Options) -> Self {
        if options.is_quick() { Self::QUICK } else { Self::FULL }
    }
}

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
pub(crate) async fn closed_loop<C: Caller>(connections: Vec<C>, span: Span) -> Result<Sample> {
    let callers = connections.len();
    let counted = Instant::now() + span.warm_up;
    let end = counted + span.run;
    let mut loops = Vec::with_capacity(callers);
    for mut connection in connections {
        loops.push(tokio::spawn(async move {
            let (mut nanos, mut errors, mut first) = (Vec::with_capacity(1 << 16), 0_u64, None);
            loop {
                let start = Instant::now();
                if start >= end {
                    return (nanos, errors, first);
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
                    Err(error) => {
                        errors += 1;
                        first.get_or_insert_with(|| format!("{error:#}"));
                    }
                }
            }
        }));
    }
    let (mut nanos, mut errors, mut first) = (Vec::new(), 0, None);
    for done in loops {
        let (its_nanos, its_errors, its_first) = done.await.context("a caller panicked")?;
        nanos.extend(its_nanos);
        errors += its_errors;
        first = first.or(its_first);
    }
    Ok(Sample { errors, error: first, ..summary(callers, nanos, span) })
}

/// Makes a sample of what single calls took.
pub(crate) fn summary(callers: usize, mut nanos: Vec<u32>, span: Span) -> Sample {
    nanos.sort_unstable();
    let at = |permille: usize| {
        let index = (nanos.len() * permille / 1000).min(nanos.len().saturating_sub(1));
        Duration::from_nanos(nanos.get(index).copied().unwrap_or_default().into())
    };
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = nanos.len() as f64 / span.run.as_secs_f64();
    Sample { callers, rate, p50: at(500), p99: at(990), p999: at(999), errors: 0, error: None }
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
