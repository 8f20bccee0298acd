//! How often the record of one worker may be changed: each change is an entry in everybody's log.

use std::time::Duration;

use tokio::time::Instant;

/// The pause after a change of a record that was quiet before.
const FIRST: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST: Duration = Duration::from_mins(1);

/// Pauses between the changes of one record. They double with each change, and halve again with
/// each minute in which nothing changes: in the long run there is one change a minute.
#[derive(Debug, Default)]
pub struct Pace {
    last: Option<(Instant, Duration)>,
}

impl Pace {
    /// A change is made now: how long no other may follow.
    pub fn pause(&mut self, now: Instant) -> Duration {
        let pause = self.last.map_or(FIRST, |(last, pause)| {
            let quiet = now.saturating_duration_since(last).as_secs() / LONGEST.as_secs();
            // After so many halvings as the number has bits, nothing is left anyway.
            let halvings = u32::try_from(quiet.min(31)).unwrap_or(31);
            ((2 * pause) / (1 << halvings)).clamp(FIRST, LONGEST)
        });
        self.last = Some((now, pause));
        pause
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn pauses_double_while_changes_keep_coming_and_are_short_after_a_quiet_time() {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            let pause = pace.pause(now);
            assert_eq!(pause, Duration::from_secs(seconds));
            // Hardly any time passes besides; a whole minute would count as quiet.
            now += pause.min(Duration::from_secs(59));
        }
        assert_eq!(pace.pause(now + Duration::from_hours(1)), FIRST);
    }

    proptest! {
        /// However a worker chooses its moments.
        #[test]
        fn a_worker_cannot_flood_the_log(waits in vec(prop_oneof![0_u64..5, 0_u64..70], 40)) {
            let (mut pace, start) = (Pace::default(), Instant::now());
            let (mut now, mut n_changes) = (start, 0);
            for wait in waits {
                now += pace.pause(now) + Duration::from_secs(wait);
                n_changes += u32::from(now < start + Duration::from_mins(5));
            }
            prop_assert!(n_changes <= 16, "{n_changes} in five minutes");
        }
    }
}
