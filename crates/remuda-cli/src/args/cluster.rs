//! `remuda cluster`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use remuda_model::{LinkUrl, NodeId, Span};

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
    /// Show whether the cluster is healthy, and why not
    #[command(after_help = "\
The exit code is 0 when the cluster is healthy, 8 when it answers and is not, and 5 when no control
node answers. Without a leader it shows what the control node that was asked knows.

Example:
  remuda cluster status --watch")]
    Status {
        /// Answer without asking the leader
        #[arg(long)]
        stale: bool,
        /// Show it again every 2 seconds
        #[arg(long)]
        watch: bool,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        connect: Connect,
    },
    /// Write the state and the authority of the cluster into a file
    Backup(BackupArgs),
    /// Make a new first control node from a backup
    Restore(RestoreArgs),
    /// Make a new first control node from one that is left, when the majority is lost for good
    Recover(RecoverArgs),
    /// Let the cluster dial a node that listens: a member, or a new one that waits for it
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
    /// Make another join token, and the present one worthless
    #[command(after_help = "Example:\n  remuda cluster rotate-token worker")]
    RotateToken {
        /// What nodes that join with it may become
        role: JoinRole,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        connect: Connect,
    },
    /// Replace the certificate authority while the cluster works
    #[command(after_help = "\
Nodes first learn to believe the new authority, then get certificates of it, then forget the old
one. Each step waits for all nodes, but no longer than the grace; nodes that are away for longer
have to join anew. Join tokens change with the authority.

Example:
  remuda cluster rotate-ca --grace 24h --wait")]
    RotateCa {
        /// How long each step waits for nodes that are away
        #[arg(long, value_name = "SPAN", default_value = "24h")]
        grace: Span,
        /// Wait until it is done
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        connect: Connect,
    },
    /// Show which certificate authorities count, and which nodes a rotation waits for
    #[command(after_help = "Example:\n  remuda cluster ca")]
    Ca {
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        connect: Connect,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
The file holds the key of the cluster's authority. It is made for its owner only (mode 0600); seal it
with a passphrase before it leaves the machine.

Example:
  remuda cluster backup herd.backup --passphrase-file passphrase.txt")]
pub(crate) struct BackupArgs {
    /// Where to write it
    pub(crate) file: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    pub(crate) force: bool,
    /// Seal it by the passphrase in this file
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Read the data directory of a stopped control node instead of asking the cluster
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) connect: Connect,
}

#[derive(Debug, Args)]
#[command(after_help = "\
All control nodes that the cluster had are removed from it: stop those that still run. Workers keep
their names, certificates and tasks; they come back to the new node when it has an address that they
know, or when it can dial them. Further control nodes join with a new token.

Example:
  remuda cluster restore herd.backup --data-dir /var/lib/remuda --name ctl-4
  remuda agent --control --data-dir /var/lib/remuda --listen remuda://all")]
pub(crate) struct RestoreArgs {
    /// The backup
    pub(crate) file: PathBuf,
    /// Data directory of the new control node; empty, or made
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Name of the new control node, which no node has had; made up unless given
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<NodeId>,
    /// The file with the passphrase that seals the backup
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Only for when more than half of the control nodes are lost for good. Changes that the lost ones
acknowledged without the one that is left are lost; changes that nobody acknowledged may come true.
As with `restore`, all old control nodes are removed, the one that is left included: stop it first.

Example:
  remuda cluster recover --from /var/lib/remuda --data-dir /var/lib/remuda-new --name ctl-4
  remuda agent --control --data-dir /var/lib/remuda-new --listen remuda://all")]
pub(crate) struct RecoverArgs {
    /// Data directory of the control node that is left; it must be stopped, and is not changed
    #[arg(long, value_name = "DIR")]
    pub(crate) from: PathBuf,
    /// Data directory of the new control node; empty, or made
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Name of the new control node, which no node has had; made up unless given
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<NodeId>,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum JoinRole {
    /// Runs work
    Worker,
    /// Replicates the state and runs work
    Control,
}
