//! The command `remuda`: one node, a whole cluster on this machine, or a client of a cluster.

mod args;
mod commands;
mod config;
mod context;
mod dev;
mod environment;
mod error;
mod logging;
mod otlp;
mod output;
mod signals;

use std::process::ExitCode;

use clap::Parser as _;
use mimalloc::MiMalloc;

use crate::{
    args::{Args, Command},
    environment::Environment,
    error::Stop,
};

/// A change of the cluster allocates much that lives shortly, on several threads.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let command = match Args::parse().command {
        // Parts of an agent, in processes of their own that must have no other thread.
        Command::FunctionHelper => return remuda::run_function_helper(),
        Command::ScriptRun { dir } => return remuda::run_script(&dir),
        command => command,
    };
    let environment = Environment::read();
    match commands::run(command, &environment) {
        Ok(()) | Err(Stop::ReaderGone) => ExitCode::SUCCESS,
        Err(Stop::Exit(code)) => ExitCode::from(code),
        Err(Stop::Report(report)) => {
            output::print_report(&report, &environment);
            ExitCode::from(report.exit_code())
        }
    }
}
