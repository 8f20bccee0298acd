//! Follows requests of traced work: `traceparent` in, a span meanwhile, `traceparent` out.

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderMap, HeaderName, HeaderValue},
    response::Response,
};
use remuda_model::TraceContext;
use remuda_runtime::trace::{self, Kind, Span};

/// W3C Trace Context.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The span of a request that comes with a trace, or for which one is begun.
pub(super) fn span(request: &Request) -> Option<Span> {
    let given = context(request.headers());
    let context = given.or_else(trace::begin)?;
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let name = format!("{} {path}", request.method());
    let mut span = match given {
        Some(parent) => Span::child_of(parent, name, Kind::Server),
        None => Span::root(context, name, Kind::Server),
    };
    span.note("http.request.method", request.method());
    span.note("http.route", path);
    Some(span)
}

/// The context that the caller gave, when it gave exactly one that is valid.
fn context(headers: &HeaderMap) -> Option<TraceContext> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    value.to_str().ok()?.parse().ok()
}

/// Answers within the span, and tells the caller which one it was.
pub(super) async fn follow(span: Option<Span>, answer: impl Future<Output = Response>) -> Response {
    let Some(mut span) = span else { return answer.await };
    let mut response = span.run(answer).await;
    let status = response.status();
    span.note("http.response.status_code", &status.as_u16());
    if status.is_server_error() {
        span.fail(&status);
    }
    if let Ok(value) = HeaderValue::from_str(&span.context().to_string()) {
        response.headers_mut().insert(TRACEPARENT, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn one_valid_context_is_taken() {
        let headers = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(TRACEPARENT, HeaderValue::from_static(value));
            }
            context(&headers)
        };
        assert_eq!(headers(&[GIVEN]), GIVEN.parse().ok());
        assert_eq!(headers(&[]), None);
        assert_eq!(headers(&[GIVEN, GIVEN]), None);
        assert_eq!(headers(&["nonsense"]), None);
    }

    #[tokio::test]
    async fn the_answer_names_a_span_of_the_same_trace() {
        let given: TraceContext = GIVEN.parse().expect("a context");
        let span = Some(Span::child_of(given, "test", Kind::Server));
        let answer = async {
            let inside = trace::current().expect("traced").to_string();
            let mut response = Response::default();
            response.headers_mut().insert("inside", inside.parse().expect("a value"));
            response
        };
        let response = follow(span, answer).await;
        let told = context(response.headers()).expect("a context");
        assert_eq!((told.trace, told.flags), (given.trace, given.flags));
        assert_ne!(told.span, given.span);
        assert_eq!(response.headers()["inside"], told.to_string());
        let untraced = follow(None, async { Response::default() }).await;
        assert!(untraced.headers().is_empty());
    }
}
