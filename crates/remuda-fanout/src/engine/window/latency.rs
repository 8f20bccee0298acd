//! The median of many durations, in little memory.

use std::time::Duration;

/// Parts into which each doubling is divided: what is told is off by at most an eighth.
const PARTS: u32 = 8;
/// Up to 2⁴⁰ µs, twelve days.
const BUCKETS: usize = 40 * PARTS as usize;

/// Counts durations by their size.
#[derive(Clone, Debug)]
pub(super) struct Latency {
    counts: Box<[u32; BUCKETS]>,
    total: u32,
}

impl Latency {
    pub(super) fn new() -> Self {
        Self { counts: Box::new([0; BUCKETS]), total: 0 }
    }

    pub(super) fn add(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let doublings = micros.ilog2();
        // The bits after the first.
        let part = if doublings >= 3 { (micros >> (doublings - 3)) & 7 } else { 0 };
        let bucket = u64::from(doublings * PARTS) + part;
        let bucket = usize::try_from(bucket).unwrap_or(usize::MAX).min(BUCKETS - 1);
        self.counts[bucket] = self.counts[bucket].saturating_add(1);
        self.total = self.total.saturating_add(1);
    }

    /// How many there are.
    pub(super) fn len(&self) -> u32 {
        self.total
    }

    /// The median, `None` when there are none.
    pub(super) fn median(&self) -> Option<Duration> {
        let mut before = 0_u32;
        for (bucket, count) in (0_u32..).zip(self.counts.iter()) {
            before = before.saturating_add(*count);
            if before > self.total / 2 {
                let (doublings, part) = (bucket / PARTS, bucket % PARTS);
                let micros = (1_u64 << doublings) * u64::from(PARTS + part) / u64::from(PARTS);
                return Some(Duration::from_micros(micros));
            }
        }
        None
    }

    pub(super) fn clear(&mut self) {
        if self.total > 0 {
            self.counts.fill(0);
            self.total = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_has_no_median() {
        let mut latency = Latency::new();
        assert_eq!(latency.median(), None);
        latency.add(Duration::MAX);
        assert!(latency.median().is_some_and(|median| median > Duration::from_hours(24)));
        latency.clear();
        assert_eq!((latency.median(), latency.len()), (None, 0));
    }

    proptest! {
        #[test]
        fn the_median_is_off_by_an_eighth_at_most(
            mut micros in prop::collection::vec(8_u64..10_000_000_000, 1..200),
        ) {
            let mut latency = Latency::new();
            for &one in &micros {
                latency.add(Duration::from_micros(one));
            }
            micros.sort_unstable();
            let exact = u128::from(micros[micros.len() / 2]);
            let told = latency.median().expect("there are some").as_micros();
            prop_assert!(told <= exact && exact <= told + told / 8 + 1, "{told} for {exact}");
        }
    }
}
