//! How slots are divided.

use proptest::prelude::*;

use super::*;

fn shares(slots: u32, runs: &[(Priority, u32)]) -> (Shares, Vec<Key>) {
    let mut shares = Shares::new(slots);
    let keys = runs.iter().map(|&(priority, needs)| {
        let key = shares.join(priority);
        shares.need(key, needs);
        key
    });
    let keys = keys.collect();
    (shares, keys)
}

fn parts(slots: u32, runs: &[(Priority, u32)]) -> Vec<u32> {
    let (shares, keys) = shares(slots, runs);
    keys.into_iter().map(|key| shares.part(key)).collect()
}

#[test]
fn a_lone_run_has_what_it_needs_up_to_all_slots() {
    assert_eq!(parts(2_500, &[(Priority::Low, 10_000)]), [2_500]);
    assert_eq!(parts(2_500, &[(Priority::Low, 100)]), [100]);
    assert_eq!(parts(2_500, &[(Priority::Low, 0)]), [0]);
}

#[test]
fn equals_have_equal_parts() {
    assert_eq!(parts(2_500, &[(Priority::Normal, 9_000), (Priority::Normal, 5_000)]), [1250, 1250]);
}

#[test]
fn what_one_does_not_need_goes_to_the_others() {
    let runs = [(Priority::Normal, 100), (Priority::Normal, 9_000), (Priority::Normal, 9_000)];
    assert_eq!(parts(2_500, &runs), [100, 1_200, 1_200]);
}

#[test]
fn each_priority_has_four_times_the_next_lower() {
    let runs = [(Priority::Low, 9_000), (Priority::Normal, 9_000), (Priority::High, 9_000)];
    let parts = parts(2_103, &runs);
    assert_eq!(parts, [101, 401, 1_601]);
}

#[test]
fn a_run_may_begin_though_others_hold_every_slot() {
    let (mut shares, keys) = shares(80, &[(Priority::High, 1_000)]);
    let taken = (0..100).filter(|_| shares.take(keys[0])).count();
    assert_eq!(taken, 80, "a lone run has no more than the slots");
    let late = shares.join(Priority::Low);
    shares.need(late, 1_000);
    let taken = (0..100).filter(|_| shares.take(late)).count();
    assert_eq!(taken, 5, "its part of the spare eighth");
    shares.give_back(late);
    assert!(shares.take(late), "and again");
    for _ in 0..5 {
        shares.give_back(keys[0]);
    }
    assert!(!shares.take(keys[0]), "who has its whole part waits");
    assert!(!shares.take(late), "as it has its whole part now");
}

#[test]
fn slots_of_a_run_that_has_left_come_back_one_by_one() {
    let (mut shares, keys) = shares(2, &[(Priority::Normal, 2), (Priority::Normal, 2)]);
    assert!(shares.take(keys[0]) && !shares.take(keys[0]));
    assert!(shares.leave(keys[0]));
    assert_eq!(shares.part(keys[1]), 2);
    assert!(shares.take(keys[1]) && !shares.take(keys[1]), "the other slot is still in use");
    shares.give_back(keys[0]);
    assert!(shares.take(keys[1]));
}

fn priority() -> impl Strategy<Value = Priority> {
    prop_oneof![Just(Priority::Low), Just(Priority::Normal), Just(Priority::High)]
}

#[derive(Clone, Debug)]
enum Step {
    Join(Priority),
    Need(usize, u32),
    Leave(usize),
    Take(usize),
    GiveBack(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => priority().prop_map(Step::Join),
        3 => (0..8_usize, 0..60_u32).prop_map(|(run, needs)| Step::Need(run, needs)),
        1 => (0..8_usize).prop_map(Step::Leave),
        8 => (0..8_usize).prop_map(Step::Take),
        4 => (0..8_usize).prop_map(Step::GiveBack),
    ]
}

proptest! {
    #[test]
    fn parts_are_fair(
        slots in 1_u32..5_000,
        runs in prop::collection::vec((priority(), 0_u32..6_000), 0..40),
    ) {
        let parts = parts(slots, &runs);
        let total: u64 = parts.iter().copied().map(u64::from).sum();
        let needed: u64 = runs.iter().map(|&(_, needs)| u64::from(needs)).sum();
        prop_assert_eq!(total, needed.min(u64::from(slots)), "nothing is left idle");
        let n_asking = runs.iter().filter(|(_, needs)| *needs > 0).count();
        for (&part, &(priority, needs)) in parts.iter().zip(&runs) {
            prop_assert!(part <= needs);
            if needs > 0 && n_asking <= slots as usize {
                prop_assert!(part >= 1, "nobody starves");
            }
            // Who has less than it needs has no less than any other of its weight or below.
            if part < needs {
                for (&other, &(theirs, _)) in parts.iter().zip(&runs) {
                    if theirs <= priority {
                        prop_assert!(other <= part + 1, "{parts:?} for {runs:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn whatever_happens_the_slots_are_kept(
        slots in 1_u32..100,
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let mut shares = Shares::new(slots);
        // For each run that ever was: its key, whether it is there, what it uses.
        let mut runs: Vec<(Key, bool, u32)> = Vec::new();
        for step in steps {
            match step {
                Step::Join(priority) if runs.len() < 8 => {
                    runs.push((shares.join(priority), true, 0));
                }
                Step::Join(_) => (),
                Step::Need(run, needs) => {
                    if let Some(&(key, ..)) = runs.get(run) {
                        shares.need(key, needs);
                    }
                }
                Step::Leave(run) => {
                    if let Some((key, is_there, _)) = runs.get_mut(run) {
                        shares.leave(*key);
                        *is_there = false;
                    }
                }
                Step::Take(run) => {
                    if let Some((key, is_there, in_use)) = runs.get_mut(run) {
                        let part = shares.part(*key);
                        let taken = shares.take(*key);
                        prop_assert!(!taken || (*is_there && *in_use < part));
                        // The first slot of a part is never refused.
                        prop_assert!(taken || *in_use > 0 || part == 0);
                        *in_use += u32::from(taken);
                    }
                }
                Step::GiveBack(run) => {
                    if let Some((key, _, in_use @ 1..)) = runs.get_mut(run) {
                        shares.give_back(*key);
                        *in_use -= 1;
                    }
                }
            }
            let parts: u32 = runs.iter().map(|&(key, ..)| shares.part(key)).sum();
            prop_assert!(parts <= slots);
            let in_use: u32 = runs.iter().map(|&(.., in_use)| in_use).sum();
            prop_assert_eq!(shares.in_use, in_use);
            // The spare eighth, and one for each of the eight.
            prop_assert!(in_use <= slots + slots / SPARE + 8);
        }
    }
}
