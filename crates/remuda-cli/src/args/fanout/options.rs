//! What all commands of a fan-out run share.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use remuda_model::{RunId, Selector, Span, TargetListId};

use super::super::{Connect, Format, Raw};

/// Where lines of targets come from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Targets")]
pub(crate) struct SourceArgs {
    /// A host, or a range such as `web[001-500].example` or `10.0.0.0/24`; may be repeated
    #[arg(long = "target", short = 't', value_name = "HOST")]
    pub(crate) target: Vec<String>,
    /// A file, `-` for the standard input, or a URL of targets; may be repeated
    #[arg(long = "targets", value_name = "FILE|-|URL")]
    pub(crate) targets: Vec<String>,
    /// What the file is; as its name says unless given
    #[arg(long, value_name = "FORM")]
    pub(crate) targets_form: Option<TargetForm>,
    /// Where the targets are in a JSON file, such as `$.hosts[*]` or `/hosts`
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Option<String>,
    /// The column of a CSV file that has the hosts; the others are variables
    #[arg(long, value_name = "NAME")]
    pub(crate) host_column: Option<String>,
}

/// Whom a run contacts.
#[derive(Debug, Args)]
#[command(next_help_heading = "Targets")]
pub(crate) struct TargetArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// A list that the cluster keeps, see `remuda fanout targets`; may be repeated
    #[arg(long, value_name = "LIST")]
    pub(crate) saved: Vec<TargetListId>,
    /// The cluster's own nodes that meet this condition
    #[arg(long, value_name = "SELECTOR", conflicts_with_all = ["target", "targets", "saved"])]
    pub(crate) nodes: Option<Selector>,
    /// A value of `{{vars.NAME}}` for targets that have none; may be repeated
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) vars: Vec<(String, String)>,
}

/// What a file of targets is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TargetForm {
    /// Hosts and ranges
    Lines,
    /// A table with a row of names
    Csv,
    /// An array of hosts, or of objects that have a `host`
    Json,
}

/// How a run goes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Run")]
pub(crate) struct RunArgs {
    /// What to call it
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Its id; made unless given
    #[arg(long, value_name = "RUN")]
    pub(crate) id: Option<RunId>,
    /// Which workers contact the targets
    #[arg(long, value_name = "SELECTOR")]
    pub(crate) on: Option<Selector>,
    /// Contact each target once from each value of this label of the workers
    #[arg(long, value_name = "LABEL")]
    pub(crate) from_each: Option<String>,
    /// At most so many targets at a time
    #[arg(long, value_name = "N")]
    pub(crate) concurrency: Option<u32>,
    /// At most so many by each worker
    #[arg(long, value_name = "N")]
    pub(crate) per_worker: Option<u32>,
    /// At most so many begun each second
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<f64>,
    /// Always as many at a time as allowed, however targets answer
    #[arg(long)]
    pub(crate) fixed: bool,
    /// How long a connection may take
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub(crate) connect_timeout: Span,
    /// How long an answer may take to begin
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub(crate) first_byte_timeout: Span,
    /// How long a target may take altogether
    #[arg(long, value_name = "TIME", default_value = "1m")]
    pub(crate) timeout: Span,
    /// How often a target is contacted again where that is safe
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) retries: u8,
    /// How long the run may take
    #[arg(long, value_name = "TIME")]
    pub(crate) deadline: Option<Span>,
    /// Never contact a target twice, whatever happens
    #[arg(long, conflicts_with = "retries")]
    pub(crate) at_most_once: bool,
    /// Before or after other runs: low, normal, high
    #[arg(long, default_value = "normal", value_parser = ["low", "normal", "high"])]
    pub(crate) priority: String,
    /// Print the first texts for targets, and contact none
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print the id and leave the run to itself
    #[arg(long, short, conflicts_with = "dry_run")]
    pub(crate) detach: bool,
    /// Print a line for every target, also for those that answered as expected
    #[arg(long)]
    pub(crate) all: bool,
    /// Print bodies and outputs, too
    #[arg(long)]
    pub(crate) body: bool,
    #[command(flatten)]
    pub(crate) raw: Raw,
    #[command(flatten)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) connect: Connect,
}

/// `NAME=VALUE`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// `NAME=FILE`.
pub(super) fn file_pair(text: &str) -> Result<(String, PathBuf), String> {
    pair(text).map(|(name, file)| (name, file.into()))
}
