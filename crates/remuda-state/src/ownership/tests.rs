//! Who owns what, for ever.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::testing::{id, ids};

#[test]
fn weights_and_owners_never_change() {
    // Computed apart from this code: sha256(be64(len(worker)) + worker + control)[..8].
    assert_eq!(weight(&id("w1"), &id("c1")), 0xf1cb_6827_b0bf_606c);
    let controls = ids(&["c1", "c2", "c3"]);
    let owners: Vec<String> =
        (1..=8).map(|n| owner_of(&id(&format!("w{n}")), &controls).unwrap().to_string()).collect();
    assert_eq!(owners, ["c1", "c2", "c1", "c1", "c3", "c1", "c3", "c2"]);
}

#[test]
fn names_that_read_the_same_when_joined_differ() {
    assert_ne!(weight(&id("ab"), &id("c")), weight(&id("a"), &id("bc")));
}

#[test]
fn nobody_owns_without_control_nodes() {
    assert_eq!(owner_of(&id("w"), &[]), None);
    assert!(ranked(&id("w"), &[]).is_empty());
}

#[test]
fn load_is_spread() {
    let controls = ids(&["c1", "c2", "c3", "c4", "c5"]);
    let mut loads = BTreeMap::new();
    for n in 0..1000 {
        *loads.entry(owner_of(&id(&format!("w{n}")), &controls)).or_insert(0) += 1;
    }
    assert_eq!(loads.len(), 5);
    assert!(loads.values().all(|load| (150..=250).contains(load)), "{loads:?}");
}

fn names() -> impl Strategy<Value = Vec<NodeId>> {
    proptest::collection::btree_set("[a-z]{1,3}", 1..6)
        .prop_map(|names| names.iter().map(|name| id(name)).collect())
}

proptest! {
    #[test]
    fn a_node_that_joins_takes_and_one_that_leaves_gives_only_its_own(
        all in names(), workers in names(), at in any::<prop::sample::Index>(),
    ) {
        let one = at.get(&all).clone();
        let rest: Vec<NodeId> = all.iter().filter(|node| **node != one).cloned().collect();
        for worker in &workers {
            let (with, without) = (owner_of(worker, &all), owner_of(worker, &rest));
            prop_assert!(with == without || with.as_ref() == Some(&one));
            let follower = ranked(worker, &all).into_iter().find(|node| *node != one);
            prop_assert_eq!(without, follower);
        }
    }

    #[test]
    fn the_owner_is_the_first_whatever_the_order(controls in names(), worker in "[a-z]{1,3}") {
        let worker = id(&worker);
        let ranked_controls = ranked(&worker, &controls);
        let owner = owner_of(&worker, &controls);
        prop_assert_eq!(owner.as_ref(), ranked_controls.first());
        let mut reversed = controls.clone();
        reversed.reverse();
        prop_assert_eq!(owner_of(&worker, &reversed), owner_of(&worker, &controls));
        prop_assert_eq!(ranked_controls.len(), controls.len());
    }
}
