//! Divides the slots of the worker among the runs that are open.
//!
//! Each run gets slots by the weight of its priority; what one does not need goes to the others. A
//! run whose part shrinks keeps the slots that it is using until their targets are done. So that
//! targets that never answer cannot keep a newer run waiting, each run may use a few slots of a
//! spare eighth then, and one in any case. For a while up to nine eighths of the slots may be in
//! use, and one for each run.

use std::collections::BTreeMap;

use remuda_model::run::Priority;

/// The part of the slots that is spare.
const SPARE: u32 = 8;

/// A run, as long as it is open; later ones are greater.
pub(super) type Key = u64;

/// The slots of the worker.
///
/// Invariants: the parts add up to no more than the slots; every run that needs slots has a part
/// if there are as many slots as runs.
#[derive(Debug)]
pub(super) struct Shares {
    slots: u32,
    last_key: Key,
    runs: BTreeMap<Key, Run>,
    /// Over all runs, those included that have left.
    in_use: u32,
}

#[derive(Debug)]
struct Run {
    weight: u32,
    needs: u32,
    part: u32,
    in_use: u32,
}

impl Shares {
    /// So many slots, all free.
    pub(super) fn new(slots: u32) -> Self {
        Self { slots, last_key: 0, runs: BTreeMap::new(), in_use: 0 }
    }

    /// How many runs are open.
    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    /// How many slots are in use, those of runs that have left included.
    pub(super) fn in_use(&self) -> u32 {
        self.in_use
    }

    /// A run comes. It needs nothing yet.
    pub(super) fn join(&mut self, priority: Priority) -> Key {
        let weight = match priority {
            Priority::Low => 1,
            Priority::Normal => 4,
            Priority::High => 16,
        };
        self.last_key += 1;
        self.runs.insert(self.last_key, Run { weight, needs: 0, part: 0, in_use: 0 });
        self.last_key
    }

    /// A run could use so many slots now, those that it uses included. Tells whether parts changed.
    pub(super) fn need(&mut self, key: Key, needs: u32) -> bool {
        let Some(run) = self.runs.get_mut(&key) else { return false };
        if run.needs == needs {
            return false;
        }
        run.needs = needs;
        self.divide()
    }

    /// A run goes. The slots that it still uses come back one by one. Tells whether parts changed.
    pub(super) fn leave(&mut self, key: Key) -> bool {
        self.runs.remove(&key).is_some() && self.divide()
    }

    /// The part of a run.
    pub(super) fn part(&self, key: Key) -> u32 {
        self.runs.get(&key).map_or(0, |run| run.part)
    }

    /// Takes a slot for a run, if it may have one.
    pub(super) fn take(&mut self, key: Key) -> bool {
        let always = self.always();
        let is_free = self.in_use < self.slots;
        let has_spare = self.in_use < self.slots + self.slots / SPARE;
        let Some(run) = self.runs.get_mut(&key) else { return false };
        // One is never refused.
        let is_due = run.in_use == 0 || (has_spare && run.in_use < always);
        if run.in_use >= run.part || !(is_free || is_due) {
            return false;
        }
        run.in_use += 1;
        self.in_use += 1;
        true
    }

    /// Gives a slot back that was taken.
    pub(super) fn give_back(&mut self, key: Key) {
        self.in_use = self.in_use.saturating_sub(1);
        if let Some(run) = self.runs.get_mut(&key) {
            run.in_use = run.in_use.saturating_sub(1);
        }
    }

    /// How many slots of its part each run may use whatever others use, while there are spare ones.
    fn always(&self) -> u32 {
        let n_runs = u32::try_from(self.runs.len()).unwrap_or(u32::MAX).max(1);
        (self.slots / SPARE / n_runs).max(1)
    }

    fn divide(&mut self) -> bool {
        let mut asking: Vec<(Key, u32, u32)> = self
            .runs
            .iter()
            .filter(|(_, run)| run.needs > 0)
            .map(|(&key, run)| (key, run.weight, run.needs))
            .collect();
        // What is left over goes to the heaviest first, then to the oldest.
        asking.sort_by_key(|&(key, weight, _)| (std::cmp::Reverse(weight), key));
        let parts = divide(self.slots, &asking);
        let mut changed = false;
        for (key, run) in &mut self.runs {
            let part = parts.get(key).copied().unwrap_or(0);
            changed |= part != run.part;
            run.part = part;
        }
        changed
    }
}

/// Weighted max-min fair parts, at least 1 for each as far as there are slots, for (key, weight,
/// needs) in the order in which what cannot be split is given.
fn divide(slots: u32, asking: &[(Key, u32, u32)]) -> BTreeMap<Key, u32> {
    // One each; the rest by weight.
    let mut parts: BTreeMap<Key, u32> = BTreeMap::new();
    let mut rest = slots;
    for &(key, ..) in asking {
        let part = rest.min(1);
        parts.insert(key, part);
        rest -= part;
    }
    let mut open: Vec<(Key, u32, u32)> = asking.to_vec();
    open.retain(|&(.., needs)| needs > 1);
    loop {
        let weights: u64 = open.iter().map(|&(_, weight, _)| u64::from(weight)).sum();
        if weights == 0 || rest == 0 {
            return parts;
        }
        let fair = |weight: u32| {
            let fair = u64::from(rest) * u64::from(weight) / weights;
            u32::try_from(fair).unwrap_or(u32::MAX)
        };
        // Who needs no more than a fair part leaves the rest of it to the others.
        let (content, hungry): (Vec<_>, Vec<_>) =
            open.iter().partition(|&&(_, weight, needs)| needs - 1 <= fair(weight));
        if content.is_empty() {
            for &(key, weight, _) in &hungry {
                *parts.entry(key).or_default() += fair(weight);
            }
            let given: u32 = hungry.iter().map(|&(_, weight, _)| fair(weight)).sum();
            // Less than one for each is left, and each needs more than its fair part.
            for &(key, ..) in hungry.iter().take(usize::try_from(rest - given).unwrap_or(0)) {
                *parts.entry(key).or_default() += 1;
            }
            return parts;
        }
        for (key, _, needs) in content {
            *parts.entry(key).or_default() += needs - 1;
            rest -= needs - 1;
        }
        open = hungry;
    }
}

#[cfg(test)]
mod tests;
