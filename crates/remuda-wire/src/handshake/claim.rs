//! Who a certificate says its holder is.

use std::{fmt, str::FromStr};

use remuda_model::{ClusterId, NodeId, Role};

/// The subject of a node certificate, written as the URI `remuda://<cluster>/<role>/<node>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The cluster whose CA signed it.
    pub cluster: ClusterId,
    /// The role that the holder may claim; no other.
    pub role: Role,
    /// The holder.
    pub node: NodeId,
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "remuda://{}/{}/{}", self.cluster, self.role, self.node)
    }
}

/// The URI names no node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a node certificate must name `remuda://<cluster>/<role>/<node>`")]
pub struct ParseClaimError;

impl FromStr for Claim {
    type Err = ParseClaimError;

    fn from_str(text: &str) -> Result<Self, ParseClaimError> {
        let parse = || {
            let mut parts = text.strip_prefix("remuda://")?.split('/');
            let cluster = parts.next()?.parse().ok()?;
            let role = parts.next()?.parse().ok()?;
            let node = parts.next()?.parse().ok()?;
            parts.next().is_none().then_some(Self { cluster, role, node })
        };
        parse().ok_or(ParseClaimError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_read_whole_or_not_at_all() {
        let text = "remuda://00000000000000000000000001/control/ctl-1";
        let claim: Claim = text.parse().expect("valid");
        assert_eq!((claim.role, claim.node.as_str()), (Role::Control, "ctl-1"));
        assert_eq!(claim.to_string(), text);
        for bad in [
            "",
            "remuda://",
            "remuda://00000000000000000000000001/control",
            "remuda://00000000000000000000000001/root/ctl-1",
            "remuda://00000000000000000000000001/control/ctl-1/x",
            "remuda://00000000000000000000000001/control/",
            "http://00000000000000000000000001/control/ctl-1",
        ] {
            assert!(bad.parse::<Claim>().is_err(), "{bad}");
        }
    }
}
