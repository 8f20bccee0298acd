//! The certificate authority of the cluster and its rotation.

use remuda_control::AuthorityStep;
use remuda_model::NodeId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which certificate authorities count, and how far a rotation has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Authority {
    /// How far a rotation has come.
    pub step: RotationStep,
    /// The authorities that count.
    pub cas: Vec<Ca>,
    /// When the next step is taken though nodes lag behind, in milliseconds since 1970.
    pub until_ms: Option<u64>,
    /// Nodes that have not done what the step asks of them: the first hundred.
    #[schema(value_type = Vec<String>)]
    pub waiting: Vec<NodeId>,
    /// How many such nodes there are.
    pub n_waiting: u64,
}

/// How far a rotation of the certificate authority has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RotationStep {
    /// There is one authority.
    Settled,
    /// Nodes learn to believe the new one.
    Announced,
    /// Nodes get certificates of the new one.
    Issuing,
}

impl From<AuthorityStep> for RotationStep {
    fn from(step: AuthorityStep) -> Self {
        match step {
            AuthorityStep::Settled => Self::Settled,
            AuthorityStep::Announced => Self::Announced,
            AuthorityStep::Issuing => Self::Issuing,
        }
    }
}

/// A certificate authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ca {
    /// SHA-256 of its public key in base64url, as join tokens have it.
    pub pin: String,
    /// Whether it signs.
    pub signs: bool,
}

/// Replaces the certificate authority.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateAuthority {
    /// How long each of the two steps waits for nodes that are away: a day unless said otherwise.
    /// Nodes that stay away for longer have to join anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_ms: Option<u64>,
}
