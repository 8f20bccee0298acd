//! The one gate before all handlers: names, origins, tokens and scopes. Whatever is not in the
//! route table is refused.

mod host;
mod throttle;
mod traced;

use std::{net::IpAddr, time::Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use remuda_control::Principal;
use remuda_model::{ErrorKind, Failure};

pub(crate) use self::{host::Hosts, throttle::Throttle};
use crate::{
    access::{self, Access, Caller},
    answer::ApiError,
    api::Api,
    route::{self, Lookup},
};

/// The address that a connection comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source(pub(crate) IpAddr);

/// Headers of every answer. Nothing here is a page; a browser must not take it for one.
const SECURITY: [(header::HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Lets a request pass to its handler, or answers in its place.
pub(crate) async fn guard(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let found = route::lookup(request.method(), path);
    let mut response = match admit(&api, &request, found) {
        Err(refusal) => refusal.into_response(),
        Ok(caller) => {
            if let Some(caller) = &caller {
                request.extensions_mut().insert(Caller(caller.token.clone()));
            }
            let changing = caller.filter(|_| is_changing(request.method()));
            let what = changing
                .map(|caller| (caller, request.method().clone(), request.uri().path().to_owned()));
            let span = traced::span(&request);
            let answer = async {
                let response = next.run(request).await;
                if let Some((caller, method, path)) = what {
                    let (token, status) = (caller.token, response.status().as_u16());
                    tracing::info!(%token, %method, path, status, "a change by the API");
                }
                response
            };
            traced::follow(span, answer).await
        }
    };
    secure(response.headers_mut());
    api.stats().answered(found.place(), response.status(), began.elapsed());
    response
}

/// Adds what every answer says to browsers.
pub(crate) fn secure(headers: &mut HeaderMap) {
    for (name, value) in SECURITY {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Who may pass: nobody in particular on open routes.
fn admit(api: &Api, request: &Request, found: Lookup) -> Result<Option<Principal>, ApiError> {
    let (method, headers) = (request.method(), request.headers());
    let host = api.hosts().check_host(headers, request.uri())?;
    if is_changing(method) {
        Hosts::check_origin(headers, &host)?;
    }
    if let Lookup::Found(at, access) = found
        && (access == Access::Open || (api.has_open_metrics() && route::is_metrics(at)))
    {
        return Ok(None);
    }
    let caller = authenticate(api, request, bearer(request.headers()))?;
    match found {
        Lookup::Found(_, Access::Scope(needed)) => {
            access::check(&caller, needed)?;
            Ok(Some(caller))
        }
        Lookup::Found(_, Access::Open) => Ok(None),
        Lookup::OtherMethod => {
            let failure = Failure::invalid(format!("the path takes no `{method}`"));
            Err(ApiError::from(failure.code("method_not_allowed"))
                .status(StatusCode::METHOD_NOT_ALLOWED))
        }
        Lookup::None => Err(Failure::not_found("the API has no such path")
            .code("no_such_path")
            .hint("GET /openapi.json lists all paths")
            .into()),
    }
}

/// Who the bearer of a token is; counts wrong ones.
pub(crate) fn authenticate(
    api: &Api,
    request: &Request,
    token: Option<&str>,
) -> Result<Principal, ApiError> {
    let Some(token) = token else {
        return Err(Failure::new(ErrorKind::Unauthenticated, "the API needs a token")
            .code("token_missing")
            .hint("send it as `Authorization: Bearer rmt1.…`; `remuda token create` makes one")
            .into());
    };
    let failure = match api.control().authenticate(token) {
        Ok(caller) => return Ok(caller),
        Err(failure) => failure,
    };
    // Only the server can say where a request comes from, and it always does.
    let source = request.extensions().get::<Source>().map(|source| source.0);
    let wrong = failure.kind == ErrorKind::Unauthenticated;
    if wrong && source.is_some_and(|source| api.wrong_token(source)) {
        let failure = Failure::new(ErrorKind::Unauthenticated, "too many wrong tokens")
            .code("too_many_failures");
        return Err(ApiError::from(failure).status(StatusCode::TOO_MANY_REQUESTS));
    }
    Err(failure.into())
}

/// The token, when exactly one is sent.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether the method may change anything.
fn is_changing(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD)
}
