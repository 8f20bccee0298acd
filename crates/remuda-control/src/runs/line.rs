//! The line of runs before the workers: so many are under way at a time, the others wait.
//!
//! Who comes first is settled when a run is created: its time, less a head start for its priority. So
//! a run of high priority overtakes those of the last hours, and none waits for ever behind newer ones.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use remuda_model::{RunId, run::Priority};

/// What a step of priority is worth.
const HEAD_START_MS: u64 = 60 * 60 * 1000;

/// Those who are first have the smallest.
type Rank = (u64, RunId);

#[derive(Debug)]
pub(super) struct Line {
    places: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    under_way: usize,
    waiting: BTreeSet<Rank>,
}

/// Where a run stands; it leaves when this is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    line: Arc<Line>,
    rank: Rank,
    stands: Stands,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    Outside,
    /// Behind so many.
    Waiting(usize),
    UnderWay,
}

impl Line {
    /// So many are under way at a time.
    pub(super) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self { places, held: Mutex::default() })
    }

    /// A run that does not stand in it yet.
    pub(super) fn turn(self: &Arc<Self>, run: &RunId, priority: Priority, created_ms: u64) -> Turn {
        let steps = match priority {
            Priority::Low => 0,
            Priority::Normal => 1,
            Priority::High => 2,
        };
        let due = created_ms.saturating_sub(steps * HEAD_START_MS);
        Turn { line: Arc::clone(self), rank: (due, run.clone()), stands: Stands::Outside }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Nothing panics while it is held; if it did, the numbers would still be whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Stands in the line, and gets its turn when there is a place and nobody is before it. To be
    /// called again from time to time as long as it waits: whoever is before others and does not
    /// call keeps a place free for itself.
    pub(super) fn take(&mut self) {
        if self.is_under_way() {
            return;
        }
        let mut held = self.line.held();
        held.waiting.insert(self.rank.clone());
        let before = held.waiting.range(..&self.rank).count();
        self.stands = if before < self.line.places.saturating_sub(held.under_way) {
            held.waiting.remove(&self.rank);
            held.under_way += 1;
            Stands::UnderWay
        } else {
            Stands::Waiting(before)
        };
    }

    /// Goes out of the line, and gives its place to the next.
    pub(super) fn leave(&mut self) {
        let mut held = self.line.held();
        match std::mem::replace(&mut self.stands, Stands::Outside) {
            Stands::Outside => {}
            Stands::Waiting(_) => drop(held.waiting.remove(&self.rank)),
            Stands::UnderWay => held.under_way -= 1,
        }
    }

    /// Whether it is its turn.
    pub(super) fn is_under_way(&self) -> bool {
        self.stands == Stands::UnderWay
    }

    /// How many waited before it when it was looked last, if it waits.
    pub(super) fn before(&self) -> Option<usize> {
        match self.stands {
            Stands::Waiting(before) => Some(before),
            Stands::Outside | Stands::UnderWay => None,
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: u64 = HEAD_START_MS;

    fn turn(line: &Arc<Line>, name: &str, priority: Priority, created_ms: u64) -> Turn {
        line.turn(&name.parse().expect("an id"), priority, created_ms)
    }

    #[test]
    fn the_oldest_is_next() {
        let line = Line::new(1);
        let mut first = turn(&line, "first", Priority::Normal, 10 * HOUR);
        let mut young = turn(&line, "young", Priority::Normal, 10 * HOUR + 2);
        let mut old = turn(&line, "old", Priority::Normal, 10 * HOUR + 1);
        first.take();
        young.take();
        old.take();
        assert!(first.is_under_way());
        young.take();
        assert_eq!((old.before(), young.before()), (Some(0), Some(1)));
        first.leave();
        young.take();
        assert!(!young.is_under_way(), "another one is before it");
        old.take();
        assert!(old.is_under_way());
        drop(old);
        young.take();
        assert!(young.is_under_way());
    }

    #[test]
    fn a_high_priority_overtakes_the_last_hour_and_not_more() {
        let line = Line::new(1);
        let mut under_way = turn(&line, "u", Priority::Normal, 0);
        under_way.take();
        let mut waits_long = turn(&line, "a", Priority::Normal, 10 * HOUR);
        let mut waits = turn(&line, "b", Priority::Normal, 10 * HOUR + HOUR / 2);
        let mut low = turn(&line, "c", Priority::Low, 10 * HOUR);
        let mut high = turn(&line, "d", Priority::High, 11 * HOUR + HOUR / 4);
        for turn in [&mut waits_long, &mut waits, &mut low, &mut high] {
            turn.take();
        }
        for turn in [&mut waits_long, &mut waits, &mut low, &mut high] {
            turn.take();
        }
        let before = [&waits_long, &high, &waits, &low].map(Turn::before);
        assert_eq!(before, [Some(0), Some(1), Some(2), Some(3)]);
    }

    #[test]
    fn who_waits_and_leaves_holds_up_nobody() {
        let line = Line::new(1);
        let mut first = turn(&line, "a", Priority::Normal, 1);
        let mut second = turn(&line, "b", Priority::Normal, 2);
        let mut third = turn(&line, "c", Priority::Normal, 3);
        first.take();
        second.take();
        third.take();
        first.leave();
        second.leave();
        third.take();
        assert!(third.is_under_way());
    }

    proptest! {
        #[test]
        fn no_more_than_the_places_and_no_place_stays_free(
            places in 1_usize..5,
            steps in prop::collection::vec((0_usize..12, any::<bool>()), 1..200),
        ) {
            let line = Line::new(places);
            let mut turns: Vec<Turn> = (0..12)
                .map(|at| turn(&line, &format!("r{at}"), Priority::Normal, at % 3))
                .collect();
            let mut wants = [false; 12];
            for (at, enters) in steps {
                wants[at] = enters;
                if enters { turns[at].take() } else { turns[at].leave() }
                let under_way = turns.iter().filter(|turn| turn.is_under_way()).count();
                prop_assert!(under_way <= places);
            }
            for (turn, _) in turns.iter_mut().zip(wants).filter(|(_, wants)| *wants) {
                turn.take();
            }
            for (turn, _) in turns.iter_mut().zip(wants).filter(|(_, wants)| *wants) {
                turn.take();
            }
            let under_way = turns.iter().filter(|turn| turn.is_under_way()).count();
            let wanting = wants.iter().filter(|wants| **wants).count();
            prop_assert_eq!(under_way, places.min(wanting));
        }
    }
}
