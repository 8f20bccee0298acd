//! `remuda agent`: one node in the foreground.

mod parent;
mod ready;

pub(crate) use ready::Ready;

use remuda::agent::{Agent, AgentConfig, AgentError};
use remuda_model::ErrorKind;

use crate::{
    args::AgentArgs,
    config::{self, NodeConfig},
    dev::holders,
    environment::Environment,
    error::{Report, Stop},
    logging,
    signals::Signals,
};

pub(super) async fn run(args: &AgentArgs, environment: &Environment) -> Result<(), Stop> {
    let config = config::load(args, environment)?;
    let mut signals = Signals::listen()?;
    let mut parent = parent::Parent::watch(args.exit_with_parent);
    let (format, mut config, filter) = agent_config(config)?;
    config.preferred_api_port = args.prefer_api_port;
    // The directory may be in use: only its owner may take back what is said there.
    config.stale_files.push(ready::FILE.into());
    let data_dir = config.data_dir.clone();
    logging::start(format, filter, environment);
    let started = tokio::select! {
        started = Box::pin(Agent::start(config)) => started,
        asked = signals.next() => return Err(Stop::Exit(asked.exit_code())),
        () = parent.gone() => return Ok(()),
    };
    let agent = started.map_err(|error| report(&error))?;
    ready::write(&data_dir, &agent)?;
    let links: Vec<_> = agent.link_addresses().iter().map(ToString::to_string).collect();
    tracing::info!(node = %agent.node(), links = links.join(","), "the node runs");
    let asked = tokio::select! {
        asked = signals.next() => Some(asked),
        () = parent.gone() => None,
    };
    ready::forget(&data_dir);
    if asked.is_none() {
        // Whoever started this node takes the whole cluster down, and wanted nothing to outlive it.
        Box::pin(agent.stop()).await;
        holders::end_all(&data_dir).await;
        return Ok(());
    }
    tracing::info!("shutting down; a second signal ends at once");
    let asked_again = tokio::select! {
        () = Box::pin(agent.shutdown()) => None,
        asked = signals.next() => Some(asked),
    };
    asked_again.map_or(Ok(()), |asked| Err(Stop::Exit(asked.exit_code())))
}

/// What the library needs, and what only this program does.
fn agent_config(
    config: NodeConfig,
) -> Result<(config::LogFormat, AgentConfig, tracing_subscriber::EnvFilter), Report> {
    let program = std::env::current_exe().map_err(|error| {
        Report::new(ErrorKind::Internal, "cannot find this program").caused_by(&error)
    })?;
    // Holders are found by their whole path.
    let data_dir = std::path::absolute(&config.data_dir).map_err(|error| {
        Report::new(ErrorKind::Invalid, "cannot use the data directory").caused_by(&error)
    })?;
    let mut agent = AgentConfig::new(data_dir);
    agent.node = config.node;
    agent.roles = config.roles;
    agent.bootstrap = config.bootstrap;
    agent.join = config.join;
    agent.token = config.token;
    agent.listen = config.listen;
    agent.advertise = config.advertise;
    agent.labels = config.labels;
    agent.api = config.api;
    agent.allow_plaintext = config.allow_plaintext;
    agent.cluster_name = config.cluster_name;
    agent.drain_limit = config.drain_limit;
    agent.holder_program = Some(program);
    Ok((config.log_format, agent, config.log_filter))
}

/// Shows why a node does not start.
pub(super) fn report(error: &AgentError) -> Report {
    let report = Report::from_error(error.kind(), error);
    match error.hint() {
        Some(hint) => report.hint(hint),
        None => report,
    }
}
