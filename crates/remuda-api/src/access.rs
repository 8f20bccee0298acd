//! What a route demands of its caller.

use remuda_control::Principal;
use remuda_model::{ErrorKind, Failure};

use crate::dto::Scope;

/// What a route demands of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing.
    Open,
    /// A token of at least this scope.
    Scope(Scope),
}

impl From<remuda_state::Scope> for Scope {
    fn from(scope: remuda_state::Scope) -> Self {
        match scope {
            remuda_state::Scope::Read => Self::Read,
            remuda_state::Scope::Operate => Self::Operate,
            remuda_state::Scope::Admin => Self::Admin,
        }
    }
}

impl From<Scope> for remuda_state::Scope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Read => Self::Read,
            Scope::Operate => Self::Operate,
            Scope::Admin => Self::Admin,
        }
    }
}

/// Refuses a caller whose token allows less than the route demands.
pub(crate) fn check(principal: &Principal, needed: Scope) -> Result<(), Failure> {
    let held = Scope::from(principal.scope);
    if held >= needed {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::Forbidden,
        format!("this needs a token of scope `{needed}`; yours has `{held}`"),
    )
    .hint(format!("make one with `remuda token create --scope {needed}`")))
}
