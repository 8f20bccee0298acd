//! `remuda dev`: a cluster of real processes on this machine.
//!
//! Every node is an agent in a process of its own, with its own data directory and log file. Each
//! holds a pipe to this process and ends when that closes, so that nothing outlives a `remuda dev`
//! however it ends.

mod announce;
mod child;
mod diagnosis;
mod entry;
pub(crate) mod holders;
mod layout;
mod nodes;
mod program;
mod start;

use remuda_model::ErrorKind;

use crate::{
    args::DevArgs,
    environment::Environment,
    error::{Report, Stop},
    output::{Printer, note},
    signals::Signals,
};

use layout::Layout;
use nodes::Nodes;

/// Starts the cluster, keeps it until it is told to stop or the command ends, and cleans up.
pub(crate) async fn run(args: &DevArgs, environment: &Environment) -> Result<(), Stop> {
    let mut signals = Signals::listen()?;
    let layout = Layout::open(args)?;
    let mut nodes = Nodes::new(&layout, args, environment)?;
    let outcome = lived(args, environment, &layout, &mut nodes, &mut signals).await;
    note("stopping…");
    tokio::select! {
        () = nodes.stop() => {}
        // Dropping the nodes kills what still runs.
        _ = signals.next() => note("stopping at once"),
    }
    drop(nodes);
    holders::end_all(layout.root()).await;
    layout.close()?;
    outcome
}

/// From the first process to the reason to stop.
async fn lived(
    args: &DevArgs,
    environment: &Environment,
    layout: &Layout,
    nodes: &mut Nodes,
    signals: &mut Signals,
) -> Result<(), Stop> {
    let cluster = tokio::select! {
        started = start::start(layout, nodes) => started?,
        asked = signals.next() => return Err(Stop::Exit(asked.exit_code())),
    };
    if !args.command.is_empty() {
        announce::nodes(Printer::aside(), &cluster)?;
        return program::run(&args.command, &cluster, environment, signals).await;
    }
    let entry = entry::Entry::write(&cluster, environment)?;
    announce::cluster(Printer::new(args.format), &cluster, entry.name(), layout)?;
    let outcome = tokio::select! {
        asked = signals.next() => {
            note("");
            // Ctrl-C is how it is meant to end.
            tracing::debug!(?asked, "asked to stop");
            Ok(())
        }
        dead = nodes.watch() => Err(dead),
    };
    entry.remove();
    outcome.map_err(Stop::from)
}

fn failed(message: impl Into<String>, error: &std::io::Error) -> Report {
    Report::new(ErrorKind::Failed, message).caused_by(error)
}
