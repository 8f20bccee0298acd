//! Answers in the shapes of old.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use remuda_model::{ErrorKind, Failure};
use remuda_runtime::wall_ms;
use serde::Serialize;

use crate::time;

/// What is answered.
pub(super) enum Reply {
    /// Nothing but that it was done.
    Empty,
    /// A text.
    Text(String),
    /// JSON.
    Json(Vec<u8>),
    /// JSON that comes bit by bit.
    Stream(Body),
}

/// A result and when it was told.
#[derive(Serialize)]
struct JsonResult<'a> {
    result: &'a str,
    time: String,
}

impl Reply {
    /// A value as JSON.
    pub(super) fn json(value: &impl Serialize) -> Result<Self, Wrong> {
        let json = serde_json::to_vec(value).map_err(|error| Failure::internal(&error))?;
        Ok(Self::Json(json))
    }

    /// A result.
    pub(super) fn result(result: &str) -> Result<Self, Wrong> {
        Self::json(&JsonResult { result, time: time::dotted(wall_ms()) })
    }

    pub(super) fn into_response(self) -> Response {
        let typed = |kind: &'static str, body: Body| {
            ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], body).into_response()
        };
        match self {
            Self::Empty => StatusCode::OK.into_response(),
            Self::Text(text) => typed("text/plain; charset=utf-8", text.into()),
            Self::Json(json) => typed("application/json; charset=utf-8", json.into()),
            Self::Stream(body) => typed("application/json; charset=utf-8", body),
        }
    }
}

/// Why a call is not answered. With the status 200 it is told as most errors were.
#[derive(Debug)]
pub(super) struct Wrong {
    message: String,
    status: StatusCode,
}

impl Wrong {
    /// Tells it as most errors were: with the status 200.
    pub(super) fn into_result(self) -> Self {
        self.with_status(StatusCode::OK)
    }

    pub(super) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    pub(super) fn into_response(self, path: &str) -> Response {
        let name = path.rsplit('/').next().unwrap_or_default();
        let name: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
        let result = format!("Error occured in {name}: {}", self.message);
        let body = JsonResult { result: &result, time: time::dotted(wall_ms()) };
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = Reply::Json(body).into_response();
        *response.status_mut() = self.status;
        response
    }
}

impl From<Failure> for Wrong {
    fn from(failure: Failure) -> Self {
        if failure.kind == ErrorKind::Internal {
            tracing::error!(message = %failure.message, "a call failed because of a bug");
        }
        let status = StatusCode::from_u16(failure.kind.http_status());
        let message = match failure.hint {
            Some(hint) => format!("{} ({hint})", failure.message),
            None => failure.message,
        };
        Self { message, status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR) }
    }
}

/// The caller has said something that cannot be.
impl From<String> for Wrong {
    fn from(message: String) -> Self {
        Self { message, status: StatusCode::BAD_REQUEST }
    }
}
