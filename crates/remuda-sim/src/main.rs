//! `remuda-sim`: runs seeds, replays one, or shows that mistakes are found.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use remuda_sim::{Mutant, Report, run};

const USAGE: &str = "\
usage: cargo xtask sim [--seeds N] [--from S]      runs N seeds (200), from S (1) on
       cargo xtask sim --seed S [--mutant NAME]    replays one seed and prints its trace
       cargo xtask sim --mutants [--seeds N]       makes each mistake in up to N seeds (300) until
                                                   it is found
       cargo xtask sim --twice --seeds N           runs each seed twice and compares the traces";

#[expect(clippy::print_stdout, reason = "the result of the command")]
fn say(text: &str) {
    println!("{text}");
}

fn main() -> ExitCode {
    match command() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("error: {error:#}\n\n{USAGE}"));
            ExitCode::from(2)
        }
    }
}

fn command() -> Result<bool> {
    let (mut n_seeds, mut from, mut seed, mut mutant) = (None, 1, None, None);
    let (mut mutants, mut twice) = (false, false);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || -> Result<u64> {
            let text = words.next().with_context(|| format!("{word} needs a number"))?;
            text.parse().with_context(|| format!("{word} {text}: not a number"))
        };
        match word.as_str() {
            "--seeds" => n_seeds = Some(number()?),
            "--from" => from = number()?,
            "--seed" => seed = Some(number()?),
            "--mutants" => mutants = true,
            "--twice" => twice = true,
            "--mutant" => {
                let name = words.next().context("--mutant needs a name")?;
                mutant = Some(Mutant::named(&name).with_context(|| {
                    let names: Vec<&str> = Mutant::ALL.iter().map(|mutant| mutant.name()).collect();
                    format!("no mutant {name}; there are {}", names.join(", "))
                })?);
            }
            _ => bail!("unknown option {word}"),
        }
    }
    Ok(match seed {
        Some(seed) => replay(seed, mutant),
        None if mutants => find_mutants(from, n_seeds.unwrap_or(300)),
        None => run_seeds(from, n_seeds.unwrap_or(200), mutant, twice),
    })
}

fn replay(seed: u64, mutant: Option<Mutant>) -> bool {
    let report = run(seed, mutant, Some(say));
    say(&format!("{report:#?}"));
    report.violation.is_none()
}

/// The command that shows a run again.
fn again(seed: u64, mutant: Option<Mutant>) -> String {
    let mutant = mutant.map(|mutant| format!(" --mutant {mutant}")).unwrap_or_default();
    format!("cargo xtask sim --seed {seed}{mutant}")
}

/// What many runs have done together.
#[derive(Default)]
struct Total {
    simulated: Duration,
    slowest: Duration,
    steps: u64,
    changes: (u64, u64, u64),
    work: (u64, u64, u64),
}

impl Total {
    fn add(&mut self, report: &Report) {
        self.simulated += report.simulated;
        self.slowest = self.slowest.max(report.converged_in);
        self.steps += report.steps;
        let (a, b) = (&mut self.changes, report.changes);
        *a = (a.0 + b.0, a.1 + b.1, a.2 + b.2);
        let (a, b) = (&mut self.work, report.work);
        *a = (a.0 + b.0, a.1 + b.1, a.2 + b.2);
    }
}

fn run_seeds(from: u64, n_seeds: u64, mutant: Option<Mutant>, twice: bool) -> bool {
    let start = Instant::now();
    let mut total = Total::default();
    let mut failures = 0;
    for seed in from..from + n_seeds {
        let report = run(seed, mutant, None);
        total.add(&report);
        if let Some(violation) = &report.violation {
            failures += 1;
            say(&format!("seed {seed}: {violation}\n  {}", again(seed, mutant)));
        }
        if twice && run(seed, mutant, None).trace_hash != report.trace_hash {
            failures += 1;
            say(&format!("seed {seed}: two runs differ"));
        }
    }
    let took = start.elapsed();
    say(&format!(
        "{n_seeds} seeds, {failures} failures, {:.1} simulated hours in {:.0} s (x{:.0}), \
         {} steps; slowest convergence {:.1} s",
        total.simulated.as_secs_f64() / 3600.0,
        took.as_secs_f64(),
        total.simulated.as_secs_f64() / took.as_secs_f64(),
        total.steps,
        total.slowest.as_secs_f64(),
    ));
    let ((writes, reads, unknown), (requests, events, gaps)) = (total.changes, total.work);
    say(&format!(
        "{writes} changes acknowledged, {reads} reads, {unknown} changes of unknown outcome; \
         {requests} requests answered, {events} events kept, {gaps} gaps shown"
    ));
    failures == 0
}

fn find_mutants(from: u64, n_seeds: u64) -> bool {
    say("| mistake | found by seed | after seeds | invariant |\n|---|---:|---:|---|");
    let mut all = true;
    for mutant in Mutant::ALL {
        let found = (from..from + n_seeds).find_map(|seed| {
            let report = run(seed, Some(mutant), None);
            report.violation.map(|violation| (seed, violation))
        });
        if let Some((seed, violation)) = found {
            let n = seed - from + 1;
            say(&format!("| `{mutant}` | {seed} | {n} | {} |", violation.invariant));
        } else {
            all = false;
            say(&format!("| `{mutant}` | not found | {n_seeds} | |"));
        }
    }
    all
}
