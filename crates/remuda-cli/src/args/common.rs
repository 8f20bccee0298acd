//! Options that many commands share.

use clap::Args;

/// How to reach the cluster.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connect {
    #[arg(long, value_name = "URL", help = "Address of the API [env: REMUDA_ADDR]")]
    pub(crate) addr: Option<String>,
    #[arg(long, value_name = "TOKEN", help = "API token [env: REMUDA_TOKEN]")]
    pub(crate) token: Option<String>,
    #[arg(
        long,
        value_name = "FILE",
        help = "Certificates (PEM) to trust with https [env: REMUDA_CA]"
    )]
    pub(crate) ca: Option<std::path::PathBuf>,
    #[arg(
        long,
        value_name = "NAME",
        help = "A connection from contexts.toml [env: REMUDA_CONTEXT]"
    )]
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
