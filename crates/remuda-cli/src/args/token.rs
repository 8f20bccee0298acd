//! `remuda token`.

use clap::{Subcommand, ValueEnum};
use remuda_model::{Span, TokenId};

use super::{Connect, Format};

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token; its secret is shown only now
    #[command(after_help = "Example:\n  remuda token create ci --scope operate --ttl 30d")]
    Create {
        /// For people: who or what will hold it
        name: String,
        /// What its holder may do
        #[arg(long, default_value = "read")]
        scope: TokenScope,
        /// It expires after this time; never unless given
        #[arg(long, value_name = "SPAN")]
        ttl: Option<Span>,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        connect: Connect,
    },
    /// List tokens, without their secrets
    #[command(visible_alias = "ls", after_help = "Example:\n  remuda token list")]
    List {
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        connect: Connect,
    },
    /// Refuse a token from now on
    #[command(after_help = "Example:\n  remuda token revoke 8r2k1m0c")]
    Revoke {
        /// Id of the token
        id: TokenId,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        connect: Connect,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TokenScope {
    /// See
    Read,
    /// Run work and change nodes
    Operate,
    /// Change the cluster itself, its control nodes and tokens
    Admin,
}
