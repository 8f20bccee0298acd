//! How many targets are begun a second: a bucket of tokens.

use std::time::Duration;

/// The part of a token that comes in a nanosecond for each target in 1,000 seconds.
const TOKEN: u128 = 1_000_000_000_000;
/// For how long unused tokens are kept.
const BURST: Duration = Duration::from_secs(1);

/// Lets so many targets begin in 1,000 seconds, with bursts of at most one second's worth. Exact:
/// nothing is rounded. Starts with one token, so that what begins in the first seconds is not
/// twice what was asked for.
#[derive(Clone, Debug)]
pub(super) struct Rate {
    /// Targets in 1,000 seconds; no limit if there is none.
    milli: Option<u64>,
    /// In parts of a [`TOKEN`].
    level: u128,
    filled: Duration,
}

impl Rate {
    /// A rate from now on.
    pub(super) fn new(milli: Option<u64>, now: Duration) -> Self {
        Self { milli, level: TOKEN, filled: now }
    }

    /// Changes the rate; tokens that are there stay, up to a second's worth of the new rate.
    pub(super) fn set(&mut self, milli: Option<u64>, now: Duration) {
        self.fill(now);
        self.milli = milli;
        self.fill(now);
    }

    /// The rate, in targets per 1,000 seconds.
    pub(super) fn milli(&self) -> Option<u64> {
        self.milli
    }

    /// Whether a target may begin.
    pub(super) fn allows(&mut self, now: Duration) -> bool {
        self.fill(now);
        self.milli.is_none() || self.level >= TOKEN
    }

    /// Takes the token of a target that begins.
    pub(super) fn take(&mut self, now: Duration) {
        self.fill(now);
        if self.milli.is_some() {
            self.level = self.level.saturating_sub(TOKEN);
        }
    }

    /// When the next target may begin; `None` when none ever may. Not before `now`.
    pub(super) fn next(&self, now: Duration) -> Option<Duration> {
        let Some(milli) = self.milli else { return Some(now) };
        let missing = TOKEN.saturating_sub(self.level);
        if missing == 0 {
            return Some(now);
        }
        if milli == 0 {
            return None;
        }
        let wait = missing.div_ceil(u128::from(milli));
        let wait = Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX));
        Some(self.filled.saturating_add(wait).max(now))
    }

    fn fill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.filled).as_nanos();
        self.filled = self.filled.max(now);
        if let Some(milli) = self.milli {
            let milli = u128::from(milli);
            let most = milli.saturating_mul(BURST.as_nanos()).max(TOKEN);
            let came = milli.saturating_mul(passed);
            self.level = self.level.saturating_add(came).min(most);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn targets_begin_evenly() {
        let mut rate = Rate::new(Some(10_000), ms(0));
        assert!(rate.allows(ms(0)));
        rate.take(ms(0));
        assert!(!rate.allows(ms(99)));
        assert_eq!(rate.next(ms(99)), Some(ms(100)));
        assert!(rate.allows(ms(100)));
    }

    #[test]
    fn a_rest_saves_at_most_a_second() {
        let mut rate = Rate::new(Some(10_000), ms(0));
        let now = Duration::from_hours(1);
        let mut begun = 0;
        while rate.allows(now) {
            rate.take(now);
            begun += 1;
        }
        assert_eq!(begun, 10);
    }

    #[test]
    fn a_rate_below_one_a_second_lets_one_through() {
        let mut rate = Rate::new(Some(100), ms(0));
        rate.take(ms(0));
        assert_eq!(rate.next(ms(1)), Some(ms(10_000)));
        assert!(rate.allows(ms(60_000)));
        rate.take(ms(60_000));
        assert!(!rate.allows(ms(60_000)));
    }

    #[test]
    fn none_at_all_waits_for_another_rate() {
        let mut rate = Rate::new(Some(0), ms(0));
        rate.take(ms(0));
        assert_eq!(rate.next(ms(5)), None);
        assert!(!rate.allows(Duration::from_hours(24)));
        rate.set(None, ms(6));
        assert!(rate.allows(ms(6)));
        assert_eq!(rate.next(ms(6)), Some(ms(6)));
    }

    proptest! {
        #[test]
        fn never_more_than_the_rate_and_a_burst(
            milli in 1_u64..50_000_000,
            steps in prop::collection::vec(0_u64..2_000, 1..50),
        ) {
            let mut rate = Rate::new(Some(milli), ms(0));
            let (mut now, mut begun) = (ms(0), 0_u128);
            for step in steps {
                now += ms(step);
                for _ in 0..2_000 {
                    if !rate.allows(now) {
                        break;
                    }
                    rate.take(now);
                    begun += 1;
                }
                let most = u128::from(milli) * now.as_nanos() / TOKEN + 1;
                prop_assert!(begun <= most, "{begun} of {most} after {now:?}");
            }
        }

        #[test]
        fn the_next_moment_is_the_first_that_allows(milli in 1_u64..50_000_000, at in 0_u64..5_000) {
            let mut rate = Rate::new(Some(milli), ms(0));
            let now = ms(at);
            for _ in 0..60_000 {
                if !rate.allows(now) {
                    break;
                }
                rate.take(now);
            }
            if !rate.allows(now) {
                let next = rate.next(now).expect("there is a rate");
                prop_assert!(next > now);
                let before = next.saturating_sub(Duration::from_nanos(1));
                prop_assert!(!rate.clone().allows(before));
                prop_assert!(rate.allows(next));
            }
        }
    }
}
