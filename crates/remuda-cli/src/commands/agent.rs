//! `remuda agent`: one node in the foreground.

mod pages;
mod parent;
mod ready;

pub(crate) use ready::Ready;

use remuda::agent::{Agent, AgentConfig, AgentError, Diagnosis};
use remuda_model::ErrorKind;
use remuda_runtime::trace;
use serde_json::json;

use crate::{
    args::AgentArgs,
    config::{self, Effective, NodeConfig},
    dev::holders,
    environment::Environment,
    error::{Report, Stop},
    logging::{self, Recent},
    otlp::{Export, Source},
    signals::Signals,
};

pub(super) async fn run(args: &AgentArgs, environment: &Environment) -> Result<(), Stop> {
    let config = config::load(args, environment)?;
    let mut signals = Signals::listen()?;
    let mut parent = parent::Parent::watch(args.exit_with_parent);
    let traces = config.traces.clone();
    let effective = config.effective.clone();
    let (format, mut config, filter) = agent_config(config)?;
    config.preferred_api_port = args.prefer_api_port;
    config.file_repositories = args.file_repositories;
    #[cfg(feature = "fixture-previous")]
    if environment.get("REMUDA_FIXTURE_RELEASE") == Some("previous") {
        config.release = remuda_model::Release::PREVIOUS;
    }
    // The directory may be in use: only its owner may take back what is said there.
    config.stale_files.push(ready::FILE.into());
    let data_dir = config.data_dir.clone();
    let recent = logging::start(format, filter, environment);
    config.diagnosis = Some(diagnosis(effective, recent));
    let spans = traces.as_ref().and_then(|traces| trace::collect(traces.ratio));
    let release = config.release;
    let started = tokio::select! {
        started = Agent::start(config) => started,
        asked = signals.next() => return Err(Stop::Exit(asked.exit_code())),
        () = parent.gone() => return Ok(()),
    };
    let agent = started.map_err(|error| report(&error))?;
    let export = traces.zip(spans).map(|(traces, spans)| {
        Export::start(traces.endpoint, Source::of(agent.node(), release), spans)
    });
    ready::write(&data_dir, &agent)?;
    let links: Vec<_> = agent.link_addresses().iter().map(ToString::to_string).collect();
    tracing::info!(node = %agent.node(), links = links.join(","), "the node runs");
    let giving_back = tokio::spawn(pages::keep_giving_back());
    let asked = tokio::select! {
        asked = signals.next() => Some(asked),
        () = parent.gone() => None,
    };
    giving_back.abort();
    ready::forget(&data_dir);
    if asked.is_none() {
        // Whoever started this node takes the whole cluster down, and wanted nothing to outlive it.
        agent.stop().await;
        holders::end_all(&data_dir).await;
        return Ok(());
    }
    tracing::info!("shutting down; a second signal ends at once");
    let ending = async {
        agent.shutdown().await;
        if let Some(export) = export {
            export.finish().await;
        }
    };
    let asked_again = tokio::select! {
        () = ending => None,
        asked = signals.next() => Some(asked),
    };
    asked_again.map_or(Ok(()), |asked| Err(Stop::Exit(asked.exit_code())))
}

/// What a bug report says about this program: its settings, without secrets, and its last log lines.
fn diagnosis(effective: Vec<Effective>, recent: Recent) -> Diagnosis {
    Box::new(move || json!({ "settings": effective, "log": recent.lines() }))
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
    agent.awaits = config.awaits;
    agent.dns_server = config.dns_server;
    agent.lan = config.lan;
    agent.files.clone_from(&config.files);
    agent.fanout.clone_from(&config.fanout);
    agent.trackers = config.trackers;
    agent.tracker_listen = config.tracker_listen;
    agent.proxy = config.proxy;
    agent.token = config.token;
    agent.listen = config.listen;
    agent.advertise = config.advertise;
    agent.labels = config.labels;
    agent.api = config.api;
    agent.rest_commander = config.rest_commander;
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
