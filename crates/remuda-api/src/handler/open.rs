//! The API itself: health, version, description.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use remuda_model::Failure;

use crate::{
    answer::Answer,
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
    let ready = api.control().is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Ready { ready }))
}

/// What runs here
#[utoipa::path(get, path = "/version", tag = "api", responses((status = 200, body = Version)))]
pub(crate) async fn version() -> Json<Version> {
    Json(Version { version: remuda_model::VERSION.to_owned(), api: "v1".to_owned() })
}

/// What is counted, for Prometheus
///
/// The names and units stand in `docs/metrics.md`. A control node may be configured to show them
/// without a token.
#[utoipa::path(get, path = "/metrics", tag = "api", responses(
    (status = 200, description = "Text format 0.0.4 of Prometheus", body = String,
        content_type = "text/plain"),
))]
pub(crate) async fn metrics(State(api): State<Api>) -> Answer<impl IntoResponse> {
    // It reads files of the kernel, and walks over all links.
    let text = tokio::task::spawn_blocking(move || api.metrics()).await;
    let text = text.map_err(|error| Failure::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text))
}

/// This document
#[utoipa::path(get, path = "/openapi.json", tag = "api", responses(
    (status = 200, description = "OpenAPI 3.1", body = serde_json::Value),
))]
pub(crate) async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], openapi::json())
}
