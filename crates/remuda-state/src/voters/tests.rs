//! Plans for clusters in all conditions.

use proptest::prelude::*;

use super::*;
use crate::testing::id;

/// `+a` is active, `-a` is not; then the present voters.
fn check(controls: &str, voters: &str, expected: &str) {
    let controls: Vec<(NodeId, bool)> =
        controls.split_whitespace().map(|word| (id(&word[1..]), word.starts_with('+'))).collect();
    let set = |text: &str| text.split_whitespace().map(id).collect::<BTreeSet<NodeId>>();
    assert_eq!(plan(&controls, &set(voters)), set(expected), "{controls:?} with {voters}");
}

#[test]
fn one_three_or_five_vote() {
    check("+a", "a", "a");
    check("+a +b", "a", "a");
    check("+a +b +c", "a", "a b c");
    check("+a +b +c +d", "a b c", "a b c");
    check("+a +b +c +d +e", "a b c", "a b c d e");
    check("+a +b +c +d +e +f +g", "a b c", "a b c d e");
}

#[test]
fn present_voters_stay() {
    check("+a +b +c +d", "b c d", "b c d");
    check("+a +b", "b", "b");
}

#[test]
fn a_dead_voter_is_replaced_when_somebody_can() {
    check("+a +b -c", "a b c", "a b c");
    check("+a +b -c +d", "a b c", "a b d");
    check("+a +b -c -d +e", "a b c d e", "a b c d e");
    check("+a +b -c -d +e +f", "a b c d e", "a b c e f");
}

#[test]
fn a_removed_voter_is_dropped() {
    check("+a +b", "a b c", "a");
    check("+a +b +d", "a b c", "a b d");
    check("+a +b +c +d", "a b c d e", "a b c");
}

#[test]
fn a_node_that_is_not_active_yet_gets_no_vote() {
    check("+a +b -c", "a", "a");
}

#[test]
fn without_candidates_nothing_changes() {
    check("", "a b c", "a b c");
    check("-x", "a", "a");
}

proptest! {
    #[test]
    fn plans_are_odd_known_and_stable(
        controls in proptest::collection::btree_map(0_u8..9, any::<bool>(), 0..8),
        voters in proptest::collection::btree_set(0_u8..9, 1..6),
    ) {
        let name = |n: &u8| id(&format!("n{n}"));
        let controls: Vec<(NodeId, bool)> = controls.iter().map(|(n, on)| (name(n), *on)).collect();
        let voters: BTreeSet<NodeId> = voters.iter().map(name).collect();
        let planned = plan(&controls, &voters);
        prop_assert_eq!(&plan(&controls, &planned), &planned);
        let known = |node: &NodeId| controls.iter().any(|(other, _)| other == node);
        if controls.iter().any(|(node, on)| *on || voters.contains(node)) {
            prop_assert!(planned.len() % 2 == 1 && planned.len() <= MAX_VOTERS);
            prop_assert!(planned.iter().all(known));
        }
        // Nobody without a vote is passed over for a dead one.
        let is_active = |node: &NodeId| controls.contains(&(node.clone(), true));
        if planned.iter().any(|node| known(node) && !is_active(node)) {
            prop_assert!(controls.iter().all(|(node, on)| !on || planned.contains(node)));
        }
    }
}
