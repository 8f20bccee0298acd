//! Another surface behind the same gate: names, origins, tokens, scopes, limits and TLS are those of
//! the API, the paths are its own.

use std::{fmt, net::SocketAddr};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use remuda_control::Control;
use remuda_model::{ErrorKind, Failure};
use remuda_runtime::Supervisor;

use crate::{
    access,
    answer::ApiError,
    api::Api,
    config::{ApiConfig, ServeError},
    guard::{self, Hosts},
    serve,
};

/// A surface beside the API.
#[derive(Clone)]
pub struct Surface {
    /// What it is called in the log.
    pub name: &'static str,
    /// Answers what has passed the gate.
    pub router: Router,
    /// The scope that a path demands; nothing where there is no such path.
    pub scope: fn(&str) -> Option<remuda_state::Scope>,
}

impl fmt::Debug for Surface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surface").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Serves a surface until the supervisor stops; tells the address with its real port. Callers send
/// their token as `Authorization: Bearer …`, or as `token` in the query if their program can send no
/// header.
///
/// # Errors
///
/// As [`serve`](crate::serve()).
///
/// # Cancel safety
///
/// Nothing is served when the future is dropped.
pub async fn serve_surface(
    config: ApiConfig,
    control: Control,
    supervisor: Supervisor,
    surface: Surface,
) -> Result<SocketAddr, ServeError> {
    let nursery = supervisor.clone();
    let name = surface.name;
    let router = |config: &ApiConfig, address: SocketAddr| {
        let hosts = Hosts::new(address, &config.names);
        let gate = Gate { api: Api::new(config, hosts, control, nursery), scope: surface.scope };
        surface.router.layer(middleware::from_fn_with_state(gate, pass))
    };
    serve::listen(config, supervisor, name, router).await
}

#[derive(Clone)]
struct Gate {
    api: Api,
    scope: fn(&str) -> Option<remuda_state::Scope>,
}

/// Lets a request pass, or answers in its place.
async fn pass(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let mut response = match gate.admit(&request) {
        Err(refusal) => refusal.into_response(),
        Ok(caller) => {
            let (method, path) = (request.method().clone(), request.uri().path().to_owned());
            let response = next.run(request).await;
            if caller.is_changing {
                let (token, status) = (caller.token, response.status().as_u16());
                tracing::info!(%token, %method, path, status, "a change by another surface");
            }
            response
        }
    };
    guard::secure(response.headers_mut());
    response
}

/// Who passes.
struct Admitted {
    token: remuda_model::TokenId,
    is_changing: bool,
}

impl Gate {
    fn admit(&self, request: &Request) -> Result<Admitted, ApiError> {
        let headers = request.headers();
        let host = self.api.hosts().check_host(headers, request.uri())?;
        // Whatever the method, it may change something.
        Hosts::check_origin(headers, &host)?;
        let token = guard::bearer(headers).or_else(|| in_query(headers, request.uri().query()));
        let caller = guard::authenticate(&self.api, request, token)?;
        let needed = (self.scope)(request.uri().path()).ok_or_else(|| {
            let failure = Failure::new(ErrorKind::NotFound, "there is no such path");
            ApiError::from(failure.code("no_such_path")).status(StatusCode::NOT_FOUND)
        })?;
        access::check(&caller, needed.into())?;
        Ok(Admitted { token: caller.token, is_changing: needed > remuda_state::Scope::Read })
    }
}

/// The token of the query, when there is exactly one and none in a header. Tokens have no character
/// that is written otherwise in a query.
fn in_query<'a>(headers: &HeaderMap, query: Option<&'a str>) -> Option<&'a str> {
    if headers.contains_key(axum::http::header::AUTHORIZATION) {
        return None;
    }
    let mut tokens = query?.split('&').filter_map(|field| field.strip_prefix("token="));
    tokens.next().filter(|_| tokens.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token_of_the_query_counts() {
        let none = HeaderMap::new();
        assert_eq!(in_query(&none, Some("a=b&token=rmt1.x.y")), Some("rmt1.x.y"));
        assert_eq!(in_query(&none, Some("token=a&token=b")), None);
        assert_eq!(in_query(&none, Some("xtoken=a")), None);
        assert_eq!(in_query(&none, None), None);
        let mut headers = HeaderMap::new();
        headers.insert("authorization", "Basic eA==".parse().expect("a value"));
        assert_eq!(in_query(&headers, Some("token=a")), None);
    }
}
