//! Runs faults of real clusters by name: `cargo xtask faults`.

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use clap::Parser;
use remuda_e2e::{
    faults::{self, LINEARIZABILITY, Options, Report},
    in_private_network,
};

/// Lets faults happen to clusters of real processes and checks what was promised.
#[derive(Debug, Parser)]
#[command(after_help = "\
Needs root, for network namespaces and small disks.

Example: kill the leader twenty times
  cargo xtask faults leader-kill --rounds 20")]
struct Arguments {
    /// Which faults; all unless given
    names: Vec<String>,
    /// How often each
    #[arg(long, default_value_t = 1)]
    rounds: u32,
    /// What all chance derives from; a new one unless given
    #[arg(long)]
    seed: Option<u64>,
    /// How many operations `linearizability` records
    #[arg(long, default_value_t = 40_000)]
    operations: u64,
    /// Name the faults and end
    #[arg(long)]
    list: bool,
    /// Print JSON, one line for each fault
    #[arg(long)]
    json: bool,
    /// Where histories and pictures of failures are written
    #[arg(long, default_value = "target/remuda-faults")]
    evidence: PathBuf,
}

#[expect(clippy::print_stdout, reason = "the one place where this program speaks")]
fn say(text: &str) {
    println!("{text}");
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        for scenario in faults::all().into_iter().chain(faults::proofs()) {
            say(&format!("{:<17} {}", scenario.name, scenario.about));
        }
        say(&format!("{LINEARIZABILITY:<17} operations of 8 clients under a mix of faults"));
        return ExitCode::SUCCESS;
    }
    let (mut scenarios, mut operations) = (Vec::new(), 0);
    for name in &arguments.names {
        match faults::find(name) {
            Some(scenario) => scenarios.push(scenario),
            None if name == LINEARIZABILITY => operations = arguments.operations,
            None => {
                say(&format!("error: no fault `{name}`\nhint: `--list` names them"));
                return ExitCode::from(2);
            }
        }
    }
    if arguments.names.is_empty() {
        (scenarios, operations) = (faults::all(), arguments.operations);
    }
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let seed = arguments.seed.unwrap_or(since_1970);
    let options = Options {
        scenarios,
        rounds: arguments.rounds,
        seed,
        operations,
        evidence: arguments.evidence,
    };
    let tell = |report: &Report| {
        if arguments.json {
            say(&report.json().to_string());
            return;
        }
        say(&report.line());
        if let Some(failure) = &report.failure {
            say(&format!("     {failure}"));
        }
    };
    let reports = in_private_network(|| faults::run(&options, tell));
    let failed: Vec<&Report> = reports.iter().filter(|report| !report.passed()).collect();
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
