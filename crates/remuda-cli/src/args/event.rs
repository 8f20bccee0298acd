//! `remuda event`.

use clap::Args;
use remuda_model::{ClassName, NodeId, TaskId};

use super::{Connect, Format};

#[derive(Debug, Args)]
#[command(after_help = "\
Without --follow, prints the events of a node or a task that are still kept, and ends after a second of
silence. The node of a task that is forgotten already has to be named.

Examples:
  remuda event --follow
  remuda event --node dev1 --after 0
  remuda event --task nap")]
pub(crate) struct EventArgs {
    /// Go on until interrupted
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only of this node
    #[arg(long)]
    pub(crate) node: Option<NodeId>,
    /// Only of this job class
    #[arg(long)]
    pub(crate) class: Option<ClassName>,
    /// Only of this task
    #[arg(long)]
    pub(crate) task: Option<TaskId>,
    /// Start after the event of this number of the node
    #[arg(long, value_name = "SEQ", requires = "node")]
    pub(crate) after: Option<u64>,
    #[command(flatten)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) connect: Connect,
}
