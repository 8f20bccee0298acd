//! Which events are reported, and when.

use std::time::Duration;

use super::report::{Report, Saying};

/// How many events a task reports in one second.
const PER_SECOND: u32 = 100;

/// How many bytes of events a task reports in one second.
const BYTES_PER_SECOND: usize = 512 * 1024;

const SECOND: Duration = Duration::from_secs(1);

/// Something that concerns the events of a task.
#[derive(Debug)]
pub(super) enum Input {
    /// It says something, in so many bytes.
    Said(Saying, usize),
    /// Time passes.
    Tick,
    /// It has ended.
    End,
}

/// The events of one task. Progress only ever grows; what comes too fast is left out, but for the
/// newest progress.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// The progress that was reported, or waits to be.
    highest: Option<f64>,
    /// When the present second began, and what was reported in it.
    second: Duration,
    events: u32,
    bytes: usize,
    /// Progress that waits for the next second.
    waiting: Option<f64>,
    /// What was left out in this second.
    dropped: u64,
}

impl Rules {
    /// What is to be reported now; `now` counts from the start of the task.
    #[must_use]
    pub(super) fn handle(&mut self, now: Duration, input: Input) -> Vec<Report> {
        let mut reports = Vec::new();
        if now.saturating_sub(self.second) >= SECOND {
            (self.second, self.events, self.bytes) = (now, 0, 0);
            self.release(&mut reports);
        }
        match input {
            Input::Said(saying, bytes) => reports.extend(self.said(saying, bytes)),
            Input::Tick => (),
            Input::End => self.release(&mut reports),
        }
        debug_assert!(self.waiting.is_none() || self.waiting == self.highest);
        reports
    }

    /// When [`Input::Tick`] is wanted.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        (self.waiting.is_some() || self.dropped > 0).then_some(self.second + SECOND)
    }

    fn said(&mut self, saying: Saying, bytes: usize) -> Option<Report> {
        let report = match saying {
            Saying::Progress(progress) => {
                // Also what several processes of a task say out of order.
                if self.highest.is_some_and(|highest| progress <= highest) {
                    return None;
                }
                self.highest = Some(progress);
                self.waiting = None;
                Report::Progress(progress)
            }
            Saying::Value(value) => Report::Value(value),
            Saying::Wrong { line, why } => Report::Refused { line, why: why.to_owned() },
        };
        if self.has_room(bytes) {
            return Some(report);
        }
        match report {
            Report::Progress(progress) => self.waiting = Some(progress),
            _ => self.dropped += 1,
        }
        None
    }

    /// Counts one more, unless there is no room for it in this second.
    fn has_room(&mut self, bytes: usize) -> bool {
        let has_room = self.events < PER_SECOND && self.bytes + bytes <= BYTES_PER_SECOND;
        if has_room {
            self.events += 1;
            self.bytes += bytes;
        }
        has_room
    }

    fn release(&mut self, reports: &mut Vec<Report>) {
        if self.dropped > 0 {
            reports.push(Report::Dropped(std::mem::take(&mut self.dropped)));
            self.events += 1;
        }
        if let Some(progress) = self.waiting.take() {
            reports.push(Report::Progress(progress));
            self.events += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn say(rules: &mut Rules, now: Duration, line: &str) -> Vec<Report> {
        let saying = Saying::read(line.as_bytes()).expect("a line");
        rules.handle(now, Input::Said(saying, line.len()))
    }

    #[test]
    fn progress_only_grows() {
        let mut rules = Rules::default();
        assert_eq!(say(&mut rules, ms(0), "0"), [Report::Progress(0.0)]);
        assert_eq!(say(&mut rules, ms(1), "0.5"), [Report::Progress(0.5)]);
        assert_eq!(say(&mut rules, ms(2), "0.5"), []);
        assert_eq!(say(&mut rules, ms(3), "0.4"), []);
        assert_eq!(say(&mut rules, ms(4), "1"), [Report::Progress(1.0)]);
        assert_eq!(rules.next_deadline(), None);
    }

    #[test]
    fn what_comes_too_fast_is_counted_and_the_newest_progress_is_kept() {
        let mut rules = Rules::default();
        for n in 0..PER_SECOND {
            assert_eq!(say(&mut rules, ms(1), &format!("[{n}]")), [Report::Value(json!([n]))]);
        }
        for line in ["one more", "0.1", "NaN", "0.3", "0.2"] {
            assert_eq!(say(&mut rules, ms(2), line), []);
        }
        assert_eq!(rules.next_deadline(), Some(ms(1000)));
        let late = rules.handle(ms(1000), Input::Tick);
        assert_eq!(late, [Report::Dropped(2), Report::Progress(0.3)]);
        assert_eq!(rules.next_deadline(), None);
        assert_eq!(say(&mut rules, ms(1001), "0.3"), []);
        assert_eq!(say(&mut rules, ms(1001), "x"), [Report::Value(json!("x"))]);
    }

    #[test]
    fn long_events_are_fewer() {
        let mut rules = Rules::default();
        let long = "x".repeat(60 * 1024);
        let reported = (0..20).filter(|_| !say(&mut rules, ms(0), &long).is_empty()).count();
        assert_eq!(reported, BYTES_PER_SECOND / long.len());
        assert_eq!(say(&mut rules, ms(0), "short"), [Report::Value(json!("short"))]);
    }

    #[test]
    fn the_end_waits_for_nothing() {
        let mut rules = Rules::default();
        for n in 0..=PER_SECOND {
            drop(say(&mut rules, ms(0), &format!("[{n}]")));
        }
        assert_eq!(say(&mut rules, ms(0), "0.9"), []);
        let last = rules.handle(ms(1), Input::End);
        assert_eq!(last, [Report::Dropped(1), Report::Progress(0.9)]);
    }

    proptest::proptest! {
        #[test]
        fn no_second_reports_more_than_it_may(lines: Vec<(u8, u16)>) {
            let mut rules = Rules::default();
            let (mut now, mut said, mut told, mut dropped) = (Duration::ZERO, 0, 0, 0);
            let mut highest = -1.0;
            for (line, pause) in &lines {
                now += Duration::from_micros(u64::from(*pause));
                let line = if line % 2 == 0 { format!("{}", f64::from(*line) / 256.0) } else { "x".into() };
                said += u64::from(line == "x");
                for report in say(&mut rules, now, &line) {
                    match report {
                        Report::Progress(progress) => {
                            assert!(progress > highest);
                            highest = progress;
                        }
                        Report::Dropped(n) => dropped += n,
                        _ => told += 1,
                    }
                }
                assert!(rules.events <= PER_SECOND);
            }
            for report in rules.handle(now, Input::End) {
                if let Report::Dropped(n) = report {
                    dropped += n;
                }
            }
            assert_eq!(said, told + dropped);
        }
    }
}
