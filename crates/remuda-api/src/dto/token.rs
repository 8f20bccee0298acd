//! API tokens.

use std::{fmt, str::FromStr};

use remuda_model::{Failure, TokenId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What the holder of a token may do; each includes the ones before.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// See.
    Read,
    /// Run work and change nodes.
    Operate,
    /// Change the cluster itself, its control nodes and tokens.
    Admin,
}

impl Scope {
    /// The word used in JSON and texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        [Self::Read, Self::Operate, Self::Admin]
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| {
                Failure::invalid(format!("unknown scope `{}`", text.escape_debug()))
                    .hint("use `read`, `operate` or `admin`")
            })
    }
}

/// Makes a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// For people: who or what will hold it.
    pub name: String,
    /// What it allows.
    pub scope: Scope,
    /// It expires after this time; never unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
}

/// A token without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Its public half.
    #[schema(value_type = String)]
    pub id: TokenId,
    /// For people.
    pub name: String,
    /// What it allows.
    pub scope: Scope,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// When it expires, likewise.
    pub expires_ms: Option<u64>,
}

/// All tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tokens {
    /// Sorted by id.
    pub tokens: Vec<Token>,
}

/// A fresh token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedToken {
    /// What can be shown later.
    pub token: Token,
    /// The whole text that callers send; shown only this once.
    pub secret: String,
}

impl fmt::Debug for CreatedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreatedToken").field("token", &self.token).finish_non_exhaustive()
    }
}
