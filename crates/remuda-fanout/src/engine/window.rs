//! How many targets of a run are contacted at a time: the adaptive throttle.
//!
//! More at a time does not help hosts that answer fast, where this machine is the limit, but is the
//! rate of hosts that answer slowly. So the window starts small and doubles in each interval while
//! answers take no longer than they did. Then it tries: a little more where that seems good, less
//! where answers take much longer than at the best time. Whether a try was good is told by how many
//! targets end in a second; if it was not, the window is what it was, and the next try comes later.
//!
//! Attempts that go on for much longer than most take cost next to nothing. They do not count, so
//! hosts that never answer do not narrow the window for those that do.
//!
//! When suddenly many attempts fail by way of time-outs and broken connections, the window is
//! halved at once. That too is a try: if no fewer targets answer in a second, it was good;
//! otherwise the targets are to blame and not the crowd of attempts.

mod held;
mod latency;

use std::time::Duration;

pub(super) use self::held::Begun;
use self::{held::Held, latency::Latency};

/// How many at first.
const START: u32 = 64;
/// No try makes it smaller.
const FLOOR: u32 = 4;
/// How often it is looked at.
const INTERVAL: Duration = Duration::from_millis(200);
/// The same at first, so that slow hosts have a wide window within a second.
const RAMP_INTERVAL: Duration = Duration::from_millis(100);
/// So many ends tell something about how long an attempt takes, or how many a second there are.
const ENOUGH: u32 = 16;
/// Without enough of them, the look is taken after this time.
const LONGEST_LOOK: Duration = Duration::from_secs(2);
/// So many ends tell something about errors.
const ENOUGH_FOR_ERRORS: u32 = 8;
/// A larger part of attempts that fail is a burst, if it is this much above the usual part, too.
const BURST: f64 = 0.2;
const ABOVE_USUAL: f64 = 0.1;
/// Answers that take this much longer than at the best time show no crowd yet.
const FLAT: f64 = 1.5;
/// Answers that take this much longer show one.
const CROWDED: f64 = 2.5;
/// How many times the median an attempt takes to be slow, and at least how many intervals.
const SLOW: u32 = 8;
const SLOW_INTERVALS: u32 = 2;
/// How long to wait after a try that was not good; doubles up to the longest.
const PATIENCE: Duration = Duration::from_secs(1);
const LONGEST_PATIENCE: Duration = Duration::from_secs(16);
/// The longest time until a try shows.
const LONGEST_SETTLE: Duration = Duration::from_secs(10);

/// How many targets of a run are contacted at a time.
#[derive(Debug)]
pub(super) struct Window {
    is_adaptive: bool,
    /// How many at most.
    cap: u32,
    /// How many that are not slow.
    size: u32,
    is_ramp: bool,
    held: Held,
    /// The interval, which starts here.
    interval: Duration,
    in_interval: Ends,
    /// The look, which takes one interval or more.
    look: Duration,
    in_look: Ends,
    latency: Latency,
    turns: Turns,
    /// The last median, and the best.
    median: Option<Duration>,
    best: Option<Duration>,
    /// The usual part of attempts that fail.
    usual: f64,
    attempt: Option<Try>,
    /// Nothing is tried before.
    not_before: Duration,
    patience: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    all: u32,
    bad: u32,
}

/// How often the window was looked at, and how often it was full.
#[derive(Clone, Copy, Debug, Default)]
struct Turns {
    all: u32,
    full: u32,
}

/// A change of the window of which it is not known yet whether it is good.
#[derive(Clone, Copy, Debug)]
struct Try {
    kind: Kind,
    from: u32,
    /// Ends a second before; only those that did not fail, for [`Kind::Calm`].
    rate: f64,
    median: Option<Duration>,
    /// What ends before then was begun before.
    shows_at: Duration,
    is_shown: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    More,
    Less,
    Calm,
}

impl Window {
    /// A window; as wide as allowed unless it adapts.
    pub(super) fn new(is_adaptive: bool, cap: u32, now: Duration) -> Self {
        Self {
            is_adaptive,
            cap,
            size: START,
            is_ramp: true,
            held: Held::default(),
            interval: now,
            in_interval: Ends::default(),
            look: now,
            in_look: Ends::default(),
            latency: Latency::new(),
            turns: Turns::default(),
            median: None,
            best: None,
            usual: 0.0,
            attempt: None,
            not_before: now,
            patience: PATIENCE,
        }
    }

    /// Changes how many there may be at most.
    pub(super) fn set_cap(&mut self, cap: u32) {
        self.cap = cap;
    }

    /// How many attempts may go on now.
    pub(super) fn limit(&self) -> u32 {
        if self.is_adaptive {
            self.cap.min(self.size.saturating_add(self.held.slow()))
        } else {
            self.cap
        }
    }

    /// An attempt begins; the value is for its [`end`](Self::end).
    pub(super) fn begin(&mut self) -> Begun {
        self.held.begin()
    }

    /// An attempt has ended after so long; whether it failed as it would in too great a crowd.
    pub(super) fn end(&mut self, begun: Begun, took: Duration, is_bad: bool) {
        self.held.end(begun);
        let bad = u32::from(is_bad);
        for ends in [&mut self.in_interval, &mut self.in_look] {
            ends.all += 1;
            ends.bad += bad;
        }
        self.latency.add(took);
    }

    /// Notes whether the window alone keeps more targets from being contacted.
    pub(super) fn note(&mut self, is_full: bool) {
        self.turns.all = self.turns.all.saturating_add(1);
        self.turns.full += u32::from(is_full);
    }

    /// When [`tick`](Self::tick) has something to do.
    pub(super) fn next(&self) -> Option<Duration> {
        self.is_adaptive.then(|| self.interval + self.interval_length())
    }

    /// Looks at the interval, if it is over.
    pub(super) fn tick(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.interval);
        if !self.is_adaptive || passed < self.interval_length() {
            return;
        }
        let ends = std::mem::take(&mut self.in_interval);
        self.interval = now;
        self.held.next_interval(self.intervals_until_slow());
        let is_burst = self.is_burst(ends);
        if is_burst && self.attempt.is_none_or(|attempt| attempt.kind != Kind::Calm) {
            let rate = per_second(ends.all - ends.bad, passed);
            let half = (self.present() / 2).max(FLOOR);
            self.is_ramp = false;
            self.change(now, Kind::Calm, half, rate);
            return;
        }
        if self.attempt.is_some_and(|attempt| !attempt.is_shown) {
            self.settle(now);
            return;
        }
        let is_full = self.turns.full * 2 >= self.turns.all && self.turns.all > 0;
        let is_enough = self.latency.len() >= ENOUGH;
        if !is_enough && now.saturating_sub(self.look) < LONGEST_LOOK {
            // Nothing speaks against more, and slow hosts need it soon.
            if self.is_ramp && is_full {
                self.grow(2.0);
                self.turns = Turns::default();
            }
            return;
        }
        self.judge(now, is_full);
        self.begin_look(now);
    }

    /// The look is over.
    fn judge(&mut self, now: Duration, is_full: bool) {
        let took = now.saturating_sub(self.look);
        let rate = per_second(self.in_look.all, took);
        let good = per_second(self.in_look.all - self.in_look.bad, took);
        self.median = self.latency.median().or(self.median);
        if let Some(attempt) = self.attempt.take() {
            self.verify(now, attempt, is_full, rate, good);
            return;
        }
        let Some(median) = self.median else { return };
        let best = self.best.map_or(median, |best| best.min(median));
        self.best = Some(best);
        if !is_full {
            return;
        }
        let crowd = median.as_secs_f64() / best.as_secs_f64().max(1e-6);
        if self.is_ramp {
            if crowd <= FLAT {
                self.grow(2.0);
            } else {
                self.is_ramp = false;
                let size = f64::from(self.present()) * (FLAT / crowd).max(0.5);
                self.size = whole(size).max(FLOOR);
            }
        } else if now >= self.not_before {
            let present = self.present();
            if crowd > CROWDED {
                // So many would be on their way if nobody had to wait.
                let needed = whole(rate * best.as_secs_f64() * FLAT);
                let less = needed.clamp(present / 2, present - present / 8).max(FLOOR);
                if less < present {
                    self.change(now, Kind::Less, less, rate);
                }
            } else if present < self.cap {
                let factor = if crowd <= FLAT { 1.5 } else { 1.25 };
                let more = whole(f64::from(present) * factor).max(present + 2).min(self.cap);
                self.change(now, Kind::More, more, rate);
            }
        }
    }

    /// A try shows: it is kept, or taken back.
    fn verify(&mut self, now: Duration, attempt: Try, is_full: bool, rate: f64, good: f64) {
        let is_good = match attempt.kind {
            Kind::More => {
                let more = f64::from(self.size) / f64::from(attempt.from.max(1)) - 1.0;
                is_full && rate >= attempt.rate * (1.0 + 0.3 * more)
            }
            // What it could not use it does not need.
            Kind::Less => !is_full || rate >= attempt.rate * 0.9,
            Kind::Calm => attempt.rate > 0.0 && good >= attempt.rate * 0.8,
        };
        if is_good {
            self.patience = PATIENCE;
            self.not_before = now;
            return;
        }
        self.size = attempt.from;
        self.not_before = now + self.patience;
        self.patience = (self.patience * 2).min(LONGEST_PATIENCE);
        match attempt.kind {
            Kind::More => (),
            // That is how long these targets take.
            Kind::Less => self.best = attempt.median,
            Kind::Calm => {
                let ends = self.in_look;
                self.usual = self.usual.max(part(ends));
            }
        }
    }

    fn change(&mut self, now: Duration, kind: Kind, size: u32, rate: f64) {
        let settle = self.median.unwrap_or(INTERVAL).clamp(INTERVAL, LONGEST_SETTLE);
        let from = self.present();
        let shows_at = now + settle;
        self.size = size;
        let median = self.median;
        self.attempt = Some(Try { kind, from, rate, median, shows_at, is_shown: false });
        self.begin_look(now);
    }

    fn settle(&mut self, now: Duration) {
        if let Some(attempt) = &mut self.attempt {
            attempt.is_shown = now >= attempt.shows_at;
        }
        self.begin_look(now);
    }

    fn begin_look(&mut self, now: Duration) {
        self.look = now;
        self.in_look = Ends::default();
        self.latency.clear();
        self.turns = Turns::default();
    }

    fn is_burst(&mut self, ends: Ends) -> bool {
        if ends.all < ENOUGH_FOR_ERRORS {
            return false;
        }
        let part = part(ends);
        let is_burst = part > BURST && part > self.usual + ABOVE_USUAL;
        self.usual += (part - self.usual) / 10.0;
        is_burst
    }

    fn grow(&mut self, factor: f64) {
        self.size = whole(f64::from(self.present()) * factor);
        if self.size >= self.cap {
            self.is_ramp = false;
            self.size = self.cap.max(FLOOR);
        }
    }

    fn interval_length(&self) -> Duration {
        if self.is_ramp { RAMP_INTERVAL } else { INTERVAL }
    }

    /// The size as far as it can be used.
    fn present(&self) -> u32 {
        self.size.min(self.cap.max(1))
    }

    fn intervals_until_slow(&self) -> Option<usize> {
        let intervals = (self.median? * SLOW).as_nanos() / INTERVAL.as_nanos();
        usize::try_from(intervals.max(u128::from(SLOW_INTERVALS))).ok()
    }
}

fn part(ends: Ends) -> f64 {
    f64::from(ends.bad) / f64::from(ends.all.max(1))
}

fn per_second(count: u32, time: Duration) -> f64 {
    f64::from(count) / time.as_secs_f64().max(1e-3)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the range")]
fn whole(size: f64) -> u32 {
    size.clamp(0.0, f64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests;
