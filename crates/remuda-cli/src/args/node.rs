//! `remuda node`.

use clap::Subcommand;
use remuda_model::{Labels, LinkUrl, NodeId, Selector};

use super::{Connect, Format, Many};

#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// List nodes
    #[command(
        visible_alias = "ls",
        after_help = "\
Example: the nodes that have a GPU and are ready
  remuda node list --on 'gpu && status==ready'"
    )]
    List {
        /// Only nodes that meet this condition
        #[arg(long, value_name = "SELECTOR")]
        on: Option<Selector>,
        /// Answer without asking the leader
        #[arg(long)]
        stale: bool,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        connect: Connect,
    },
    /// Show all about one node
    #[command(after_help = "Example:\n  remuda node show dev1")]
    Show {
        /// Name of the node
        node: NodeId,
        /// Answer without asking the leader
        #[arg(long)]
        stale: bool,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        connect: Connect,
    },
    /// Let nodes take new tasks
    #[command(after_help = "\
With --on and --all there is one line for each node, and the exit code is 7 when some of them failed.

Examples:
  remuda node ready dev1
  remuda node ready --on 'rack==7'")]
    Ready(StatusArgs),
    /// Let nodes keep their tasks and take no new ones
    #[command(after_help = "\
With --on and --all there is one line for each node, and the exit code is 7 when some of them failed.

Examples:
  remuda node standby dev1 dev2
  remuda node standby --on 'rack==7 && status==ready'")]
    Standby(StatusArgs),
    /// Like standby, until the last task has ended
    #[command(after_help = "\
With --on and --all there is one line for each node, and the exit code is 7 when some of them failed.

Examples:
  remuda node stop dev1
  remuda node stop --on 'rack==7'")]
    Stop(StatusArgs),
    /// Forget a node that will not come back
    #[command(visible_alias = "rm", after_help = "Example:\n  remuda node remove dev5")]
    Remove {
        /// Name of the node
        node: NodeId,
        /// Remove it even while it is connected
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        connect: Connect,
    },
    /// Show or change the labels of a node
    #[command(
        after_help = "Example:\n  remuda node label dev4 'gpu;model=a100,rack=7' --remove spare"
    )]
    Label {
        /// Name of the node
        node: NodeId,
        /// Labels to set, each replacing the one of the same name
        update: Option<Labels>,
        /// Name of a label to remove; may be repeated
        #[arg(long, value_name = "NAME")]
        remove: Vec<String>,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        connect: Connect,
    },
    /// Give a node a new certificate
    #[command(after_help = "Example:\n  remuda node renew dev4")]
    Renew {
        /// Name of the node
        node: NodeId,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        connect: Connect,
    },
    /// Let the cluster dial a node that listens: a member, or a new one that waits for it
    #[command(after_help = "\
A new node waits when it was started with `remuda agent --await` and a join token of this
cluster. It joins over the connection that the control node opens.

Example:
  remuda node add 'remuda://10.0.0.7;transport=wss'")]
    Add {
        /// Where the node listens
        url: LinkUrl,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        connect: Connect,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// Names of the nodes, unless --on or --all
    #[arg(required_unless_present_any = ["on", "all"], conflicts_with_all = ["on", "all"])]
    pub(crate) nodes: Vec<NodeId>,
    #[command(flatten)]
    pub(crate) many: Many,
    #[command(flatten)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) connect: Connect,
}
