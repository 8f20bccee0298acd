//! What the client makes of answers, good and bad.

use std::time::Duration;

use remuda_model::{ErrorKind, TaskEnd};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{Client, ClientConfig, canned, client};
use crate::client::{
    Call, EventMessage, Grants, Load, Quota,
    dto::{EventQuery, ExecRequest, OutputLine},
};

const OK: &str =
    "HTTP/1.1 200 OK\r\nContent-Length: 28\r\n\r\n{\"version\":\"1\",\"api\":\"v1\"}  ";
const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\n\r\n";

fn chunked(chunks: &[&str]) -> &'static str {
    let chunk = |chunk: &&str| format!("{:x}\r\n{chunk}\r\n", chunk.len());
    let body = chunks.iter().map(chunk).collect::<Vec<_>>().concat();
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    format!("{head}{body}").leak()
}

#[tokio::test]
async fn nobody_there_is_said_with_advice() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let failure = client(address).version().await.expect_err("nobody");
    assert_eq!((failure.kind, failure.code.as_str()), (ErrorKind::Unavailable, "unreachable"));
    assert!(failure.message.contains(&address.to_string()), "{failure}");
    assert!(failure.hint.expect("advice").contains("remuda dev"));
}

#[tokio::test]
async fn calls_carry_the_token_and_share_a_connection() {
    let (address, mut requests) = canned(vec![vec![OK, OK, NO_CONTENT]]).await;
    let client = client(address);
    assert_eq!(client.version().await.expect("answered").api, "v1");
    assert_eq!(client.clone().version().await.expect("answered").version, "1");
    client.remove_node(&"w1".parse().unwrap(), true).await.expect("answered");
    for line in ["GET /version HTTP/1.1", "GET /version HTTP/1.1", "DELETE /v1/nodes/w1?force=true"]
    {
        let request = requests.recv().await.expect("a request");
        assert!(request.starts_with(line), "{request}");
        assert!(request.contains("authorization: Bearer rmt1.test.secret\r\n"), "{request}");
        assert!(request.contains(&format!("host: {address}\r\n")), "{request}");
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_replaced() {
    let (address, mut requests) = canned(vec![vec![OK], vec![OK], vec![OK]]).await;
    let client = client(address);
    for _ in 0..3 {
        client.version().await.expect("answered");
        requests.recv().await.expect("a request");
    }
}

#[tokio::test]
async fn an_answer_that_never_comes_is_unknown_unless_nothing_could_happen() {
    // The requests are read; then the connections end.
    let (address, _requests) = canned(vec![vec![""], vec![""]]).await;
    let client = client(address);
    let read = client.version().await.expect_err("no answer");
    assert_eq!(read.kind, ErrorKind::Unavailable, "{read:?}");
    let change = client.revoke_token(&"t1".parse().unwrap()).await.expect_err("no answer");
    assert_eq!(change.kind, ErrorKind::OutcomeUnknown, "{change:?}");
}

#[tokio::test]
async fn patience_ends() {
    let (address, _requests) = canned(Vec::new()).await;
    let config = ClientConfig::new(address.to_string(), "t");
    let client = Client::new(ClientConfig { timeout: Duration::from_millis(100), ..config });
    let client = client.expect("a client");
    let read = client.version().await.expect_err("no answer");
    assert_eq!(read.kind, ErrorKind::Unavailable, "{read:?}");
    let change = client.revoke_token(&"t1".parse().unwrap()).await.expect_err("no answer");
    assert_eq!(change.kind, ErrorKind::TimedOut, "{change:?}");
}

#[tokio::test]
async fn failures_arrive_as_they_were_sent_but_tame() {
    let body = r#"{"error":{"kind":"conflict","code":"x","message":"a\u001b[2J","hint":null}}"#;
    let answer = format!("HTTP/1.1 409 C\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let garbage = "HTTP/1.1 502 Bad\r\nContent-Length: 5\r\n\r\n\x1b[2Jx";
    let unread = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]";
    let (address, _requests) = canned(vec![vec![answer.leak(), garbage, unread]]).await;
    let client = client(address);
    let failure = client.cluster().await.expect_err("refused");
    assert_eq!((failure.kind, failure.code.as_str()), (ErrorKind::Conflict, "x"));
    assert_eq!(failure.message, "a\\u{1b}[2J");
    let failure = client.cluster().await.expect_err("a proxy");
    assert_eq!(failure.kind, ErrorKind::Unavailable);
    assert!(!failure.message.contains('\x1b'), "{failure:?}");
    let failure = client.cluster().await.expect_err("another version");
    assert_eq!(failure.kind, ErrorKind::Internal);
}

#[tokio::test]
async fn output_comes_line_by_line_however_it_is_cut() {
    let (address, mut requests) = canned(vec![vec![chunked(&[
        "{\"type\":\"stdout\",\"data\":\"aGk=\",",
        "\"next\":7}\n{\"type\":\"dropped\",\"bytes\":3}\n{\"type\":\"end\",\"end\"",
        ":{\"exited\":{\"status\":{\"code\":0},\"stopped\":false,\"timed_out\":false}}}\n",
        "",
    ])]])
    .await;
    let client = client(address);
    let request = ExecRequest { argv: vec!["echo".to_owned()], ..ExecRequest::default() };
    let mut output = client.exec(&"w1".parse().unwrap(), &request).await.expect("begins");
    let stdout = OutputLine::Stdout { data: b"hi".to_vec(), next: 7 };
    assert_eq!(output.next().await.expect("a line"), Some(stdout));
    assert_eq!(output.next().await.expect("a line"), Some(OutputLine::Dropped { bytes: 3 }));
    match output.next().await.expect("a line") {
        Some(OutputLine::End { end: end @ TaskEnd::Exited { .. } }) => assert!(end.success()),
        other => panic!("{other:?}"),
    }
    assert_eq!(output.next().await.expect("the end"), None);
    let request = requests.recv().await.expect("a request");
    assert!(request.starts_with("POST /v1/nodes/w1/exec HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("\"argv\":[\"echo\"]"), "{request}");
}

fn whole(status: u16, body: &str) -> &'static str {
    format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n{body}", body.len()).leak()
}

#[tokio::test]
async fn a_node_is_asked_for_its_data_functions_and_classes() {
    let unknown =
        r#"{"error":{"kind":"not_found","code":"unknown_key","message":"m","hint":null}}"#;
    let loaded = r#"{"reply":{"name":"g","version":"1","class":"g.v1","current":true,
        "state":"ready","digest":"DIGEST","exports":["functions"],"tasks":0,
        "quota":{},"grants":{}}}"#;
    let digest = "ab".repeat(32);
    let script = vec![
        whole(200, r#"{"reply":[1]}"#),
        whole(404, unknown),
        whole(200, r#"{"reply":null}"#),
        whole(200, r#"{"reply":true}"#),
        whole(200, r#"{"reply":42}"#),
        whole(200, &loaded.replace("DIGEST", &digest)),
        whole(200, r#"{"reply":"what"}"#),
    ];
    let (address, mut requests) = canned(vec![script]).await;
    let (client, node) = (client(address), "w1".parse().unwrap());
    assert_eq!(client.get_data(&node, "k").await, Ok(Some(json!([1]))));
    assert_eq!(client.get_data(&node, "k").await, Ok(None), "not there");
    assert_eq!(client.put_data(&node, "k", json!({"a": 1})).await, Ok(()));
    assert_eq!(client.delete_data(&node, "k").await, Ok(true));
    let (source, args) = (Some("(n) => n".to_owned()), vec![json!(42)]);
    let call = Call { source, args, timeout_ms: Some(60_000), ..Call::default() };
    assert_eq!(client.call(&node, &call).await, Ok(json!(42)));
    let load = Load {
        name: "g".to_owned(),
        version: None,
        digest: digest.parse().unwrap(),
        quota: Quota::default(),
        grants: Grants { log: true, ..Grants::default() },
        current: true,
    };
    assert_eq!(client.load_class(&node, &load).await.expect("loaded").class.as_str(), "g.v1");
    let other = client.delete_data(&node, "k").await.expect_err("no answer to this");
    assert_eq!(other.kind, ErrorKind::Internal);

    let (mut payloads, mut patience) = (Vec::new(), Vec::new());
    for _ in 0..6 {
        let request = requests.recv().await.expect("a request");
        assert!(request.starts_with("POST /v1/nodes/w1/requests HTTP/1.1\r\n"), "{request}");
        let (_, body) = request.split_once("\r\n\r\n").expect("a body");
        let mut body: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(body["class"], "node");
        payloads.push(body["payload"].take());
        patience.push(body["timeout_ms"].as_u64().expect("a time"));
    }
    assert_eq!(payloads[0], json!({"get": "k"}));
    assert_eq!(payloads[2], json!({"put": {"key": "k", "value": {"a": 1}}}));
    assert_eq!(payloads[3], json!({"delete": "k"}));
    let call = json!({"source": "(n) => n", "args": [42], "timeout_ms": 60_000});
    assert_eq!(payloads[4], json!({ "call": call }));
    assert_eq!(payloads[5]["load_class"]["digest"], digest);
    assert_eq!(payloads[5]["load_class"]["grants"]["log"], true);
    assert_eq!(patience, [30_000, 30_000, 30_000, 30_000, 65_000, 180_000]);
}

#[tokio::test]
async fn a_stream_that_is_cut_off_says_so_once() {
    let half = chunked(&["{\"type\":\"stdout\",\"data\":\"\",\"next\":1}\n{\"type\":"]);
    let early = chunked(&["{\"type\":\"stdout\",\"data\":\"\",\"next\":1}\n", ""]);
    let failed = chunked(&[
        "{\"type\":\"failed\",\"error\":{\"kind\":\"failed\",\"code\":\"c\",",
        "\"message\":\"m\\u0007\",\"hint\":null}}\n",
    ]);
    let (address, _requests) = canned(vec![vec![half], vec![early], vec![failed]]).await;
    let client = client(address);
    for _ in 0..2 {
        let task = "t1".parse().unwrap();
        let mut output = client.output(&task, None, 0, true).await.expect("begins");
        assert!(output.next().await.expect("a line").is_some());
        let failure = output.next().await.expect_err("cut off");
        assert_eq!(failure.code, "stream_interrupted", "{failure:?}");
        assert_eq!(output.next().await.expect("the end"), None);
    }
    let mut output = client.output(&"t1".parse().unwrap(), None, 9, false).await.expect("begins");
    let failure = output.next().await.expect_err("failed");
    assert_eq!((failure.code.as_str(), failure.message.as_str()), ("c", "m\\u{7}"));
    assert_eq!(output.next().await.expect("the end"), None);
}

#[tokio::test]
async fn events_are_read_between_comments_and_kinds_of_later_versions() {
    let event = "{\"node\":\"w1\",\"seq\":3,\"generation\":1,\"time_ms\":5,\
                 \"body\":{\"node_status\":{\"status\":\"ready\"}}}";
    let text = format!(
        ": hello\n\nevent: event\nid: w1:3\ndata: {event}\n\nevent: news\ndata: x\n\n\
         :\n\nevent: gap\r\ndata: {{\"reason\":\"slow_consumer\",\r\ndata: \"message\":\"m\"}}\r\n\r\n"
    );
    let (address, mut requests) =
        canned(vec![vec![chunked(&[&text[..70], &text[70..], ""])]]).await;
    let client = client(address);
    let query = EventQuery { node: Some("w1".parse().unwrap()), ..EventQuery::default() };
    let mut events = client.events(&query, Some("w1:2")).await.expect("begins");
    match events.next().await.expect("an event") {
        Some(EventMessage::Event(event)) => assert_eq!((event.node.as_str(), event.seq), ("w1", 3)),
        other => panic!("{other:?}"),
    }
    assert_eq!(events.last_id(), Some("w1:3"));
    match events.next().await.expect("a gap") {
        Some(EventMessage::Gap(gap)) => assert_eq!(gap.reason, "slow_consumer"),
        other => panic!("{other:?}"),
    }
    assert_eq!(events.next().await.expect("the end"), None);
    let request = requests.recv().await.expect("a request");
    assert!(request.starts_with("GET /v1/events?node=w1 "), "{request}");
    assert!(request.contains("last-event-id: w1:2\r\n"), "{request}");
}

#[tokio::test]
async fn an_event_that_is_cut_off_does_not_count_as_read() {
    let event = "{\"node\":\"w1\",\"seq\":3,\"generation\":1,\"time_ms\":5,\
                 \"body\":{\"gap\":{\"from\":1,\"to\":2}}}";
    let text = format!("id: w1:3\ndata: {event}\n\nid: w1:4\ndata: {event}\n");
    let (address, _requests) = canned(vec![vec![chunked(&[&text])]]).await;
    let mut events = client(address).events(&EventQuery::default(), None).await.expect("begins");
    assert!(events.next().await.expect("an event").is_some());
    assert_eq!(events.next().await.expect_err("cut off").code, "stream_interrupted");
    assert_eq!(events.last_id(), Some("w1:3"));
}

#[test]
fn tls_needs_somebody_to_trust_and_tokens_are_text() {
    let failure = Client::new(ClientConfig::new("https://c1", "t")).expect_err("no authority");
    assert_eq!(failure.kind, ErrorKind::Invalid);
    assert!(Client::new(ClientConfig::new("c1", "t\r\nX: y")).is_err());
    let shown = format!("{:?}", Client::new(ClientConfig::new("c1", "secret")).expect("valid"));
    assert!(!shown.contains("secret"), "{shown}");
}
