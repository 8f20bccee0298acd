//! The short run of all targets: a hundred thousand inputs, the same each time.

use remuda_fuzz::{TARGETS, mutate::Mutator};

/// Inputs in all.
const EXECUTIONS: usize = 100_000;

/// On several threads, as the targets do not know of each other.
#[test]
fn no_parser_panics_or_takes_memory_out_of_proportion() {
    let each = EXECUTIONS.div_ceil(TARGETS.len());
    std::thread::scope(|scope| {
        let halves = TARGETS.split_at(TARGETS.len() / 2);
        for (number, targets) in [halves.0, halves.1].into_iter().enumerate() {
            scope.spawn(move || {
                for target in targets {
                    let seeds = (target.seeds)();
                    assert!(!seeds.is_empty(), "{} has no seeds", target.name);
                    for seed in &seeds {
                        target.check(seed);
                    }
                    let mut mutator = Mutator::new(number as u64, seeds);
                    for _ in 0..each {
                        let input = mutator.next_input();
                        let checked = std::panic::catch_unwind(|| target.check(&input));
                        assert!(checked.is_ok(), "{}: {}", target.name, input.escape_ascii());
                    }
                }
            });
        }
    });
}

#[test]
fn targets_have_names_of_their_own() {
    let mut names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), TARGETS.len());
}
