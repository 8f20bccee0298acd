//! Answers: failures with their status, and the index of the state that was read.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use remuda_model::{ErrorKind, Failure};

use crate::dto::ErrorBody;

/// What a handler gives.
pub(crate) type Answer<T> = Result<T, ApiError>;

/// A failure on its way to the caller.
#[derive(Debug)]
pub(crate) struct ApiError {
    failure: Failure,
    status: Option<StatusCode>,
    closing: bool,
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        Self { failure, status: None, closing: false }
    }
}

impl ApiError {
    /// Answers with another status than that of the kind.
    pub(crate) fn status(self, status: StatusCode) -> Self {
        Self { status: Some(status), ..self }
    }

    /// Ends the connection with the answer: the rest of the request is not worth reading.
    pub(crate) fn closing(self) -> Self {
        Self { closing: true, ..self }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let kind = self.failure.kind;
        if kind == ErrorKind::Internal {
            tracing::error!(message = %self.failure.message, "a call failed because of a bug");
        }
        let status = self.status.unwrap_or_else(|| {
            StatusCode::from_u16(kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
        });
        let mut response = (status, axum::Json(ErrorBody { error: self.failure })).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.closing {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
