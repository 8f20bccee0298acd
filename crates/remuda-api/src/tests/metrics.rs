//! The page of metrics: who may see it, and that it counts.

use super::fixture::{Server, request};
use crate::MoreMetrics;

#[tokio::test]
async fn the_page_counts_answers_by_route_and_status() {
    let server = Server::start().await;
    for path in ["/v1/nodes", "/v1/nodes", "/v1/nodes/w9", "/nowhere"] {
        server.call("GET", path, &server.read, "").await;
    }
    let refused = server.call("GET", "/metrics", "", "").await;
    assert_eq!(refused.status, 401, "{refused:?}");
    let answer = server.call("GET", "/metrics", &server.read, "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{answer:?}");
    let page = String::from_utf8(answer.body).expect("text");
    let nodes = "method=\"GET\",route=\"/v1/nodes\"";
    for line in [
        &format!("remuda_api_requests_total{{{nodes},status=\"200\"}} 2"),
        &format!("remuda_api_request_seconds_count{{{nodes}}} 2"),
        "remuda_api_requests_total{method=\"GET\",route=\"/v1/nodes/{node}\",status=\"404\"} 1",
        "remuda_api_requests_total{method=\"GET\",route=\"/metrics\",status=\"401\"} 1",
        "remuda_api_unknown_requests_total 1",
        "remuda_raft_is_leader 1",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is missing in\n{page}");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_page_is_open_only_where_it_is_configured_so() {
    let server = Server::configured(|config| {
        config.open_metrics = true;
        config.more_metrics = Some(MoreMetrics::new(|page| {
            page.gauge("remuda_more", "Something of the program.").value(7);
        }));
    });
    let server = server.await;
    let bytes = |path, host: &str| request("GET", path, &format!("Host: {host}\r\n"), "");
    let answer = server.raw(&bytes("/metrics", "localhost")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(String::from_utf8_lossy(&answer.body).contains("\nremuda_more 7\n"));
    let other = server.raw(&bytes("/v1/nodes", "localhost")).await;
    assert_eq!(other.status, 401, "nothing else is open: {other:?}");
    let foreign = server.raw(&bytes("/metrics", "evil.example")).await;
    assert_eq!(foreign.code(), "host_not_allowed", "not to pages of other names");
    server.stop().await;
}
