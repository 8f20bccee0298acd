//! `remuda call`.

use clap::Args;
use remuda_model::{NodeId, Selector, Span};

use super::{Connect, Format};

#[derive(Debug, Args)]
#[command(after_help = "\
An argument is JSON, or a text when it is none. With --on and --all there is one line for each node, and
the exit code is 7 when some of them failed.

Examples:
  remuda call dev1 'function (a, b) { return a + b }' 1 2
  remuda call --all @spread.js '{\"sizes\": [1, 2, 3]}'")]
pub(crate) struct CallArgs {
    /// Name of the node, unless --on or --all; then the function: its source in JavaScript, or @FILE;
    /// then its arguments
    #[arg(required = true, value_name = "[NODE] FUNCTION [ARG]…", allow_hyphen_values = true)]
    pub(crate) words: Vec<String>,
    /// Every node that meets this condition
    #[arg(long, value_name = "SELECTOR", conflicts_with = "all")]
    pub(crate) on: Option<Selector>,
    /// Every node
    #[arg(long)]
    pub(crate) all: bool,
    /// How long the function may run
    #[arg(long, value_name = "SPAN", default_value = "10s")]
    pub(crate) timeout: Span,
    /// On how many nodes at once
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) parallel: u16,
    #[command(flatten)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) connect: Connect,
}

/// What the words say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CallWords<'a> {
    pub(crate) node: Option<NodeId>,
    pub(crate) function: &'a str,
    pub(crate) args: &'a [String],
}

impl CallArgs {
    pub(crate) fn read(&self) -> Result<CallWords<'_>, String> {
        let (node, rest) = match self.words.split_first() {
            _ if self.all || self.on.is_some() => (None, self.words.as_slice()),
            Some((node, rest)) => {
                let name = node.parse::<NodeId>();
                (Some(name.map_err(|error| error.to_string())?), rest)
            }
            None => (None, self.words.as_slice()),
        };
        let (function, args) = rest.split_first().ok_or("the function is missing")?;
        Ok(CallWords { node, function, args })
    }
}
