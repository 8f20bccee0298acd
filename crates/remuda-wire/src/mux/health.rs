//! Signs of life and the round trip.

use std::time::Duration;

use super::Side;

/// The quickest path that is provided for: 8 GB/s.
const BYTES_PER_US: u32 = 8_000;
/// Enough for every path within one machine or one room: 1 MiB.
const SHORT_PATH: u32 = 1 << 20;

/// A side whose peer asks by itself asks every so many turns only.
const SELDOM: u32 = 4;

/// Decides when to ask for a sign of life and when the peer counts as dead.
#[derive(Debug)]
pub(super) struct Health {
    side: Side,
    every: Duration,
    dead_after: Duration,
    /// When something last came.
    heard: Duration,
    /// When the connection last took bytes of ours.
    progress: Duration,
    /// When this side may ask, were it not for the questions of the peer.
    next_ping: Duration,
    /// A ping that has not been answered: its number and when it was sent.
    asked: Option<(u64, Duration)>,
    /// When the peer last asked.
    was_asked: Option<Duration>,
    count: u64,
    rtt: Option<Duration>,
    least_rtt: Option<Duration>,
}

impl Health {
    pub(super) fn new(side: Side, every: Duration, dead_after: Duration) -> Self {
        let zero = Duration::ZERO;
        Self {
            side,
            every,
            dead_after,
            heard: zero,
            progress: zero,
            next_ping: zero,
            asked: None,
            was_asked: None,
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
        if self.asked.is_some() || now < self.due() {
            return None;
        }
        self.count += 1;
        self.asked = Some((self.count, now));
        Some(self.count)
    }

    /// The peer asks for a sign of life.
    pub(super) fn was_asked(&mut self, now: Duration) {
        self.was_asked = Some(now);
    }

    /// When to ask. A peer that asks shows that it lives, and notices by itself when it reads no
    /// answers; so the side that listened, which may have thousands of links, asks less often.
    fn due(&self) -> Duration {
        match (self.side, self.was_asked) {
            (Side::Listener, Some(asked)) if self.count > 0 => {
                let latest = self.next_ping + self.every * (SELDOM - 1);
                self.next_ping.max(latest.min(asked + self.every * 2))
            }
            _ => self.next_ping,
        }
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
        if self.asked.is_some() { self.dead_at() } else { self.dead_at().min(self.due()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn health() -> Health {
        Health::new(Side::Dialer, secs(5), secs(15))
    }

    /// When a side asks within a minute, whose peer asks every five seconds until `end`.
    fn asks(side: Side, end: u64) -> Vec<u64> {
        let mut health = Health::new(side, secs(5), secs(15));
        let mut asked = Vec::new();
        for second in 0..60 {
            if let Some(number) = health.ping(secs(second)) {
                asked.push(second);
                health.pong(secs(second), number);
            }
            if second % 5 == 1 && second < end {
                health.was_asked(secs(second));
            }
        }
        asked
    }

    #[test]
    fn the_side_that_listened_asks_seldom_while_the_other_does() {
        assert_eq!(asks(Side::Listener, 60), [0, 20, 40]);
        assert_eq!(asks(Side::Listener, 25), [0, 20, 31, 36, 41, 46, 51, 56]);
        assert_eq!(asks(Side::Listener, 0), (0..12).map(|turn| turn * 5).collect::<Vec<_>>());
        assert_eq!(asks(Side::Dialer, 60), (0..12).map(|turn| turn * 5).collect::<Vec<_>>());
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
