//! What is different between two runs, host by host.

use std::collections::BTreeMap;

use remuda_model::run::{Outcome, Record, TroubleKind};
use serde::{Deserialize, Serialize};

use crate::Target;

/// The end of a chain of entries.
const NONE: u32 = u32::MAX;

/// Takes the records of the earlier run, one at a time and in their order. Remembers about 100 bytes
/// of each.
#[derive(Clone, Debug)]
pub struct Before {
    most: usize,
    /// For each host its first and last entry that has no partner. The same host may be the target
    /// several times, with other variables: then they are compared in their order.
    hosts: BTreeMap<Box<str>, (u32, u32)>,
    entries: Vec<Entry>,
}

/// Takes the records of the later run, one at a time and in their order.
#[derive(Clone, Debug)]
pub struct After {
    before: Before,
    diff: Diff,
}

#[derive(Clone, Debug)]
struct Entry {
    side: Side,
    answer: Answer,
    next: u32,
}

/// What tells an answer from another.
type Answer = [u8; 16];

/// What is different between two runs. Every target of either is counted once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diff {
    /// Hosts that only the earlier run has.
    pub only_before: Listed<Box<str>>,
    /// Hosts that only the later run has.
    pub only_after: Listed<Box<str>>,
    /// Targets that ended otherwise.
    pub outcome: Listed<Changed>,
    /// Targets that ended alike, with another trouble.
    pub trouble: Listed<Changed>,
    /// Targets that differ in their status or exit code only, or also in the answer.
    pub status: Listed<Changed>,
    /// Targets whose answer only is another: the body or the standard error.
    pub answer: Listed<Changed>,
    /// How many targets did the same.
    pub unchanged: u64,
}

/// How many there are, and the first ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed<T> {
    /// How many there are, also of those that are not in `first`.
    pub count: u64,
    /// The first ones.
    pub first: Vec<T>,
}

/// A target that did something else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The target.
    pub host: Box<str>,
    /// In the earlier run.
    pub before: Side,
    /// In the later run.
    pub after: Side,
}

/// What a target did in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// How it ended.
    pub outcome: Outcome,
    /// What went wrong.
    pub trouble: Option<TroubleKind>,
    /// The status or exit code.
    pub status: Option<i32>,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self { count: 0, first: Vec::new() }
    }
}

impl<T> Listed<T> {
    fn add(&mut self, most: usize, item: impl FnOnce() -> T) {
        self.count += 1;
        if self.first.len() < most {
            self.first.push(item());
        }
    }
}

impl Before {
    /// A comparison that names at most so many targets of each sort; all are counted.
    pub fn new(most: usize) -> Self {
        Self { most, hosts: BTreeMap::new(), entries: Vec::new() }
    }

    /// Takes a record of the earlier run.
    ///
    /// More than four thousand million are not remembered; a run has at most a million.
    pub fn add(&mut self, target: &Target, record: &Record) {
        let Some(at) = u32::try_from(self.entries.len()).ok().filter(|&at| at != NONE) else {
            return;
        };
        let (side, answer) = (Side::of(record), answer(record));
        self.entries.push(Entry { side, answer, next: NONE });
        if let Some((_, last)) = self.hosts.get_mut(&target.host) {
            self.entries[*last as usize].next = at;
            *last = at;
        } else {
            self.hosts.insert(target.host.clone(), (at, at));
        }
    }

    /// Goes on to the later run.
    pub fn then(self) -> After {
        After { before: self, diff: Diff::default() }
    }

    /// The next entry of a host that has no partner yet.
    fn take(&mut self, host: &str) -> Option<&Entry> {
        let place = self.hosts.get_mut(host)?;
        let entry = &self.entries[place.0 as usize];
        if entry.next == NONE {
            self.hosts.remove(host);
        } else {
            place.0 = entry.next;
        }
        Some(entry)
    }
}

impl After {
    /// Takes a record of the later run.
    pub fn add(&mut self, target: &Target, record: &Record) {
        let Self { before, diff } = self;
        let most = before.most;
        let host = &target.host;
        let Some(entry) = before.take(host) else {
            return diff.only_after.add(most, || host.clone());
        };
        let (was, is) = (entry.side, Side::of(record));
        let list = if was.outcome != is.outcome {
            &mut diff.outcome
        } else if was.trouble != is.trouble {
            &mut diff.trouble
        } else if was.status != is.status {
            &mut diff.status
        } else if entry.answer != answer(record) {
            &mut diff.answer
        } else {
            diff.unchanged += 1;
            return;
        };
        list.add(most, || Changed { host: host.clone(), before: was, after: is });
    }

    /// What is different. The hosts that only the earlier run has are in the order of their names,
    /// everything else in the order of the later run.
    pub fn finish(self) -> Diff {
        let Self { before, mut diff } = self;
        for (host, (first, _)) in &before.hosts {
            let mut at = *first;
            while let Some(entry) = before.entries.get(at as usize) {
                diff.only_before.add(before.most, || host.clone());
                at = entry.next;
            }
        }
        diff
    }
}

impl Side {
    fn of(record: &Record) -> Self {
        let trouble = record.trouble.as_ref().map(|trouble| trouble.kind);
        Self { outcome: record.outcome, trouble, status: record.status }
    }
}

fn answer(record: &Record) -> Answer {
    let mut hasher = blake3::Hasher::new();
    // With the length, so that what moves from one to the other is a difference.
    hasher.update(&(record.body.len() as u64).to_le_bytes());
    hasher.update(&record.body);
    hasher.update(&record.stderr);
    let mut answer = Answer::default();
    hasher.finalize_xof().fill(&mut answer);
    answer
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use remuda_model::run::Trouble;

    use super::*;

    /// Host, status, body.
    type Told<'a> = (&'a str, i32, &'a str);

    fn diff(before: &[Told<'_>], after: &[Told<'_>], most: usize) -> Diff {
        let record = |&(host, status, body): &Told<'_>| {
            let kind = if status < 0 { TroubleKind::Dns } else { TroubleKind::Status };
            let outcome = match status {
                200..=299 => Outcome::Ok,
                300.. => Outcome::Unexpected,
                _ => Outcome::Failed,
            };
            let mut record = Record::without_answer(0, outcome, Trouble::new(kind, ""));
            record.status = (status > 0).then_some(status);
            record.body = body.as_bytes().to_vec();
            (Target::plain(host).expect("a host"), record)
        };
        let mut first = Before::new(most);
        for (target, record) in before.iter().map(record) {
            first.add(&target, &record);
        }
        let mut second = first.then();
        for (target, record) in after.iter().map(record) {
            second.add(&target, &record);
        }
        second.finish()
    }

    #[test]
    fn each_target_is_counted_for_its_largest_difference() {
        let before = [
            ("same", 200, "x"),
            ("gone", 200, ""),
            ("broken", 200, ""),
            ("worse", 0, ""),
            ("status", 500, "x"),
            ("body", 200, "x"),
        ];
        let after = [
            ("body", 200, "y"),
            ("same", 200, "x"),
            ("broken", 500, ""),
            ("worse", -1, ""),
            ("status", 503, "y"),
            ("new", 200, ""),
        ];
        let diff = diff(&before, &after, 10);
        let hosts = |list: &Listed<Changed>| {
            assert_eq!(list.count, list.first.len() as u64);
            list.first.iter().map(|changed| changed.host.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(diff.only_before.first, ["gone".into()]);
        assert_eq!(diff.only_after.first, ["new".into()]);
        assert_eq!(hosts(&diff.outcome), ["broken"]);
        assert_eq!(hosts(&diff.trouble), ["worse"]);
        assert_eq!(hosts(&diff.status), ["status"]);
        assert_eq!(hosts(&diff.answer), ["body"]);
        assert_eq!(diff.unchanged, 1);
        let changed = &diff.outcome.first[0];
        assert_eq!(
            (changed.before.outcome, changed.after.outcome),
            (Outcome::Ok, Outcome::Unexpected)
        );
    }

    #[test]
    fn lists_are_short_and_counts_are_right() {
        let hosts: Vec<String> = (0..50).map(|at| format!("h{at:02}")).collect();
        let before: Vec<Told<'_>> = hosts.iter().map(|host| (&**host, 200, "")).collect();
        let diff = diff(&before, &[], 3);
        assert_eq!(diff.only_before.count, 50);
        assert_eq!(diff.only_before.first, ["h00".into(), "h01".into(), "h02".into()]);
    }

    #[test]
    fn the_same_host_again_is_compared_in_order() {
        let before = [("a", 200, "1"), ("a", 200, "2"), ("a", 200, "3")];
        let diff = diff(&before, &[("a", 200, "1"), ("a", 200, "x")], 9);
        assert_eq!((diff.unchanged, diff.answer.count, diff.only_before.count), (1, 1, 1));
    }

    proptest! {
        #[test]
        fn every_target_is_counted_once(
            before in vec((0..9_usize, 199..202_i32), 0..30),
            after in vec((0..9_usize, 199..202_i32), 0..30),
        ) {
            let hosts = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
            let told = |list: &[(usize, i32)]| -> Vec<Told<'static>> {
                list.iter().map(|&(host, status)| (hosts[host], status, "")).collect()
            };
            let (before, after) = (told(&before), told(&after));
            let found = diff(&before, &after, 1);
            let both = found.unchanged
                + [&found.outcome, &found.trouble, &found.status, &found.answer]
                    .map(|list| list.count).iter().sum::<u64>();
            prop_assert_eq!(both + found.only_before.count, before.len() as u64);
            prop_assert_eq!(both + found.only_after.count, after.len() as u64);
            prop_assert_eq!(diff(&before, &before, 1).unchanged, before.len() as u64);
        }
    }
}
