//! `remuda discover` and `remuda tracker`.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use remuda_discovery::tracker::TrackerUrl;
use remuda_link::JoinToken;
use remuda_model::Span;

use super::Format;

#[derive(Debug, Args)]
#[command(after_help = "\
Lists control nodes that announce themselves on the subnets of this machine, and those on trackers.
Anybody can announce anything; SEAL says `yes` for those that know the join secret of the token given.

Example:
  remuda discover --token-file join-token-worker")]
pub(crate) struct DiscoverArgs {
    /// Trackers to read, besides listening to the subnets
    #[arg(long, value_name = "URL,…", value_delimiter = ',')]
    pub(crate) tracker: Vec<TrackerUrl>,
    /// Join token of the cluster that is looked for
    #[arg(long, value_name = "TOKEN")]
    pub(crate) token: Option<JoinToken>,
    /// File that holds the join token
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    pub(crate) token_file: Option<PathBuf>,
    /// How long to listen; control nodes answer within a second and announce themselves every three
    #[arg(long, value_name = "SPAN", default_value = "1s")]
    pub(crate) wait: Span,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Everybody who reaches the address may read and write. Control nodes are pinned up with
`remuda agent --control --tracker URL`, and found with `remuda agent --tracker URL --token …`.

Example:
  remuda tracker --listen 0.0.0.0:44201")]
pub(crate) struct TrackerArgs {
    /// Where to serve the board
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:44201")]
    pub(crate) listen: SocketAddr,
}
