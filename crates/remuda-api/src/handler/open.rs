//! The API itself: health, version, description.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use remuda_control::Consistency;

use crate::{
    api::Api,
    dto::{Health, Ready, Version},
    openapi,
};

/// Whether the process answers
#[utoipa::path(get, path = "/healthz", tag = "api", responses((status = 200, body = Health)))]
pub(crate) async fn health() -> Json<Health> {
    Json(Health { status: "ok".to_owned() })
}

/// Whether the control node can serve reads and changes
#[utoipa::path(get, path = "/readyz", tag = "api", responses(
    (status = 200, body = Ready),
    (status = 503, description = "It knows no leader.", body = Ready),
))]
pub(crate) async fn ready(State(api): State<Api>) -> (StatusCode, Json<Ready>) {
    // Open to everybody: it says no more than that.
    let cluster = api.control().cluster(Consistency::Stale).await;
    let ready = cluster.is_ok_and(|cluster| cluster.leader.is_some());
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Ready { ready }))
}

/// What runs here
#[utoipa::path(get, path = "/version", tag = "api", responses((status = 200, body = Version)))]
pub(crate) async fn version() -> Json<Version> {
    Json(Version { version: remuda_model::VERSION.to_owned(), api: "v1".to_owned() })
}

/// This document
#[utoipa::path(get, path = "/openapi.json", tag = "api", responses(
    (status = 200, description = "OpenAPI 3.1", body = serde_json::Value),
))]
pub(crate) async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], openapi::json())
}
