//! Signs of life and the round trip.

use std::time::Duration;

/// The quickest path that is provided for: 8 GB/s.
const BYTES_PER_US: u32 = 8_000;
/// Enough for every path within one machine or one room: 1 MiB.
const SHORT_PATH: u32 = 1 << 20;

/// Decides when to ask for a sign of life and when the peer counts as dead.
#[derive(Debug)]
pub(super) struct Health {
    every: Duration,
    dead_after: Duration,
    /// When something last came.
    heard: Duration,
    /// When the connection last took bytes of ours.
    progress: Duration,
    next_ping: Duration,
    /// A ping that has not been answered: its number and when it was sent.
    asked: Option<(u64, Duration)>,
    count: u64,
    rtt: Option<Duration>,
    least_rtt: Option<Duration>,
}

impl Health {
    pub(super) fn new(every: Duration, dead_after: Duration) -> Self {
        let zero = Duration::ZERO;
        Self {
            every,
            dead_after,
            heard: zero,
            progress: zero,
            next_ping: zero,
            asked: None,
            count: 0,
            rtt: None,
            least_rtt: None,
        }
    }

    pub(super) fn heard(&mut self, now: Duration) {
        self.heard = now;
    }

    pub(super) fn progressed(&mut self, now: Duration) {
        self.progress = now;
    }

    /// The ping to send now, if one is due.
    pub(super) fn ping(&mut self, now: Duration) -> Option<u64> {
        if self.asked.is_some() || now < self.next_ping {
            return None;
        }
        self.count += 1;
        self.asked = Some((self.count, now));
        Some(self.count)
    }

    pub(super) fn pong(&mut self, now: Duration, number: u64) {
        if let Some((asked, sent)) = self.asked
            && asked == number
        {
            let sample = now.saturating_sub(sent);
            self.rtt = Some(self.rtt.map_or(sample, |rtt| (rtt * 3 + sample) / 4));
            self.least_rtt = Some(self.least_rtt.map_or(sample, |least| least.min(sample)));
            self.asked = None;
            self.next_ping = sent + self.every;
        }
    }

    /// How many bytes can be on their way on this path: more in a window would only queue up in
    /// front of small calls. Queues make round trips longer, so the shortest one counts.
    pub(super) fn useful_window(&self) -> u32 {
        let least_us = self.least_rtt.unwrap_or_default().as_micros();
        let on_the_way = u32::try_from(least_us).unwrap_or(u32::MAX).saturating_mul(BYTES_PER_US);
        on_the_way.max(SHORT_PATH)
    }

    pub(super) fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// When the peer counts as dead unless something comes.
    ///
    /// A peer that sends but does not read is noticed by its missing answer. On a slow connection
    /// the question may wait long behind other bytes, so the answer has time while the connection
    /// takes bytes, but not for ever.
    pub(super) fn dead_at(&self) -> Duration {
        let silent = self.heard + self.dead_after;
        match self.asked {
            None => silent,
            Some((_, sent)) => silent
                .min(sent.max(self.progress) + self.dead_after)
                .min(sent + self.dead_after * 4),
        }
    }

    /// When to look again.
    pub(super) fn deadline(&self) -> Duration {
        if self.asked.is_some() { self.dead_at() } else { self.dead_at().min(self.next_ping) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn health() -> Health {
        Health::new(secs(5), secs(15))
    }

    #[test]
    fn windows_fit_the_shortest_round_trip_that_was_seen() {
        let mut health = health();
        assert_eq!(health.useful_window(), 1 << 20, "short until it is known");
        for (asked, answered) in [(0, 40_000), (5_000_000, 5_001_000), (10_000_000, 10_900_000)] {
            let number = health.ping(Duration::from_micros(asked)).expect("due");
            health.pong(Duration::from_micros(answered), number);
        }
        assert_eq!(health.useful_window(), 8_000_000, "1 ms, however long others took");
    }

    #[test]
    fn one_question_at_a_time() {
        let mut health = health();
        assert_eq!(health.ping(secs(0)), Some(1));
        assert_eq!(health.ping(secs(9)), None);
        health.pong(secs(1), 7);
        assert_eq!(health.rtt(), None, "not the answer to the question");
        health.pong(secs(1), 1);
        assert_eq!(health.rtt(), Some(secs(1)));
        assert_eq!(health.deadline(), secs(5));
        assert_eq!(health.ping(secs(5)), Some(2));
    }

    #[test]
    fn silence_is_death_after_three_misses() {
        let mut health = health();
        health.heard(secs(2));
        assert_eq!(health.dead_at(), secs(17));
    }

    #[test]
    fn a_peer_that_sends_but_does_not_read_is_dead_too() {
        let mut health = health();
        assert_eq!(health.ping(secs(0)), Some(1));
        health.progressed(secs(3));
        for second in 0..60 {
            health.heard(secs(second));
        }
        assert_eq!(health.dead_at(), secs(18), "nothing more was taken");
        for second in 0..300 {
            health.heard(secs(second));
            health.progressed(secs(second));
        }
        assert_eq!(health.dead_at(), secs(60), "not even a slow connection takes a minute");
    }
}
