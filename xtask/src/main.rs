//! Chores of this repository: `cargo xtask test | tidy | bench`.

mod api;
mod bench;
mod faults;
mod fuzz;
mod programs;
mod shell;
mod sim;
mod test;
mod tidy;
mod upgrade;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

commands:
  test [--quick]   everything that must hold before a change lands; --quick leaves out the
                   tests with real processes
  tidy             the rules of the repository that no compiler checks
  faults [NAME…] [--rounds N] [--seed S] [--list] [--json]
                   faults of clusters of real processes, and what was promised (needs root)
  fuzz [TARGET…] [--seconds S | --executions N]
                   hostile bytes for every parser, guided by coverage
  api [--requests N]
                   generated requests for every operation of the API, N for each
  upgrade [--rounds N]
                   rolling upgrades of a cluster under load, each in another order
  sim [--seeds N | --seed S | --mutants]
                   whole clusters under a simulated network, repeatable from their seeds
  bench [NAME [OPTION…]…]
                   measures (rpc, fleet, store, failover, idle, dev, build) beside other systems,
                   for docs/benchmarks.md

example:
  cargo xtask test";

fn main() -> ExitCode {
    if fuzz::is_rustc() {
        return fuzz::as_rustc();
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["test"] => test::run(false),
        ["test", "--quick"] => test::run(true),
        ["tidy"] => tidy::run(),
        ["fuzz", rest @ ..] => fuzz::run(rest),
        ["api", rest @ ..] => api::run(rest),
        ["upgrade", rest @ ..] => upgrade::run(rest),
        ["sim", words @ ..] => sim::run(words),
        ["faults", rest @ ..] => faults::run(rest),
        ["bench", names @ ..] => bench::run(names),
        _ => {
            shell::say(USAGE);
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            shell::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
