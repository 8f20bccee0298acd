//! Who sends next: almost strictly by priority, in turns within one.

use std::collections::VecDeque;

use super::{Key, Priority};

const CLASSES: usize = Priority::ALL.len();
/// After this many bytes of higher priorities a lower one gets one frame.
const STARVED_AFTER: usize = 256 * 1024;

/// Streams that have something to send.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    ready: [VecDeque<Key>; CLASSES],
    /// Bytes that were sent before a class while it was ready.
    passed: [usize; CLASSES],
}

impl Schedule {
    pub(super) fn push(&mut self, class: Priority, key: Key) {
        self.ready[class as usize].push_back(key);
    }

    pub(super) fn remove(&mut self, class: Priority, key: Key) {
        self.ready[class as usize].retain(|other| *other != key);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ready.iter().all(VecDeque::is_empty)
    }

    /// Takes the stream whose turn it is.
    pub(super) fn pop(&mut self) -> Option<(Priority, Key)> {
        let mut ready = Priority::ALL.into_iter().filter(|class| !self.is_idle(*class));
        let first = ready.next()?;
        let starved = ready.rfind(|class| self.passed[*class as usize] >= STARVED_AFTER);
        let class = starved.unwrap_or(first);
        let key = self.ready[class as usize].pop_front()?;
        Some((class, key))
    }

    /// Notes that a class has sent so much.
    pub(super) fn sent(&mut self, class: Priority, bytes: usize) {
        self.passed[class as usize] = 0;
        for lower in Priority::ALL.into_iter().skip(class as usize + 1) {
            if !self.is_idle(lower) {
                self.passed[lower as usize] += bytes;
            }
        }
    }

    fn is_idle(&self, class: Priority) -> bool {
        self.ready[class as usize].is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `rounds` frames of 64 KiB while all the given streams always have more.
    fn run(streams: &[(Priority, Key)], rounds: usize) -> Vec<Key> {
        let mut schedule = Schedule::default();
        for (class, key) in streams {
            schedule.push(*class, *key);
        }
        let turn = |_| {
            let (class, key) = schedule.pop().expect("all are ready");
            schedule.push(class, key);
            schedule.sent(class, 64 * 1024);
            key
        };
        (0..rounds).map(turn).collect()
    }

    #[test]
    fn streams_of_one_priority_take_turns() {
        let streams =
            [(Priority::Bulk, Key(1)), (Priority::Bulk, Key(2)), (Priority::Bulk, Key(3))];
        assert_eq!(run(&streams, 6), [1, 2, 3, 1, 2, 3].map(Key));
    }

    #[test]
    fn a_lower_priority_gets_one_frame_in_five() {
        let streams = [(Priority::Calls, Key(1)), (Priority::Bulk, Key(2))];
        assert_eq!(run(&streams, 10), [1, 1, 1, 1, 2, 1, 1, 1, 1, 2].map(Key));
    }

    #[test]
    fn nobody_starves() {
        let streams: Vec<_> = Priority::ALL.into_iter().zip((0..).map(Key)).collect();
        let turns = run(&streams, 1000);
        for (class, key) in streams {
            let share = turns.iter().filter(|turn| **turn == key).count();
            assert!(share >= 40, "{class:?} had {share} of 1000 turns");
        }
        assert_eq!(turns[..4], [0, 0, 0, 0].map(Key), "first ones first");
    }
}
