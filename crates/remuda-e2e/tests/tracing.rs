//! One request leaves one trace, over all nodes that it passes.

use std::sync::{Arc, Mutex};

use remuda::trace;
use remuda_e2e::{Lab, Place, command, eventually, finish, id, info, remuda};
use remuda_model::TraceContext;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// A span as the collector got it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Span {
    node: String,
    trace: String,
    id: String,
    parent: String,
    name: String,
}

/// A collector of OTLP over HTTP.
struct Collector {
    url: String,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let spans = Arc::new(Mutex::new(Vec::new()));
        let collected = Arc::clone(&spans);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let collected = Arc::clone(&collected);
                tokio::spawn(async move {
                    let message = receive(stream).await;
                    collected.lock().expect("no panic").extend(read(&message));
                });
            }
        });
        Self { url, spans }
    }

    fn of_trace(&self, context: TraceContext) -> Vec<Span> {
        let trace = context.trace_id().to_string();
        let mut spans = self.spans.lock().expect("no panic").clone();
        spans.retain(|span| span.trace == trace);
        spans
    }

    /// Waits for a span of this name and node.
    async fn has(&self, context: TraceContext, node: &str, name: &str) -> Span {
        let what = format!("the span {name} of {node}");
        let probe = async || self.of_trace(context);
        let good = |span: &&Span| span.node == node && span.name == name;
        let spans = eventually(&what, probe, |seen| seen.iter().any(|span| good(&span))).await;
        spans.iter().find(good).expect("just seen").clone()
    }
}

/// One request of HTTP/1.1 with its answer.
async fn receive(mut stream: TcpStream) -> Value {
    let mut bytes = Vec::new();
    let body = loop {
        stream.read_buf(&mut bytes).await.expect("a request");
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        assert!(head.starts_with("post /v1/traces http/1.1"), "{head}");
        assert!(head.contains("content-type: application/json"), "{head}");
        let length = head.split("content-length: ").nth(1).expect("a length");
        let length: usize = length.lines().next().expect("a line").parse().expect("a number");
        let body = end + 4..end + 4 + length;
        if bytes.len() >= body.end {
            break body;
        }
    };
    let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    stream.write_all(answer.as_bytes()).await.expect("an answer");
    serde_json::from_slice(&bytes[body]).expect("JSON")
}

fn read(message: &Value) -> Vec<Span> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut read = Vec::new();
    for resource in list(&message["resourceSpans"]) {
        let attributes = list(&resource["resource"]["attributes"]);
        let node = attributes.iter().find(|one| one["key"] == "service.instance.id");
        let node = text(&node.expect("a node")["value"]["stringValue"]);
        for scope in list(&resource["scopeSpans"]) {
            read.extend(list(&scope["spans"]).iter().map(|span| Span {
                node: node.clone(),
                trace: text(&span["traceId"]),
                id: text(&span["spanId"]),
                parent: text(&span["parentSpanId"]),
                name: text(&span["name"]),
            }));
        }
    }
    read
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_is_one_trace_over_three_nodes() {
    let collector = Collector::start().await;
    let extra = ["--otlp-endpoint", &collector.url, "--trace-ratio", "0"];
    let lab = Lab::start_with(2, 1, &extra).await;
    let nodes = lab.wait_ready(3).await;
    let worker = nodes.iter().find(|node| node.id == id("w1")).expect("listed");
    let owner = worker.owner.clone().expect("owned").to_string();
    let asked = if owner == "c1" { "c2" } else { "c1" };
    let client = lab.client(asked);

    // Client, API, control node, owner, worker, class.
    let context = TraceContext::root(true);
    Box::pin(trace::within(context, info(&client, "w1"))).await.expect("an answer");
    let api = collector.has(context, asked, "POST /v1/nodes/{node}/requests").await;
    let control = collector.has(context, &owner, "remuda/control/1").await;
    let work = collector.has(context, "w1", "remuda/work/1").await;
    let class = collector.has(context, "w1", "request").await;
    assert_eq!(api.parent, context.span_id().to_string());
    assert_eq!(
        [&control.parent, &work.parent, &class.parent],
        [&api.id, &control.id, &work.id],
        "{:#?}",
        collector.of_trace(context)
    );
    assert_eq!(collector.of_trace(context).len(), 4);
    let log = lab.node(asked).log();
    let traced = |line: &&str| line.contains("a change by the API");
    let line = log.lines().find(traced).expect("a line about the request");
    assert!(line.contains(&context.trace_id().to_string()), "{line}");

    // The start of a task, asked for by a program that is traced itself.
    let context = TraceContext::root(true);
    let place = Place::default().with("TRACEPARENT", &context.to_string());
    let mut exec = place.command(remuda());
    exec.args(["exec", "w1", "--", "echo", "traced"]);
    exec.env("REMUDA_ADDR", lab.node(asked).api()).env("REMUDA_TOKEN", lab.admin_token());
    let done = finish(exec).await;
    assert_eq!(done.stdout, "traced\n", "{done:?}");
    collector.has(context, "w1", "start").await;
    collector.has(context, asked, "POST /v1/nodes/{node}/exec").await;

    // Whoever is not to be sampled is followed in the log only, and nothing is traced by itself.
    let quiet = TraceContext::root(false);
    Box::pin(trace::within(quiet, info(&client, "w1"))).await.expect("an answer");
    client.exec_detached(&id("w1"), &command(&["true"])).await.expect("a task");
    let context = TraceContext::root(true);
    Box::pin(trace::within(context, info(&client, "w1"))).await.expect("an answer");
    collector.has(context, "w1", "request").await;
    assert!(lab.node(asked).log().contains(&quiet.trace_id().to_string()));
    assert_eq!(collector.of_trace(quiet), []);
    let spans = collector.spans.lock().expect("no panic").clone();
    let mut traces: Vec<_> = spans.iter().map(|span| span.trace.clone()).collect();
    traces.sort();
    traces.dedup();
    assert_eq!(traces.len(), 3, "{spans:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_or_silent_holds_nobody_up() {
    // It takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("bound"));
    let mut lab = Lab::start_with(1, 0, &["--otlp-endpoint", &url]).await;
    let client = lab.client("c1");
    for _ in 0..50 {
        info(&client, "c1").await.expect("an answer");
    }
    drop(silent);
    let log = async || lab.node("c1").log();
    eventually("a complaint", log, |log| log.contains("spans are lost")).await;
    info(&client, "c1").await.expect("an answer");
    assert_eq!(lab.node_mut("c1").terminate().await, Some(0));
}
