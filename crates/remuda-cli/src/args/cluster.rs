//! `remuda cluster`.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use remuda_model::{LinkUrl, NodeId};

use super::{Connect, Format};

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Make the identity and the secrets of a new cluster in a data directory
    #[command(after_help = "\
Example:
  remuda cluster init --name herd --data-dir /var/lib/remuda
  remuda agent --control --bootstrap --data-dir /var/lib/remuda")]
    Init {
        /// Name of the cluster
        #[arg(long, default_value = "remuda")]
        name: String,
        /// Data directory of the first control node
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
        #[command(flatten)]
        format: Format,
    },
    /// Show leader, control nodes and health
    #[command(after_help = "Example:\n  remuda cluster status")]
    Status {
        /// Answer without asking the leader
        #[arg(long)]
        stale: bool,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        connect: Connect,
    },
    /// Let the cluster dial a node that listens
    #[command(after_help = "Example:\n  remuda cluster add remuda://10.0.0.7")]
    Add {
        /// Where the node listens
        url: LinkUrl,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        connect: Connect,
    },
    /// Do without a control node from now on
    #[command(visible_alias = "rm", after_help = "Example:\n  remuda cluster remove dev3")]
    Remove {
        /// Name of the control node
        node: NodeId,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        connect: Connect,
    },
    /// Print the token with which a node joins
    #[command(after_help = "Example:\n  remuda cluster join-token worker")]
    JoinToken {
        /// What the node may become
        role: JoinRole,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        connect: Connect,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum JoinRole {
    /// Runs work
    Worker,
    /// Replicates the state and runs work
    Control,
}
