//! The configuration of a node: options over environment over file over defaults.

mod checks;
mod file;
mod parse;
mod resolve;
mod setting;

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use remuda::agent::{ApiListen, FanoutConfig, LanUse, RestCommander};
use remuda_discovery::tracker::TrackerUrl;
use remuda_link::{JoinToken, Proxy};
use remuda_model::{ErrorKind, JoinUrl, Labels, LinkUrl, NodeId, Roles};
use serde::Serialize;
use tracing_subscriber::EnvFilter;

pub(crate) use file::ConfigFile;
pub(crate) use resolve::default_data_dir;

use crate::{args::AgentArgs, environment::Environment, error::Report, otlp::Endpoint};

/// What the options of the command line say, by the key of the setting.
pub(crate) type Overrides = BTreeMap<&'static str, String>;

/// All that an agent needs to know, parsed and checked.
pub(crate) struct NodeConfig {
    pub(crate) node: Option<NodeId>,
    pub(crate) data_dir: PathBuf,
    pub(crate) roles: Roles,
    pub(crate) bootstrap: bool,
    pub(crate) join: Vec<JoinUrl>,
    pub(crate) awaits: bool,
    pub(crate) dns_server: Option<SocketAddr>,
    pub(crate) lan: LanUse,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) fanout: FanoutConfig,
    pub(crate) trackers: Vec<TrackerUrl>,
    pub(crate) tracker_listen: Option<SocketAddr>,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) token: Option<JoinToken>,
    pub(crate) listen: Vec<LinkUrl>,
    pub(crate) advertise: Vec<LinkUrl>,
    pub(crate) labels: Labels,
    pub(crate) api: Option<ApiListen>,
    pub(crate) rest_commander: Option<RestCommander>,
    pub(crate) allow_plaintext: bool,
    pub(crate) cluster_name: String,
    pub(crate) drain_limit: Duration,
    pub(crate) log_filter: EnvFilter,
    pub(crate) log_format: LogFormat,
    /// Where spans go, if anywhere.
    pub(crate) traces: Option<Traces>,
    /// Each setting with its value and origin, for `config show`.
    pub(crate) effective: Vec<Effective>,
}

/// The export of traces.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Traces {
    /// The collector.
    pub(crate) endpoint: Endpoint,
    /// The part of the requests without a trace for which one is begun, 0 to 1.
    pub(crate) ratio: f64,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// One setting as it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Effective {
    pub(crate) key: &'static str,
    /// As text; secrets are hidden.
    pub(crate) value: String,
    pub(crate) origin: Origin,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub(crate) enum Origin {
    /// An option of the command line.
    Flag(String),
    /// An environment variable.
    Variable(&'static str),
    /// A line of the file.
    File(PathBuf, usize),
    /// Nobody said anything.
    Default,
}

/// A value that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigError {
    pub(crate) origin: Origin,
    pub(crate) reason: String,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => f.write_str(flag),
            Self::Variable(name) => f.write_str(name),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.to_string()
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.reason)
    }
}

/// The configuration that these options, the environment and the file amount to.
pub(crate) fn load(args: &AgentArgs, environment: &Environment) -> Result<NodeConfig, Report> {
    let path = args.config.as_deref().or(environment.get("REMUDA_CONFIG").map(Path::new));
    let file = path.map(ConfigFile::read).transpose()?;
    NodeConfig::resolve(file.as_ref(), environment, &args.overrides())
        .map_err(|errors| report(&errors))
}

fn report(errors: &[ConfigError]) -> Report {
    let message = match errors.len() {
        1 => "the configuration has an error".to_owned(),
        n => format!("the configuration has {n} errors"),
    };
    Report::new(ErrorKind::Invalid, message)
        .details(errors.iter().map(ConfigError::to_string))
        .hint("`remuda agent --help` lists all options")
}

/// Parses the address of the API.
fn socket_address(text: &str) -> Result<SocketAddr, String> {
    let text = text.replace("localhost:", "127.0.0.1:");
    text.parse().map_err(|_bad| format!("`{text}` is no address: expected IP:PORT"))
}

#[cfg(test)]
mod tests;
