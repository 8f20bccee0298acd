//! `remuda dev`.

use std::path::PathBuf;

use clap::Args;
use remuda_model::{Labels, NodeId};

use super::Format;

#[derive(Debug, Args)]
#[command(after_help = "\
Nodes are called dev1, dev2, …; control nodes come first. Ctrl-C stops them all. With a command, the
cluster lives as long as the command, which finds it through REMUDA_ADDR and REMUDA_TOKEN.

Examples:
  remuda dev
  remuda dev --controls 1 --workers 1 --label 'dev2=gpu;model=a100' -- remuda node list")]
pub(crate) struct DevArgs {
    /// How many control nodes [default: 3, or as many as are kept]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=9))]
    pub(crate) controls: Option<u16>,
    /// How many further workers [default: 2, or as many as are kept]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=64))]
    pub(crate) workers: Option<u16>,
    /// Keep the cluster here, and go on with it next time
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Labels of one node
    #[arg(long = "label", value_name = "NODE=LABELS", value_parser = node_labels)]
    pub(crate) labels: Vec<(NodeId, Labels)>,
    /// Let fan-out runs contact this machine's loopback
    #[arg(long)]
    pub(crate) fanout_allow_loopback: bool,
    #[command(flatten)]
    pub(crate) format: Format,
    /// Run this against the cluster, stop everything, exit with its status
    #[arg(last = true, value_name = "CMD")]
    pub(crate) command: Vec<String>,
}

fn node_labels(text: &str) -> Result<(NodeId, Labels), String> {
    let (node, labels) = text.split_once('=').ok_or("expected NODE=LABELS, as in dev4=gpu")?;
    let node = node.parse().map_err(|error| format!("{error}"))?;
    Ok((node, labels.parse().map_err(|error| format!("{error}"))?))
}
