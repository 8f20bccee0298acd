//! Whether and when a target is contacted again.

use std::time::Duration;

use remuda_model::run::{Outcome, RunSpec};

use crate::{Again, Attempt};

/// The longest wait before the first repetition.
const BASE: Duration = Duration::from_millis(200);
/// The longest wait before any.
const CAP: Duration = Duration::from_secs(10);

/// The rule of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    /// How many attempts a target gets.
    attempts: u16,
}

impl Retry {
    /// The rule of a run: as many repetitions as its limits say; none if no target may be
    /// contacted twice.
    pub(super) fn of(spec: &RunSpec) -> Self {
        let retries = if spec.at_most_once { 0 } else { spec.limits.retries };
        Self { attempts: u16::from(retries) + 1 }
    }

    /// Whether there is another attempt after the `made`-th one.
    pub(super) fn wanted(self, attempt: &Attempt, made: u16) -> bool {
        let safe = match attempt.again {
            Again::No => false,
            Again::NothingSent | Again::Repeatable => true,
        };
        safe && attempt.record.outcome != Outcome::Ok && made < self.attempts
    }
}

/// How long to wait after the `made`-th attempt: twice as long each time, at random between half of
/// it and all of it, so that targets that failed together are not contacted together.
pub(super) fn delay(made: u16, random: &mut fastrand::Rng) -> Duration {
    let doublings = u32::from(made.saturating_sub(1)).min(16);
    let longest = BASE.saturating_mul(1 << doublings).min(CAP);
    longest.mul_f64(0.5 + random.f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use remuda_model::run::{Record, Trouble, TroubleKind};

    use super::*;

    fn failed(again: Again) -> Attempt {
        let trouble = Trouble::new(TroubleKind::Refused, "nothing listens there");
        Attempt { record: Record::without_answer(0, Outcome::Failed, trouble), again }
    }

    fn spec(retries: u8, at_most_once: bool) -> RunSpec {
        let text = format!(
            r#"{{"command":{{"ping":{{}}}},"limits":{{"retries":{retries}}},"at_most_once":{at_most_once}}}"#
        );
        serde_json::from_str(&text).expect("a spec")
    }

    #[test]
    fn only_what_is_safe_is_repeated() {
        let retry = Retry::of(&spec(2, false));
        assert!(retry.wanted(&failed(Again::NothingSent), 1));
        assert!(retry.wanted(&failed(Again::Repeatable), 2));
        assert!(!retry.wanted(&failed(Again::Repeatable), 3));
        assert!(!retry.wanted(&failed(Again::No), 1));
        let mut answered = failed(Again::Repeatable);
        answered.record.outcome = Outcome::Ok;
        assert!(!retry.wanted(&answered, 1));
    }

    #[test]
    fn at_most_once_means_once() {
        assert!(!Retry::of(&spec(10, true)).wanted(&failed(Again::NothingSent), 1));
    }

    #[test]
    fn waits_double_up_to_a_cap() {
        let mut random = fastrand::Rng::with_seed(7);
        for made in 1..100_u16 {
            let longest = BASE.saturating_mul(1 << (made - 1).min(16)).min(CAP);
            let waits = delay(made, &mut random);
            assert!(waits >= longest / 2 && waits <= longest, "{waits:?} after {made}");
        }
    }
}
