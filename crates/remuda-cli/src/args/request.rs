//! `remuda request`.

use clap::Args;
use remuda_model::Span;

use super::{Connect, Format, Many};

#[derive(Debug, Args)]
#[command(after_help = "\
With --on and --all there is one line for each node, and the exit code is 7 when some of them failed.

Examples:
  remuda request dev1 node '\"info\"'
  remuda request dev1 exec '{\"argv\": [\"uname\", \"-a\"]}'
  remuda request --on 'gpu && status==ready' node '\"status\"'")]
pub(crate) struct RequestArgs {
    /// Name of the node, unless --on or --all; then the name of the job class; then the request in the
    /// words of the class, where `-` reads it from the standard input
    #[arg(required = true, num_args = 1..=3, value_name = "[NODE] CLASS [JSON]")]
    pub(crate) words: Vec<String>,
    #[command(flatten)]
    pub(crate) many: Many,
    /// How long to wait for the reply
    #[arg(long, value_name = "SPAN", default_value = "30s")]
    pub(crate) timeout: Span,
    #[command(flatten)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) connect: Connect,
}
