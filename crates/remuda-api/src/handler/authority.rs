//! Join tokens, certificates and the authority behind them: what is exchanged, and how far it is.

use std::time::Duration;

use axum::{Json, extract::State, http::StatusCode};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use remuda_model::{Failure, NodeId, Role};

use crate::{
    answer::Answer,
    api::Api,
    dto::{Authority, Ca, JoinToken, ReadQuery, RotateAuthority},
    extract::{Args, Json as Body, Params},
};

/// How long a step of a rotation waits for nodes that are away.
const GRACE: Duration = Duration::from_hours(24);

/// Which certificate authorities count
#[utoipa::path(get, path = "/v1/cluster/authority", tag = "cluster", params(ReadQuery),
    responses((status = 200, body = Authority)))]
pub(crate) async fn get_authority(
    State(api): State<Api>,
    Params(query): Params<ReadQuery>,
) -> Answer<Json<Authority>> {
    let view = api.control().authority(query.consistency.into()).await?;
    let ca = |(pin, signs): ([u8; 32], bool)| Ca { pin: BASE64_URL_SAFE_NO_PAD.encode(pin), signs };
    Ok(Json(Authority {
        step: view.step.into(),
        cas: view.cas.into_iter().map(ca).collect(),
        until_ms: view.until_ms,
        waiting: view.waiting,
        n_waiting: view.n_waiting.try_into().unwrap_or(u64::MAX),
    }))
}

/// Begins to replace the certificate authority
#[utoipa::path(post, path = "/v1/cluster/authority", tag = "cluster",
    request_body = RotateAuthority,
    responses((status = 202, description = "It has begun, and goes on by itself.")))]
pub(crate) async fn rotate_authority(
    State(api): State<Api>,
    Body(request): Body<RotateAuthority>,
) -> Answer<StatusCode> {
    let grace = request.grace_ms.map_or(GRACE, Duration::from_millis);
    api.control().rotate_ca(grace).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Makes another join token, and the present one worthless
#[utoipa::path(post, path = "/v1/cluster/join-tokens/{role}", tag = "cluster",
    params(("role" = String, Path, description = "`control` or `worker`")),
    responses((status = 200, body = JoinToken)))]
pub(crate) async fn rotate_join_token(
    State(api): State<Api>,
    Args(role): Args<String>,
) -> Answer<Json<JoinToken>> {
    let Ok(role @ (Role::Control | Role::Worker)) = role.parse() else {
        return Err(Failure::invalid("path: role: expected `control` or `worker`").into());
    };
    Ok(Json(JoinToken { token: api.control().rotate_join_token(role).await? }))
}

/// Gives a node a new certificate
#[utoipa::path(post, path = "/v1/nodes/{node}/certificate", tag = "nodes",
    params(("node" = String, Path, description = "Its name")),
    responses((status = 204, description = "It shows another certificate from now on.")))]
pub(crate) async fn renew_certificate(
    State(api): State<Api>,
    Args(node): Args<NodeId>,
) -> Answer<StatusCode> {
    api.control().renew_certificate(&node).await?;
    Ok(StatusCode::NO_CONTENT)
}
