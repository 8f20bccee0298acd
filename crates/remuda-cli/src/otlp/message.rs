//! Spans in the JSON form of OTLP 1.

use std::time::{SystemTime, UNIX_EPOCH};

use remuda_model::{Hex, NodeId, Release};
use remuda_runtime::trace::{Finished, Kind};
use serde_json::{Value, json};

/// `STATUS_CODE_ERROR`.
const FAILED: u8 = 2;

/// Which node the spans are of.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    node: String,
    version: &'static str,
}

impl Source {
    pub(crate) fn of(node: &NodeId, release: Release) -> Self {
        Self { node: node.to_string(), version: release.version }
    }
}

/// One message with these spans.
pub(super) fn traces(source: &Source, spans: &[Finished]) -> Value {
    json!({ "resourceSpans": [{
        "resource": { "attributes": [
            attribute("service.name", "remuda"),
            attribute("service.version", source.version),
            attribute("service.instance.id", &source.node),
        ]},
        "scopeSpans": [{
            "scope": { "name": "remuda", "version": source.version },
            "spans": spans.iter().map(span).collect::<Vec<_>>(),
        }],
    }]})
}

fn attribute(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn span(span: &Finished) -> Value {
    let kind = match span.kind {
        Kind::Internal => 1,
        Kind::Server => 2,
    };
    let facts = span.facts.iter().map(|(key, value)| attribute(key, value));
    let mut written = json!({
        "traceId": span.context.trace_id().to_string(),
        "spanId": span.context.span_id().to_string(),
        "name": span.name,
        "kind": kind,
        // Numbers of 64 bits are texts in the JSON of protobuf.
        "startTimeUnixNano": nanos(span.start),
        "endTimeUnixNano": nanos(span.end),
        "flags": span.context.flags,
        "attributes": facts.collect::<Vec<_>>(),
    });
    if let Some(parent) = &span.parent {
        written["parentSpanId"] = Hex(parent).to_string().into();
    }
    if let Some(error) = &span.error {
        written["status"] = json!({ "code": FAILED, "message": error });
    }
    written
}

fn nanos(time: SystemTime) -> String {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_span_is_written_as_the_specification_says() {
        let context: remuda_model::TraceContext =
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().expect("a context");
        let finished = Finished {
            context,
            parent: Some([0xa; 8]),
            name: "request".to_owned(),
            kind: Kind::Server,
            start: UNIX_EPOCH + Duration::from_nanos(1_700_000_000_000_000_001),
            end: UNIX_EPOCH + Duration::from_secs(1_700_000_001),
            facts: vec![("remuda.node", "w1".to_owned())],
            error: Some("no".to_owned()),
        };
        let source = Source { node: "c1".to_owned(), version: "1.2.3" };
        let written = traces(&source, &[finished]);
        let resource = &written["resourceSpans"][0];
        assert_eq!(resource["resource"]["attributes"][2]["value"]["stringValue"], "c1");
        assert_eq!(
            resource["scopeSpans"][0]["spans"][0],
            json!({
                "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
                "spanId": "00f067aa0ba902b7",
                "parentSpanId": "0a0a0a0a0a0a0a0a",
                "name": "request",
                "kind": 2,
                "startTimeUnixNano": "1700000000000000001",
                "endTimeUnixNano": "1700000001000000000",
                "flags": 1,
                "attributes": [{ "key": "remuda.node", "value": { "stringValue": "w1" } }],
                "status": { "code": 2, "message": "no" },
            })
        );
    }
}
