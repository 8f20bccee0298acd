//! One file for each noun: from arguments to calls, from answers to output.

mod agent;
mod authority;
mod call;
mod class;
mod cluster;
mod config;
mod connect;
mod cp;
mod debug;
mod discovery;
mod each;
mod event;
mod exec;
mod fanout;
mod input;
mod node;
mod request;
mod select;
mod task;
mod token;
mod upload;

pub(crate) use agent::Ready;

use clap::CommandFactory as _;
use remuda_model::ErrorKind;
use remuda_runtime::trace;

use crate::{
    args::{Args, Command, ConfigCommand},
    dev,
    environment::Environment,
    error::{Report, Stop},
    signals::Signals,
};

/// Runs one command to its end.
pub(crate) fn run(command: Command, environment: &Environment) -> Result<(), Stop> {
    match command {
        Command::Holder { dir } => hold(&dir),
        Command::Completions { shell } => completions(shell),
        Command::Config(ConfigCommand::Show { agent, format }) => {
            config::show(&agent, format, environment)
        }
        Command::Agent(args) => block_on(agent::run(&args, environment)),
        Command::Dev(args) => block_on(dev::run(&args, environment)),
        Command::Tracker(args) => block_on(discovery::serve(args, environment)),
        Command::Fanout(command) => {
            block_on(traced(fanout::run(command, environment), environment))
        }
        other => block_on(interruptible(traced(client_command(other, environment), environment))),
    }
}

async fn client_command(command: Command, environment: &Environment) -> Result<(), Stop> {
    match command {
        Command::Discover(args) => discovery::discover(args).await,
        Command::Node(command) => node::run(command, environment).await,
        Command::Request(args) => request::run(args, environment).await,
        Command::Call(args) => call::run(args, environment).await,
        Command::Exec(args) => exec::run(*args, environment).await,
        Command::Class(command) => class::run(command, environment).await,
        Command::Cp(args) => cp::run(args, environment).await,
        Command::Task(command) => task::run(command, environment).await,
        Command::Event(args) => event::run(args, environment).await,
        Command::Cluster(command) => cluster::run(command, environment).await,
        Command::Token(command) => token::run(command, environment).await,
        Command::Debug(command) => debug::run(command, environment).await,
        Command::Dev(_)
        | Command::Agent(_)
        | Command::Tracker(_)
        | Command::Fanout(_)
        | Command::Config(_)
        | Command::Completions { .. }
        | Command::FunctionHelper
        | Command::ScriptRun { .. }
        | Command::Holder { .. } => Ok(()),
    }
}

/// Work for a program that is traced itself, and says so in the usual variable.
async fn traced<T>(work: impl Future<Output = T>, environment: &Environment) -> T {
    match environment.get("TRACEPARENT").and_then(|text| text.parse().ok()) {
        Some(context) => trace::within(context, work).await,
        None => work.await,
    }
}

/// Ctrl-C and SIGTERM end the work at once.
async fn interruptible(work: impl Future<Output = Result<(), Stop>>) -> Result<(), Stop> {
    let mut signals = Signals::listen()?;
    tokio::select! {
        outcome = work => outcome,
        asked = signals.next() => Err(Stop::Exit(asked.exit_code())),
    }
}

fn block_on(work: impl Future<Output = Result<(), Stop>>) -> Result<(), Stop> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
            Report::new(ErrorKind::Internal, "cannot start the runtime").caused_by(&error)
        })?;
    let outcome = runtime.block_on(Box::pin(work));
    // A thread that still reads the standard input must not keep the process alive.
    runtime.shutdown_background();
    outcome
}

fn completions(shell: clap_complete::Shell) -> Result<(), Stop> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "remuda", &mut script);
    crate::output::Stream::Stdout.write(&script).map_err(Stop::from)
}

fn hold(dir: &std::path::Path) -> Result<(), Stop> {
    remuda::run_holder(dir).map_err(|error| Report::from_error(ErrorKind::Internal, &error).into())
}
