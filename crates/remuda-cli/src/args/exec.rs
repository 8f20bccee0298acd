//! `remuda exec`.

use std::path::PathBuf;

use clap::Args;
use remuda_model::{NodeId, Selector, Span};

use super::{Connect, Format, Raw};

#[derive(Debug, Args)]
#[command(after_help = "\
The exit code is that of the command on one node (128 + n for signal n, 124 for its time limit).
With --on and --all it is 0, or 7 when some of the nodes failed.

Examples:
  remuda exec dev1 -- uname -a
  remuda exec --on 'gpu && rack==7' --timeout 1m -- nvidia-smi -L
  remuda exec dev1 --detach -- sleep 60
  remuda exec --on gpu --send ./bench.sh -- --size 4096
  remuda exec dev1 --clone https://example.com/tool.git --revision v2 --pre 'make' -- ./tool --check")]
pub(crate) struct ExecArgs {
    /// Name of the node
    #[arg(required_unless_present_any = ["on", "all"], conflicts_with_all = ["on", "all"])]
    pub(crate) node: Option<NodeId>,
    /// The program and its arguments; no shell reads them. With --send only the arguments
    #[arg(last = true, required_unless_present = "send", value_name = "CMD")]
    pub(crate) command: Vec<String>,
    /// Send this program or script to the nodes and run it there, in a folder that goes with it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["clone", "cwd", "user"])]
    pub(crate) send: Option<PathBuf>,
    /// Clone this git repository on the nodes and run the command in it
    #[arg(long, value_name = "URL", conflicts_with_all = ["cwd", "user"])]
    pub(crate) clone: Option<String>,
    /// Branch, tag or full commit id to clone
    #[arg(long, value_name = "REV", requires = "clone")]
    pub(crate) revision: Option<String>,
    /// Folder of the repository in which to run
    #[arg(long, value_name = "DIR", requires = "clone")]
    pub(crate) dir: Option<String>,
    /// Run this by `sh` in the repository first; may be repeated
    #[arg(long, value_name = "LINE", requires = "clone")]
    pub(crate) pre: Vec<String>,
    /// Run this by `sh` in the repository afterwards, however the command has ended; may be repeated
    #[arg(long, value_name = "LINE", requires = "clone")]
    pub(crate) post: Vec<String>,
    /// Every node that meets this condition
    #[arg(long, value_name = "SELECTOR", conflicts_with = "all")]
    pub(crate) on: Option<Selector>,
    /// Every node
    #[arg(long)]
    pub(crate) all: bool,
    /// Leave the command running as a task
    #[arg(long, short)]
    pub(crate) detach: bool,
    /// Set an environment variable; may be repeated
    #[arg(long, short, value_name = "K=V", value_parser = variable)]
    pub(crate) env: Vec<(String, String)>,
    /// Start from an empty environment
    #[arg(long)]
    pub(crate) clear_env: bool,
    /// Working directory on the node
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<String>,
    /// User to run as
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Pass the standard input on, at most 1 MiB
    #[arg(long)]
    pub(crate) stdin: bool,
    /// End the command after this time
    #[arg(long, value_name = "SPAN")]
    pub(crate) timeout: Option<Span>,
    /// On how many nodes at once
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) parallel: u16,
    #[command(flatten)]
    pub(crate) raw: Raw,
    #[command(flatten)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) connect: Connect,
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}
