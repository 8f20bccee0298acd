//! Chores of this repository: `cargo xtask test | tidy | bench`.

mod bench;
mod programs;
mod shell;
mod test;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

commands:
  test [--quick]   everything that must hold before a change lands; --quick leaves out the
                   tests with real processes
  tidy             the rules of the repository that no compiler checks
  bench [NAME…]    measures (rpc, idle, dev, build) and prints what belongs into docs/benchmarks.md

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
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            shell::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
