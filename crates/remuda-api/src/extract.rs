//! Reads what a request says: its path, query and body, with errors that name the field.

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{StatusCode, header, request::Parts},
};
use http_body_util::BodyExt;
use remuda_model::{Chain, ErrorKind, Failure};
use serde::de::DeserializeOwned;
use tokio::time::{Duration, Instant, timeout_at};

use crate::{answer::ApiError, api::Api};

/// How deeply JSON may be nested.
const MAX_DEPTH: usize = 64;
/// A body has to arrive at this rate after its grace.
const BYTES_PER_SECOND: usize = 16 * 1024;

/// Parameters in the path.
#[derive(Debug)]
pub(crate) struct Args<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Api> for Args<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        match Path::<T>::from_request_parts(parts, api).await {
            Ok(Path(args)) => Ok(Self(args)),
            Err(error) => Err(Failure::invalid(format!("path: {}", error.body_text())).into()),
        }
    }
}

/// Parameters in the query.
#[derive(Debug)]
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Api> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _api: &Api) -> Result<Self, ApiError> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Self(params)),
            Err(error) => Err(Failure::invalid(format!("query: {}", cause(&error))).into()),
        }
    }
}

/// A body of JSON.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Api> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        let limits = api.limits();
        let bytes = read(request, limits.body_bytes, limits.body_grace).await?;
        check_depth(&bytes)?;
        match axum::Json::<T>::from_bytes(&bytes) {
            Ok(axum::Json(value)) => Ok(Self(value)),
            Err(error) => Err(Failure::invalid(format!("body: {}", cause(&error))).into()),
        }
    }
}

/// The innermost texts of a rejection, which name the field; the outer ones name types of this
/// program.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let inner = error.source().map_or_else(|| error.to_string(), |inner| Chain(inner).to_string());
    let mut parts: Vec<&str> = Vec::new();
    for part in inner.split(": ") {
        if parts.last() != Some(&part) {
            parts.push(part);
        }
    }
    parts.join(": ")
}

async fn read(request: Request, max: usize, grace: Duration) -> Result<Vec<u8>, ApiError> {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > max) {
        return Err(too_large(max));
    }
    let start = Instant::now();
    let mut body: Body = request.into_body();
    let mut bytes = Vec::with_capacity(announced.unwrap_or_default().min(64 * 1024));
    loop {
        let earned = u64::try_from(bytes.len() / BYTES_PER_SECOND).unwrap_or(u64::MAX);
        let deadline = start + grace + Duration::from_secs(earned);
        let frame = timeout_at(deadline, body.frame()).await.map_err(|_elapsed| {
            let failure = Failure::invalid("the body of the request came too slowly");
            ApiError::from(failure.code("body_too_slow"))
                .status(StatusCode::REQUEST_TIMEOUT)
                .closing()
        })?;
        match frame {
            None => return Ok(bytes),
            Some(Ok(frame)) => {
                let data: Bytes = frame.into_data().unwrap_or_default();
                if bytes.len() + data.len() > max {
                    return Err(too_large(max));
                }
                bytes.extend_from_slice(&data);
            }
            Some(Err(error)) => {
                let failure =
                    Failure::invalid(format!("the body of the request broke off: {error}"));
                return Err(ApiError::from(failure).closing());
            }
        }
    }
}

fn too_large(max: usize) -> ApiError {
    let failure = Failure::new(ErrorKind::Invalid, format!("the body is longer than {max} bytes"));
    ApiError::from(failure.code("body_too_large")).status(StatusCode::PAYLOAD_TOO_LARGE).closing()
}

/// Refuses JSON nested so deeply that reading it could exhaust a stack, here or further on.
///
/// # Errors
///
/// [`Invalid`](ErrorKind::Invalid) with the code `body_too_deep`.
pub fn check_depth(json: &[u8]) -> Result<(), Failure> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(Failure::invalid(format!(
                        "body: nested more than {MAX_DEPTH} levels deep"
                    ))
                    .code("body_too_deep"));
                }
            }
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_texts_only() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(check_depth(nested(64).as_bytes()).is_ok());
        assert!(check_depth(nested(65).as_bytes()).is_err());
        assert!(check_depth("{\"a\":".repeat(65).as_bytes()).is_err());
        let flat = format!("[{}1]", "[],".repeat(1000));
        assert!(check_depth(flat.as_bytes()).is_ok());
        let text = format!("\"{}\\\"{}\"", "[".repeat(100), "{".repeat(100));
        assert!(check_depth(text.as_bytes()).is_ok());
    }
}
