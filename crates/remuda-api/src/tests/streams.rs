//! Answers that go on, read as a client does.

use axum::http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Bytes, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::time::timeout;

use super::fixture::{DEADLINE, Server};

/// An answer that goes on; dropping it closes the connection.
pub(super) struct Streaming {
    pub(super) status: StatusCode,
    pub(super) kind: String,
    body: Incoming,
    buffer: Vec<u8>,
    _sender: http1::SendRequest<Full<Bytes>>,
}

impl Streaming {
    pub(super) async fn open(
        server: &Server,
        method: &str,
        path: &str,
        last_id: Option<&str>,
        body: &str,
    ) -> Self {
        let stream = TokioIo::new(server.connect().await);
        let (mut sender, connection) = http1::handshake(stream).await.expect("a connection");
        tokio::spawn(async move { drop(connection.await) });
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("authorization", format!("Bearer {}", server.admin));
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let request = request.body(Full::new(body.to_owned().into())).expect("a request");
        let answer = timeout(DEADLINE, sender.send_request(request)).await.expect("in time");
        let (head, body) = answer.expect("an answer").into_parts();
        let kind = head.headers["content-type"].to_str().expect("text").to_owned();
        Self { status: head.status, kind, body, buffer: Vec::new(), _sender: sender }
    }

    /// The next line, or `None` at the end.
    pub(super) async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=at).collect();
                return Some(String::from_utf8(line).expect("text").trim_end().to_owned());
            }
            let frame = timeout(DEADLINE, self.body.frame()).await.expect("in time")?;
            let data = frame.expect("no cut").into_data().expect("data");
            self.buffer.extend_from_slice(&data);
        }
    }

    /// The next line of JSON, or `None` at the end.
    pub(super) async fn json(&mut self) -> Option<Value> {
        let line = self.line().await?;
        Some(serde_json::from_str(&line).expect("JSON"))
    }

    /// The next server-sent event: its id and data.
    pub(super) async fn event(&mut self) -> (String, Value) {
        let (mut id, mut data) = (String::new(), Value::Null);
        loop {
            let line = self.line().await.expect("the stream goes on");
            if let Some(text) = line.strip_prefix("id: ") {
                text.clone_into(&mut id);
            } else if let Some(text) = line.strip_prefix("data: ") {
                data = serde_json::from_str(text).expect("JSON");
            } else if line.is_empty() && !data.is_null() {
                return (id, data);
            }
        }
    }
}
