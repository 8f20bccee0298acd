//! Chores of this repository: `cargo xtask test | tidy | bench`.

mod bench;
mod programs;
mod shell;
mod test;
mod tidy;

use std::process::ExitCode;
mod upgrade;

const USAGE: &str = "\
usage: cargo xtask COMMAND

commands:
  test [--quick]   everything that must hold before a change lands; --quick leaves out the
                   tests with real processes
  tidy             the rules of the repository that no compiler checks
  bench [NAME…]    measures (rpc, idle, dev, build) and prints what belongs into docs/benchmarks.md

  fuzz [TARGET…] [--seconds S | --executions N]
                   hostile bytes for every parser, guided by coverage
  upgrade [--rounds N]
                   rolling upgrades of a cluster under load, each in another order
  sim [--seeds N | --seed S | --mutants]
                   whole clusters under a simulated network, repeatable from their seeds
example:
  cargo xtask test";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["test"] => test::run(false),
        ["test", "--quick"] => test::run(true),
        ["tidy"] => tidy::run(),
        ["bench", names @ ..] => bench::run(names),
        _ => {
            shell::say(USAGE);
            return ExitCode::from(2);
        }
        ["fuzz", rest @ ..] => fuzz::run(rest),
        ["upgrade", rest @ ..] => upgrade::run(rest),
        ["sim", words @ ..] => sim::run(words),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            shell::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
