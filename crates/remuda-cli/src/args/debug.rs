//! `remuda debug`.

use std::path::PathBuf;

use clap::Subcommand;
use remuda_model::NodeId;

use super::{Connect, Format};

#[derive(Debug, Subcommand)]
pub(crate) enum DebugCommand {
    /// Collect what a bug report needs into one archive
    #[command(after_help = "\
The archive has versions, settings, health, metrics, the state of the consensus, and the last log
lines of each node that answers. Secrets, command lines of tasks and their output are left out; look
into it all the same before you send it. Details of nodes need a token of scope `operate`.

Example:
  remuda debug bundle -o bug.tar.gz")]
    Bundle {
        /// Where to write it; `remuda-debug-TIME.tar.gz` unless given
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Only this node; may be repeated
        #[arg(long, value_name = "NAME")]
        node: Vec<NodeId>,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        connect: Connect,
    },
}
