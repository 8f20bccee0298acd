//! The faults of the catalogue happen, some of them often, with all that is checked after each;
//! `cargo xtask faults` repeats them.

use std::path::PathBuf;

use remuda_e2e::{
    faults::{Options, Report, find, run},
    in_private_network,
};

fn reports(names: &[&str], rounds: u32, seed: u64) -> Vec<Report> {
    let scenarios = names.iter().map(|name| find(name).expect("known")).collect();
    let evidence = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("faults");
    let options = Options { scenarios, rounds, seed, operations: 0, evidence };
    in_private_network(|| run(&options, |_| {}))
}

fn pass(names: &[&str], rounds: u32, seed: u64) {
    for report in reports(names, rounds, seed) {
        assert_eq!(report.failure, None, "{}", report.name);
        assert_eq!(report.rounds.len(), rounds as usize, "{}", report.name);
        for round in &report.rounds {
            assert!(round.acked > 0 && round.answered > 0 && round.checked > 0, "{round:#?}");
            assert!(!round.faults.is_empty(), "{round:#?}");
        }
    }
}

#[test]
fn processes_in_namespaces_die_and_stand_still() {
    pass(&["leader-kill", "owner-kill", "agent-kill"], 10, 1);
    pass(&["all-kill"], 3, 1);
    pass(&["pause"], 1, 1);
}

#[test]
fn namespaces_part_and_come_together() {
    // Without `torn-log`: a follower that has lost what it acknowledged trips an assertion that the
    // consensus library makes in debug builds only. `cargo xtask faults` builds for release.
    pass(&["partition"], 6, 1);
    pass(&["one-way", "half-open", "corrupt"], 1, 1);
}

#[test]
fn power_is_cut_in_namespaces_with_disks_of_their_own() {
    pass(&["power-cut"], 3, 2);
}

#[test]
fn disks_that_lie_in_namespaces_are_found_out() {
    let report = reports(&["lying-disk"], 1, 1).pop().expect("one was asked for");
    let failure = report.failure.expect("what was acknowledged was never on a disk");
    assert!(failure.contains("lost") || failure.contains("ended"), "{failure}");
}

#[test]
fn syncs_fail_in_namespaces_with_disks_of_their_own() {
    pass(&["disk-error"], 1, 1);
}

#[test]
fn clocks_in_namespaces_jump() {
    pass(&["clock-jumps"], 1, 1);
}
