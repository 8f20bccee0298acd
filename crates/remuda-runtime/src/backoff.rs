//! Delays between attempts.

use std::time::Duration;

/// Exponential back-off with full jitter: the n-th delay is random between zero and
/// `min(cap, base × 2ⁿ)`.
///
/// Full jitter spreads a crowd that was cut off at the same moment best (Brooker, "Exponential
/// Backoff And Jitter", 2015).
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    attempts: u32,
    random: fastrand::Rng,
}

impl Backoff {
    /// A back-off that starts at `base` and never exceeds `cap`; `seed` makes it repeatable.
    pub fn new(base: Duration, cap: Duration, seed: u64) -> Self {
        Self { base, cap, attempts: 0, random: fastrand::Rng::with_seed(seed) }
    }

    /// For dialling peers: 200 ms doubling to 30 s.
    pub fn for_links(seed: u64) -> Self {
        Self::new(Duration::from_millis(200), Duration::from_secs(30), seed)
    }

    /// How long to wait before the next attempt.
    pub fn next_delay(&mut self) -> Duration {
        let ceiling = self.base.saturating_mul(1_u32 << self.attempts.min(20)).min(self.cap);
        self.attempts = self.attempts.saturating_add(1);
        ceiling.mul_f64(self.random.f64())
    }

    /// Starts over, after a success.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_stay_under_a_doubling_ceiling_and_the_cap() {
        let (base, cap) = (Duration::from_millis(100), Duration::from_secs(1));
        for seed in 0..50 {
            let mut backoff = Backoff::new(base, cap, seed);
            for attempt in 0..40_u32 {
                let ceiling = base.saturating_mul(1 << attempt.min(10)).min(cap);
                assert!(backoff.next_delay() <= ceiling);
            }
            backoff.reset();
            assert!(backoff.next_delay() <= base);
        }
    }

    #[test]
    fn a_crowd_is_spread_over_the_whole_of_each_delay() {
        let base = Duration::from_millis(100);
        let mut crowd: Vec<_> =
            (0..1000).map(|seed| Backoff::new(base, Duration::from_mins(1), seed)).collect();
        for attempt in 0..8_u32 {
            let ceiling = base * (1 << attempt);
            let mut tenths = [0; 10];
            for backoff in &mut crowd {
                let tenth = backoff.next_delay().as_nanos() * 10 / ceiling.as_nanos();
                tenths[usize::try_from(tenth.min(9)).expect("small")] += 1;
            }
            // A hundred each, if chance were even-handed.
            assert!(tenths.iter().all(|n| (60..=150).contains(n)), "{attempt}: {tenths:?}");
        }
    }
}
