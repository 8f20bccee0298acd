//! Options that many commands share.

use clap::Args;

/// How to reach the cluster.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connect {
    /// Address of the API [env: REMUDA_ADDR]
    #[arg(long, value_name = "URL")]
    pub(crate) addr: Option<String>,
    /// API token [env: REMUDA_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// Certificates (PEM) to trust with https [env: REMUDA_CA]
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<std::path::PathBuf>,
    /// A connection from contexts.toml [env: REMUDA_CONTEXT]
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
}

/// How to print.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct Format {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Whether to trust what nodes send.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct Raw {
    /// Pass control characters on to the terminal
    #[arg(long)]
    pub(crate) raw: bool,
}
