//! Gathers targets in their order, each once, up to the most that a run may have.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
};

use super::{Place, TargetErrors, csv, json, lines};
use crate::target::{MAX_TARGETS, Target, TargetError};

/// The most hosts that are made of ranges and networks, duplicates included.
///
/// A short text can name the same million targets a thousand times.
pub const MAX_RANGED: u64 = 2 * MAX_TARGETS as u64;

/// Targets in the order in which they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetSet {
    /// Each once: no two have the same host and the same variables.
    pub targets: Vec<Target>,
    /// How many were left out because they were there already.
    pub duplicates: u64,
}

/// Gathers targets from one or several sources.
#[derive(Debug, Default)]
pub struct Collector {
    targets: Vec<Target>,
    /// Where in `targets` one with this hash is; the next free number if another has that hash.
    places: HashMap<u64, u32, BuildHasherDefault<DefaultHasher>>,
    duplicates: u64,
    /// How many hosts were made of ranges.
    ranged: u64,
    errors: TargetErrors,
    full: bool,
}

impl Collector {
    /// Reads arguments as [`from_words`](super::from_words).
    pub fn words(&mut self, words: &[String]) {
        for (at, word) in (1..).zip(words) {
            lines::read(self, Place::Argument(at), word);
        }
    }

    /// Reads lines as [`from_lines`](super::from_lines).
    pub fn lines(&mut self, text: &str) {
        for (at, line) in (1..).zip(without_mark(text).lines()) {
            lines::read(self, Place::Line(at), line);
        }
    }

    /// Reads a table as [`from_csv`](super::from_csv).
    pub fn csv(&mut self, text: &str, host_column: Option<&str>) {
        csv::read(self, without_mark(text), host_column);
    }

    /// Reads a list as [`from_json`](super::from_json).
    pub fn json(&mut self, text: &str, path: Option<&str>) {
        json::read(self, without_mark(text), path);
    }

    /// Reads a line as [`Target::to_line`] writes it; blank lines are passed over.
    pub fn canonical(&mut self, number: u64, line: &str) {
        if !line.trim().is_empty() {
            self.add(Place::Line(number), Target::parse_line(line));
        }
    }

    /// Whether no more targets are taken, so that reading on is of no use.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// All targets, or all that is wrong.
    ///
    /// # Errors
    ///
    /// Tells what is wrong where.
    pub fn finish(self) -> Result<TargetSet, TargetErrors> {
        if self.errors.is_empty() {
            Ok(TargetSet { targets: self.targets, duplicates: self.duplicates })
        } else {
            Err(self.errors)
        }
    }

    /// Takes a target, or notes what is wrong with it. Says whether it could be one.
    pub(super) fn add(&mut self, place: Place, target: Result<Target, TargetError>) -> bool {
        match target {
            Ok(target) => {
                self.push(place, target);
                true
            }
            Err(error) => {
                self.wrong(place, error);
                false
            }
        }
    }

    pub(super) fn wrong(&mut self, place: Place, reason: impl std::fmt::Display) {
        if !self.full {
            self.errors.add(place, reason);
        }
    }

    /// Whether a range of so many hosts may be made; notes that it may not otherwise, and takes no
    /// more targets.
    pub(super) fn has_room(&mut self, place: Place, more: u128) -> bool {
        let all = u128::from(self.ranged).saturating_add(more);
        match u64::try_from(all) {
            _ if more > MAX_TARGETS as u128 => self.overflow(place, MAX_TARGETS as u64),
            Ok(all) if all <= MAX_RANGED => self.ranged = all,
            _ => self.overflow(place, MAX_RANGED),
        }
        !self.full
    }

    fn push(&mut self, place: Place, target: Target) {
        // With something wrong nothing is returned: what is kept would only cost memory.
        if self.full || !self.errors.is_empty() {
            return;
        }
        let mut hash = self.places.hasher().hash_one(&target);
        loop {
            match self.places.entry(hash) {
                Entry::Vacant(free) if self.targets.len() < MAX_TARGETS => {
                    free.insert(u32::try_from(self.targets.len()).unwrap_or(u32::MAX));
                    self.targets.push(target);
                    return;
                }
                Entry::Vacant(_) => return self.overflow(place, MAX_TARGETS as u64),
                Entry::Occupied(taken) => {
                    if self.targets[*taken.get() as usize] == target {
                        self.duplicates += 1;
                        return;
                    }
                    hash = hash.wrapping_add(1);
                }
            }
        }
    }

    fn overflow(&mut self, place: Place, most: u64) {
        self.wrong(place, format_args!("more than {most} targets"));
        self.full = true;
        self.targets = Vec::new();
        self.places = HashMap::default();
    }
}

/// Without the mark that some editors put before a text.
fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}
