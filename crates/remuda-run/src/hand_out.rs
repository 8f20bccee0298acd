//! Which target goes to which worker, and that each ends with one record.
//!
//! Targets are numbered. With several sites ("from each region") each target is contacted once from
//! each: number `target × sites + site` is the contact from that site.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque, btree_map::Entry};

use remuda_model::NodeId;

use crate::Bits;

/// How often a contact is given to another worker after its own was lost. Something that takes
/// workers down must not wander through the whole cluster.
const MAX_LOSSES: u8 = 3;
/// The least that a worker is given at a time, however little is left.
const LEAST: u32 = 8;

/// Which target goes to which worker. Pure: who is there and what they say comes from outside.
#[derive(Debug)]
pub struct HandOut {
    total: u32,
    left: u32,
    at_most_once: bool,
    done: Bits,
    sites: Vec<Site>,
    workers: BTreeMap<NodeId, Worker>,
    losses: HashMap<u32, u8>,
}

/// The contacts of a site that nobody has.
#[derive(Debug, Default)]
struct Site {
    /// The first target that was never given.
    fresh: u32,
    /// Came back from workers that were lost.
    again: VecDeque<u32>,
    workers: u32,
}

#[derive(Debug)]
struct Worker {
    site: u32,
    has: HashSet<u32>,
    wants: u32,
}

/// What a lost worker leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Contacts whose outcome nobody will know; they are done now.
    pub unknown: Vec<u32>,
    /// How many are given to others.
    pub again: u32,
}

impl HandOut {
    /// So many targets, each from so many sites (1 without `from_each`). With `at_most_once`
    /// nothing that was given is given again.
    ///
    /// # Panics
    ///
    /// When there are more contacts than numbers, which limits elsewhere exclude.
    pub fn new(targets: u32, sites: u32, at_most_once: bool) -> Self {
        let sites = sites.max(1);
        let total = targets.checked_mul(sites).expect("few enough contacts");
        Self {
            total,
            left: total,
            at_most_once,
            done: Bits::new(total),
            sites: (0..sites).map(|_| Site::default()).collect(),
            workers: BTreeMap::new(),
            losses: HashMap::new(),
        }
    }

    /// How many contacts there are.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// How many have no record yet.
    pub fn left(&self) -> u32 {
        self.left
    }

    /// How many are with workers.
    pub fn given(&self) -> u32 {
        self.workers.values().map(|worker| count(worker.has.len())).sum()
    }

    /// Whether the contact has its record.
    pub fn is_done(&self, index: u32) -> bool {
        self.done.has(index)
    }

    /// The contacts that have no record.
    pub fn open(&self) -> impl Iterator<Item = u32> {
        (0..self.total).filter(|index| !self.done.has(*index))
    }

    /// A contact has its record, from an earlier time or because it is given up. Returns whether it
    /// had none.
    pub fn settle(&mut self, index: u32) -> bool {
        if index >= self.total || !self.done.set(index) {
            return false;
        }
        self.left -= 1;
        for worker in self.workers.values_mut() {
            worker.has.remove(&index);
        }
        true
    }

    /// A worker of a site takes part.
    pub fn join(&mut self, worker: NodeId, site: u32) {
        let Some(at) = self.sites.get_mut(site as usize) else { return };
        if let Entry::Vacant(place) = self.workers.entry(worker) {
            at.workers += 1;
            place.insert(Worker { site, has: HashSet::new(), wants: 0 });
        }
    }

    /// A worker takes so many more.
    pub fn want(&mut self, worker: &NodeId, more: u32) {
        if let Some(worker) = self.workers.get_mut(worker) {
            worker.wants = worker.wants.saturating_add(more);
        }
    }

    /// What a worker is to contact next: at most what it takes, and less towards the end, so that
    /// all workers end at about the same time (guided self-scheduling, Polychronopoulos and Kuck
    /// 1987).
    pub fn give(&mut self, worker: &NodeId) -> Vec<u32> {
        let sites = count(self.sites.len());
        let Some(worker) = self.workers.get_mut(worker) else { return Vec::new() };
        let targets = self.total / sites;
        let at = &mut self.sites[worker.site as usize];
        let free = targets - at.fresh + count(at.again.len());
        let fair = (free / (2 * at.workers.max(1))).max(LEAST);
        let mut given = Vec::new();
        while count(given.len()) < worker.wants.min(fair) {
            let target = match at.again.pop_front() {
                Some(index) => index,
                None if at.fresh < targets => {
                    at.fresh += 1;
                    (at.fresh - 1) * sites + worker.site
                }
                None => break,
            };
            if !self.done.has(target) {
                worker.has.insert(target);
                given.push(target);
            }
        }
        worker.wants -= count(given.len());
        given
    }

    /// A worker brings the record of a contact. Returns whether it is the first.
    pub fn record(&mut self, worker: &NodeId, index: u32) -> bool {
        if let Some(worker) = self.workers.get_mut(worker) {
            worker.has.remove(&index);
        }
        self.settle(index)
    }

    /// A worker is lost, or leaves. What it had and brought no record of goes to others, or is
    /// given up.
    pub fn lose(&mut self, worker: &NodeId) -> Left {
        let Some(gone) = self.workers.remove(worker) else { return Left::default() };
        let at = &mut self.sites[gone.site as usize];
        at.workers -= 1;
        let mut has: Vec<u32> =
            gone.has.into_iter().filter(|index| !self.done.has(*index)).collect();
        has.sort_unstable();
        let mut left = Left::default();
        for index in has {
            let losses = self.losses.entry(index).or_default();
            *losses += 1;
            if self.at_most_once || *losses >= MAX_LOSSES {
                left.unknown.push(index);
            } else {
                at.again.push_back(index);
                left.again += 1;
            }
        }
        for index in &left.unknown {
            self.settle(*index);
        }
        left
    }

    /// A worker leaves before it was sent these: they were not contacted.
    pub fn take_back(&mut self, worker: &NodeId, indices: &[u32]) {
        let Some(from) = self.workers.get_mut(worker) else { return };
        let at = &mut self.sites[from.site as usize];
        for index in indices {
            if from.has.remove(index) {
                at.again.push_back(*index);
            }
        }
    }
}

/// The length of something that has at most as many parts as there are contacts.
fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn node(number: u8) -> NodeId {
        format!("w{number}").parse().expect("a name")
    }

    #[derive(Clone, Debug)]
    enum Step {
        Join(u8),
        Want(u8, u32),
        Give(u8),
        Record(u8, prop::sample::Index),
        Lose(u8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0..4_u8).prop_map(Step::Join),
            (0..4_u8, 0..50_u32).prop_map(|(worker, more)| Step::Want(worker, more)),
            (0..4_u8).prop_map(Step::Give),
            (0..4_u8, any::<prop::sample::Index>())
                .prop_map(|(worker, at)| Step::Record(worker, at)),
            (0..4_u8).prop_map(Step::Lose),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn each_contact_ends_once_whatever_happens(
            steps in steps(), targets in 0..60_u32, sites in 1..3_u32, at_most_once: bool,
        ) {
            let mut hand_out = HandOut::new(targets, sites, at_most_once);
            let mut has: BTreeMap<u8, Vec<u32>> = BTreeMap::new();
            let mut ended = HashSet::new();
            let mut given_ever = HashSet::new();
            let end = |hand_out: &mut HandOut, has: &mut BTreeMap<u8, Vec<u32>>, step: Step,
                           ended: &mut HashSet<u32>, given_ever: &mut HashSet<u32>| {
                match step {
                    Step::Join(worker) => hand_out.join(node(worker), u32::from(worker) % sites),
                    Step::Want(worker, more) => hand_out.want(&node(worker), more),
                    Step::Give(worker) => {
                        for index in hand_out.give(&node(worker)) {
                            let first = given_ever.insert(index);
                            assert!(first || !at_most_once, "{index} was given twice");
                            assert_eq!(index % sites, u32::from(worker) % sites);
                            assert!(!ended.contains(&index));
                            has.entry(worker).or_default().push(index);
                        }
                    }
                    Step::Record(worker, at) => {
                        let theirs = has.entry(worker).or_default();
                        if !theirs.is_empty() {
                            let index = theirs.swap_remove(at.index(theirs.len()));
                            if hand_out.record(&node(worker), index) {
                                assert!(ended.insert(index), "{index} ended twice");
                            }
                        }
                    }
                    Step::Lose(worker) => {
                        has.remove(&worker);
                        for index in hand_out.lose(&node(worker)).unknown {
                            assert!(ended.insert(index), "{index} ended twice");
                        }
                    }
                }
            };
            for step in steps {
                end(&mut hand_out, &mut has, step, &mut ended, &mut given_ever);
                prop_assert_eq!(hand_out.left() as usize, hand_out.total() as usize - ended.len());
            }
            // From now on all goes well.
            for worker in 0..4 {
                end(&mut hand_out, &mut has, Step::Lose(worker), &mut ended, &mut given_ever);
                end(&mut hand_out, &mut has, Step::Join(worker), &mut ended, &mut given_ever);
                end(&mut hand_out, &mut has, Step::Want(worker, u32::MAX), &mut ended, &mut given_ever);
            }
            for _ in 0..=targets {
                for worker in 0..4 {
                    for index in hand_out.give(&node(worker)) {
                        prop_assert!(hand_out.record(&node(worker), index));
                        prop_assert!(ended.insert(index));
                    }
                }
            }
            prop_assert_eq!(hand_out.left(), 0);
            prop_assert_eq!(ended.len(), (targets * sites) as usize);
            prop_assert_eq!(hand_out.open().count(), 0);
        }
    }

    #[test]
    fn what_takes_workers_down_is_given_up() {
        let mut hand_out = HandOut::new(1, 1, false);
        for attempt in 1..=MAX_LOSSES {
            hand_out.join(node(attempt), 0);
            hand_out.want(&node(attempt), 1);
            assert_eq!(hand_out.give(&node(attempt)), [0]);
            let left = hand_out.lose(&node(attempt));
            assert_eq!(left.unknown.is_empty(), attempt < MAX_LOSSES);
        }
        assert_eq!(hand_out.left(), 0);
    }

    #[test]
    fn a_worker_that_wants_all_leaves_something_to_others() {
        let mut hand_out = HandOut::new(1000, 1, false);
        for worker in [1, 2] {
            hand_out.join(node(worker), 0);
            hand_out.want(&node(worker), 1000);
        }
        assert_eq!(hand_out.give(&node(1)).len(), 250);
        assert_eq!(hand_out.give(&node(2)).len(), 187);
    }

    #[test]
    fn what_was_not_sent_may_be_given_again() {
        let mut hand_out = HandOut::new(2, 1, true);
        hand_out.join(node(1), 0);
        hand_out.want(&node(1), 2);
        let given = hand_out.give(&node(1));
        hand_out.take_back(&node(1), &given[..1]);
        assert_eq!(hand_out.lose(&node(1)).unknown, given[1..]);
        hand_out.join(node(2), 0);
        hand_out.want(&node(2), 2);
        assert_eq!(hand_out.give(&node(2)), given[..1]);
    }
}
