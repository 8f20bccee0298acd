//! The simulator in every test run: seeds that once failed, some others, and the mistakes that must
//! be found.

use std::time::{Duration, Instant};

use remuda_sim::{Mutant, run};

/// How long new seeds are tried; what was begun is ended.
const BUDGET: Duration = Duration::from_secs(15);

/// More seeds than fit into that time.
const MANY: u64 = 10_000;

/// How many seeds a mistake may take, beginning with one that has found it.
const MORE: u64 = 30;

/// Seeds that have found something, one a line, with a word about it.
const FAILED_ONCE: &str = include_str!("seeds/failed_once.txt");

/// Each mistake and a seed that finds it.
const MISTAKES: &str = include_str!("seeds/mistakes.txt");

fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| line.split_whitespace().collect())
}

fn check(seed: u64) {
    if let Some(violation) = run(seed, None, None).violation {
        panic!("{violation}\nreplay it: cargo xtask sim --seed {seed}");
    }
}

#[test]
fn seeds_that_failed_once_pass() {
    for line in lines(FAILED_ONCE) {
        check(line[0].parse().expect("a seed"));
    }
}

#[test]
fn some_seeds_pass() {
    let end = Instant::now() + BUDGET;
    let in_time = |_: &u64| Instant::now() < end;
    let n_run = (1..=MANY).take_while(in_time).map(check).count();
    assert!(n_run > 0);
}

#[test]
fn two_runs_of_a_seed_are_the_same() {
    for seed in [3, 5, 8] {
        let (first, second) = (run(seed, None, None), run(seed, None, None));
        assert_eq!(first.trace_hash, second.trace_hash, "seed {seed}");
        assert_eq!(first.steps, second.steps, "seed {seed}");
    }
    assert_ne!(run(3, None, None).trace_hash, run(5, None, None).trace_hash);
}

#[test]
fn every_mistake_is_found() {
    let known: Vec<Vec<&str>> = lines(MISTAKES).collect();
    for mutant in Mutant::ALL {
        let line = known.iter().find(|line| line[0] == mutant.name());
        let line = line.unwrap_or_else(|| panic!("no seed is known for {mutant}"));
        let seed: u64 = line[1].parse().expect("a seed");
        // The product changes, and with it what a seed does.
        let found =
            (seed..seed + MORE).any(|seed| run(seed, Some(mutant), None).violation.is_some());
        assert!(found, "{mutant} is not found by {MORE} seeds from {seed} on");
    }
}
