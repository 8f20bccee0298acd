//! API tokens.

use std::time::Duration;

use axum::{Json, extract::State, http::StatusCode};
use remuda_control::TokenRecord;
use remuda_model::TokenId;

use crate::{
    answer::Answer,
    api::Api,
    dto::{Consistency, CreateToken, CreatedToken, ReadQuery, Token, Tokens},
    extract::{Args, Json as Body, Params},
};

fn shown(record: TokenRecord) -> Token {
    Token {
        id: record.id,
        name: record.name,
        scope: record.scope.into(),
        created_ms: record.created_ms,
        expires_ms: record.expires_ms,
    }
}

/// All tokens, without their secrets
#[utoipa::path(get, path = "/v1/tokens", tag = "tokens", params(ReadQuery),
    responses((status = 200, body = Tokens)))]
pub(crate) async fn list_tokens(
    State(api): State<Api>,
    Params(query): Params<ReadQuery>,
) -> Answer<Json<Tokens>> {
    let tokens = match query.consistency {
        Consistency::Linearizable => api.control().tokens().await?,
        Consistency::Stale => api.control().known_tokens(),
    };
    Ok(Json(Tokens { tokens: tokens.into_iter().map(shown).collect() }))
}

/// Makes a token; its secret is shown only this once
#[utoipa::path(post, path = "/v1/tokens", tag = "tokens", request_body = CreateToken,
    responses((status = 201, body = CreatedToken)))]
pub(crate) async fn create_token(
    State(api): State<Api>,
    Body(request): Body<CreateToken>,
) -> Answer<(StatusCode, Json<CreatedToken>)> {
    let ttl = request.ttl_ms.map(Duration::from_millis);
    let scope = request.scope.into();
    let (record, secret) = api.control().create_token(&request.name, scope, ttl).await?;
    Ok((StatusCode::CREATED, Json(CreatedToken { token: shown(record), secret })))
}

/// Makes a token useless
#[utoipa::path(delete, path = "/v1/tokens/{token}", tag = "tokens",
    params(("token" = String, Path, description = "Its id")),
    responses((status = 204, description = "It allows nothing any more.")))]
pub(crate) async fn revoke_token(
    State(api): State<Api>,
    Args(token): Args<TokenId>,
) -> Answer<StatusCode> {
    api.control().revoke_token(&token).await?;
    Ok(StatusCode::NO_CONTENT)
}
