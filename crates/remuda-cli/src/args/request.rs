//! `remuda request`.

use clap::Args;
use remuda_model::{ClassName, NodeId, Span};

use super::{Connect, Format};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  remuda request dev1 node '\"info\"'
  remuda request dev1 exec '{\"argv\": [\"uname\", \"-a\"]}'")]
pub(crate) struct RequestArgs {
    /// Name of the node
    pub(crate) node: NodeId,
    /// Name of the job class
    pub(crate) class: ClassName,
    /// The request in the words of the class; `-` reads it from the standard input
    #[arg(value_name = "JSON", default_value = "null", hide_default_value = true)]
    pub(crate) payload: String,
    /// How long to wait for the reply
    #[arg(long, value_name = "SPAN", default_value = "30s")]
    pub(crate) timeout: Span,
    #[command(flatten)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) connect: Connect,
}
