//! How long things took, in little memory.

use serde::{Deserialize, Serialize};

/// Values below this have a bucket of their own; above, each doubling has so many buckets.
const PRECISION: u64 = 128;
/// Its power of two.
const PRECISION_BITS: u32 = PRECISION.ilog2();
/// What is larger counts as this: twelve days, in microseconds.
const LARGEST: u64 = (1 << 40) - 1;

/// Counts durations in buckets whose width grows with the duration, so that each percentile is right
/// to within 1 %. At most 17 KiB.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Histogram {
    /// As many as were needed.
    buckets: Vec<u32>,
    max: u64,
}

/// What is stored: only buckets that hold something.
#[derive(Serialize, Deserialize)]
struct Stored {
    buckets: Vec<(u16, u32)>,
    max: u64,
}

impl Histogram {
    /// Counts a duration.
    pub fn add(&mut self, micros: u64) {
        let at = place(micros.min(LARGEST));
        if self.buckets.len() <= at {
            self.buckets.resize(at + 1, 0);
        }
        self.buckets[at] = self.buckets[at].saturating_add(1);
        self.max = self.max.max(micros);
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|&count| u64::from(count)).sum()
    }

    /// The longest duration, exactly.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The duration that so many of 100 did not exceed; nothing if there is none. 100 gives the
    /// longest one, exactly.
    pub fn percentile(&self, percent: u8) -> Option<u64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        if percent >= 100 {
            return Some(self.max);
        }
        let rank = (count * u64::from(percent)).div_ceil(100).max(1);
        let mut seen = 0;
        for (at, &count) in self.buckets.iter().enumerate() {
            seen += u64::from(count);
            if seen >= rank {
                return Some(middle(at).min(self.max));
            }
        }
        Some(self.max)
    }
}

/// The bucket of a value.
fn place(value: u64) -> usize {
    let shift = value.max(PRECISION).ilog2() - PRECISION_BITS;
    let place = u64::from(shift) * PRECISION + (value >> shift);
    // Of 41 bits, there are less than 2^13 places.
    usize::try_from(place).unwrap_or(usize::MAX)
}

/// The value in the middle of a bucket.
fn middle(place: usize) -> u64 {
    let place = place as u64;
    let shift = (place / PRECISION).saturating_sub(1);
    ((place - shift * PRECISION) << shift) + ((1 << shift) >> 1)
}

impl From<Histogram> for Stored {
    fn from(histogram: Histogram) -> Self {
        let buckets = (0..).zip(histogram.buckets).filter(|&(_, count)| count > 0).collect();
        Self { buckets, max: histogram.max }
    }
}

impl TryFrom<Stored> for Histogram {
    type Error = &'static str;

    fn try_from(stored: Stored) -> Result<Self, &'static str> {
        let last = stored.buckets.iter().map(|&(at, _)| usize::from(at)).max();
        let Some(last) = last else { return Ok(Self { buckets: Vec::new(), max: stored.max }) };
        if last > place(LARGEST) {
            return Err("no such bucket");
        }
        let mut buckets = vec![0; last + 1];
        for (at, count) in stored.buckets {
            buckets[usize::from(at)] = count;
        }
        Ok(Self { buckets, max: stored.max })
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn nothing_has_no_percentile() {
        assert_eq!(Histogram::default().percentile(50), None);
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut histogram = Histogram::default();
        histogram.add(u64::MAX);
        histogram.add(LARGEST);
        assert!(histogram.buckets.len() * size_of::<u32>() <= 18 << 10);
        assert_eq!(histogram.max(), u64::MAX);
        assert_eq!(histogram.count(), 2);
    }

    #[test]
    fn buckets_follow_each_other() {
        for value in (1..100_000).chain([LARGEST]) {
            let step = place(value) - place(value - 1);
            assert!(step <= 1, "{value}");
        }
    }

    proptest! {
        #[test]
        fn percentiles_are_right_to_one_in_a_hundred(
            mut values in vec(prop_oneof![0..2_000_u64, 0..LARGEST], 1..200),
            percent in 0..=100_u8,
        ) {
            let mut histogram = Histogram::default();
            for &value in &values {
                histogram.add(value);
            }
            values.sort_unstable();
            let rank = (values.len() * usize::from(percent)).div_ceil(100).max(1);
            let exact = values[rank - 1];
            let found = histogram.percentile(percent).expect("values");
            prop_assert!(found.abs_diff(exact) * 100 <= exact, "{found} instead of {exact}");
        }

        #[test]
        fn what_is_stored_comes_back(values in vec(any::<u64>(), 0..50)) {
            let mut histogram = Histogram::default();
            for &value in &values {
                histogram.add(value);
            }
            let text = serde_json::to_string(&histogram).expect("JSON");
            prop_assert_eq!(serde_json::from_str::<Histogram>(&text).expect("valid"), histogram);
        }
    }

    #[test]
    fn a_damaged_one_is_refused() {
        let text = r#"{"buckets":[[65535,1]],"max":1}"#;
        assert!(serde_json::from_str::<Histogram>(text).is_err());
    }
}
