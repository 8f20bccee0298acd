//! How long the attempts that are made now have been going on, roughly.

use std::collections::VecDeque;

/// The most intervals that are told apart.
const MAX_INTERVALS: usize = 512;

/// In which interval an attempt began.
pub(in crate::engine) type Begun = u64;

/// Counts attempts that are going on by the interval in which they began, and those apart that have
/// been going on for much longer than most take.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// The interval of the first of `recent`.
    first: Begun,
    recent: VecDeque<u32>,
    /// Those that began before.
    slow: u32,
}

impl Held {
    pub(super) fn begin(&mut self) -> Begun {
        if self.recent.is_empty() {
            self.recent.push_back(0);
        }
        if let Some(last) = self.recent.back_mut() {
            *last += 1;
        }
        self.first + self.recent.len() as u64 - 1
    }

    pub(super) fn end(&mut self, begun: Begun) {
        let place = begun.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        let count = place.and_then(|at| self.recent.get_mut(at)).unwrap_or(&mut self.slow);
        *count = count.saturating_sub(1);
    }

    /// An interval is over. Attempts that began more than `patience` intervals ago are slow.
    pub(super) fn next_interval(&mut self, patience: Option<usize>) {
        self.recent.push_back(0);
        let most = patience.unwrap_or(MAX_INTERVALS).clamp(1, MAX_INTERVALS);
        while self.recent.len() > most {
            self.slow += self.recent.pop_front().unwrap_or(0);
            self.first += 1;
        }
    }

    /// How many are slow.
    pub(super) fn slow(&self) -> u32 {
        self.slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_for_long_is_slow_until_it_ends() {
        let mut held = Held::default();
        let (a, b) = (held.begin(), held.begin());
        held.next_interval(Some(2));
        let c = held.begin();
        assert_eq!(held.slow(), 0);
        held.next_interval(Some(2));
        assert_eq!(held.slow(), 2);
        held.end(a);
        held.end(c);
        assert_eq!(held.slow(), 1);
        held.end(b);
        held.next_interval(Some(1));
        assert_eq!(held.slow(), 0);
    }

    #[test]
    fn intervals_without_end_need_no_memory() {
        let mut held = Held::default();
        let begun = held.begin();
        for _ in 0..10_000 {
            held.next_interval(None);
        }
        assert_eq!((held.slow(), held.recent.len()), (1, MAX_INTERVALS));
        held.end(begun);
        assert_eq!(held.slow(), 0);
    }
}
