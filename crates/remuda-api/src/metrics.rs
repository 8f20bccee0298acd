//! What the API counts of itself, by route.

use std::{fmt, sync::Arc, time::Duration};

use axum::http::StatusCode;
use remuda_runtime::metrics::{Counter, Latency, Page};

use crate::route::ROUTES;

/// The statuses that are counted apart, and the rest.
const STATUSES: [u16; 20] = [
    200, 201, 202, 204, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 500, 502, 503, 504,
    507,
];

/// Metrics of the program besides those of the control node, such as those of its worker.
#[derive(Clone)]
pub struct MoreMetrics(Arc<dyn Fn(&mut Page) + Send + Sync>);

impl MoreMetrics {
    /// Called on a thread that may block, for each scrape.
    pub fn new(write: impl Fn(&mut Page) + Send + Sync + 'static) -> Self {
        Self(Arc::new(write))
    }

    pub(crate) fn write(&self, page: &mut Page) {
        (self.0)(page);
    }
}

impl fmt::Debug for MoreMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MoreMetrics").finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct OfRoute {
    statuses: [Counter; STATUSES.len()],
    other: Counter,
    latency: Latency,
}

/// The answers of the API.
#[derive(Debug)]
pub(crate) struct Stats {
    /// In the order of the table.
    routes: Vec<OfRoute>,
    /// Requests for nothing that is in the table.
    elsewhere: Counter,
}

impl Stats {
    pub(crate) fn new() -> Self {
        let of_route = || OfRoute {
            statuses: [const { Counter::new() }; STATUSES.len()],
            other: Counter::new(),
            latency: Latency::new(),
        };
        Self { routes: ROUTES.iter().map(|_| of_route()).collect(), elsewhere: Counter::new() }
    }

    /// The head of an answer is ready: of the route at this place in the table, or of none.
    pub(crate) fn answered(&self, route: Option<usize>, status: StatusCode, time: Duration) {
        let Some(of_route) = route.and_then(|at| self.routes.get(at)) else {
            self.elsewhere.one();
            return;
        };
        let known = STATUSES.binary_search(&status.as_u16()).ok();
        let counter = known.and_then(|at| of_route.statuses.get(at)).unwrap_or(&of_route.other);
        counter.one();
        of_route.latency.took(time);
    }

    pub(crate) fn write(&self, page: &mut Page) {
        let names: Vec<String> = STATUSES.iter().map(u16::to_string).collect();
        let mut family = page.counter(
            "remuda_api_requests_total",
            "Answers of the API by method, route and status.",
        );
        for (route, counted) in ROUTES.iter().zip(&self.routes) {
            let (method, path) = (route.method.as_str(), route.path);
            for (status, counter) in names.iter().zip(&counted.statuses) {
                let labels = [("method", method), ("route", path), ("status", status)];
                family = family.counted(&labels, counter);
            }
            let labels = [("method", method), ("route", path), ("status", "other")];
            family = family.counted(&labels, &counted.other);
        }
        page.counter(
            "remuda_api_unknown_requests_total",
            "Requests for paths and methods that the API does not have.",
        )
        .value(self.elsewhere.get());
        let mut family = page.histogram(
            "remuda_api_request_seconds",
            "From a request to the head of its answer, by method and route.",
        );
        for (route, counted) in ROUTES.iter().zip(&self.routes) {
            if !counted.latency.is_empty() {
                let labels = [("method", route.method.as_str()), ("route", route.path)];
                family = family.latency(&labels, &counted.latency);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_in_order_and_every_answer_is_counted() {
        assert!(STATUSES.is_sorted());
        let stats = Stats::new();
        let time = Duration::from_millis(3);
        stats.answered(Some(0), StatusCode::OK, time);
        stats.answered(Some(0), StatusCode::IM_A_TEAPOT, time);
        stats.answered(None, StatusCode::NOT_FOUND, time);
        let mut page = Page::new();
        stats.write(&mut page);
        let text = page.into_text();
        let labels = "method=\"GET\",route=\"/healthz\"";
        for line in [
            &format!("remuda_api_requests_total{{{labels},status=\"200\"}} 1"),
            &format!("remuda_api_requests_total{{{labels},status=\"other\"}} 1"),
            &format!("remuda_api_request_seconds_count{{{labels}}} 2"),
            "remuda_api_unknown_requests_total 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }
}
