//! `remuda class`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use remuda_model::{NodeId, Selector};

use super::{Connect, Format};

#[derive(Debug, Subcommand)]
pub(crate) enum ClassCommand {
    /// Load a WebAssembly component as a job class, while the nodes run
    #[command(after_help = "\
What runs already keeps the version that it began with. Grants are `log`, `clock`, `key_value`, `files`,
`events` and `http=HOST:PORT`.

Examples:
  remuda class load greeter greeter.wasm --all
  remuda class load greeter greeter.wasm --version 2 --on gpu --grant log --grant http=10.0.0.1:80")]
    Load {
        /// Name of the job class
        name: String,
        /// The component
        #[arg(value_name = "FILE")]
        component: PathBuf,
        /// Its version; the beginning of its digest unless given
        #[arg(long)]
        version: Option<String>,
        /// Keep the present version as the one that the name alone means
        #[arg(long)]
        beside: bool,
        /// Allow it something; may be repeated
        #[arg(long = "grant", value_name = "GRANT", value_parser = grant)]
        grants: Vec<Grant>,
        /// Bound it, such as `memory_bytes=134217728` or `cpu_ms=5000`; may be repeated
        #[arg(long = "quota", value_name = "NAME=NUMBER", value_parser = quota)]
        quotas: Vec<(String, u64)>,
        #[command(flatten)]
        nodes: ClassNodes,
    },
    /// List the components that are loaded
    #[command(visible_alias = "ls", after_help = "Example:\n  remuda class list --all")]
    List {
        #[command(flatten)]
        nodes: ClassNodes,
    },
    /// Take a component away; its running tasks go on to their ends
    #[command(after_help = "Example:\n  remuda class unload greeter --version 1 --all")]
    Unload {
        /// Name of the job class
        name: String,
        /// Only this version
        #[arg(long)]
        version: Option<String>,
        /// Remove what it has kept on the nodes, too
        #[arg(long)]
        purge: bool,
        #[command(flatten)]
        nodes: ClassNodes,
    },
}

/// On which nodes.
#[derive(Debug, Args)]
pub(crate) struct ClassNodes {
    /// On this node
    #[arg(long, value_name = "NODE", required_unless_present_any = ["on", "all"], conflicts_with_all = ["on", "all"])]
    pub(crate) node: Option<NodeId>,
    /// On every node that meets this condition
    #[arg(long, value_name = "SELECTOR", conflicts_with = "all")]
    pub(crate) on: Option<Selector>,
    /// On every node
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) connect: Connect,
}

/// What a component may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// Something by its name.
    Named(String),
    /// Requests to one host.
    Http(String),
}

fn grant(text: &str) -> Result<Grant, String> {
    match text.split_once('=') {
        Some(("http", host)) if !host.is_empty() => Ok(Grant::Http(host.to_owned())),
        Some(_) => Err("expected http=HOST:PORT".to_owned()),
        None if text == "http" => Err("expected http=HOST:PORT".to_owned()),
        None => Ok(Grant::Named(text.to_owned())),
    }
}

fn quota(text: &str) -> Result<(String, u64), String> {
    let (name, number) = text.split_once('=').ok_or("expected NAME=NUMBER")?;
    let number = number.parse().map_err(|error| format!("`{number}`: {error}"))?;
    Ok((name.to_owned(), number))
}
