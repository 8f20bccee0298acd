//! What a route demands of its caller, and how long the caller may stay.

use axum::{extract::FromRequestParts, http::request::Parts};
use futures_util::future::BoxFuture;
use remuda_control::Principal;
use remuda_model::{ErrorKind, Failure, TokenId};

use crate::{answer::ApiError, api::Api, dto::Scope};

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

/// Who has sent a request that has passed the gate.
#[derive(Clone, Debug)]
pub(crate) struct Caller(pub(crate) TokenId);

impl Caller {
    /// Resolves when the token is revoked or expires: answers that go on end then.
    pub(crate) fn ended(self, api: &Api) -> BoxFuture<'static, ()> {
        let control = api.control().clone();
        Box::pin(async move { control.token_ended(&self.0).await })
    }
}

impl FromRequestParts<Api> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _api: &Api) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Failure::new(ErrorKind::Unauthenticated, "no token").into())
    }
}

/// Why an answer that went on has ended.
pub(crate) fn token_ended() -> Failure {
    Failure::new(ErrorKind::Unauthenticated, "the token was revoked or has expired")
        .code("token_ended")
        .hint("`remuda token create` makes another one")
}
