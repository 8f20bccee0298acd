//! Sends finished spans to an OpenTelemetry collector: OTLP over HTTP, as JSON.
//!
//! Spans wait in a queue of a bounded length and are sent in batches, each at most once. A collector
//! that is slow or away costs spans, which are counted in the log, and never work.

mod endpoint;
mod message;

use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request,
    body::Bytes,
    client::conn::http1,
    header::{CONTENT_TYPE, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use remuda_runtime::{
    CancellationToken,
    trace::{self, Finished},
};
use tokio::{
    net::TcpStream,
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

pub(crate) use self::{endpoint::Endpoint, message::Source};

/// The most spans in one message.
const BATCH: usize = 512;
/// How long spans wait for others to go with them.
const GATHER: Duration = Duration::from_secs(1);
/// How long a message may take, and the last one when the node ends.
const SEND: Duration = Duration::from_secs(5);
/// How often it is said that spans are lost.
const COMPLAIN: Duration = Duration::from_mins(1);
/// The longest answer that is read.
const MAX_ANSWER: usize = 64 * 1024;

/// The export of a node's spans.
#[derive(Debug)]
pub(crate) struct Export {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Export {
    /// Sends what is finished from now on.
    pub(crate) fn start(
        endpoint: Endpoint,
        source: Source,
        spans: mpsc::Receiver<Finished>,
    ) -> Self {
        tracing::info!(%endpoint, "traces are exported");
        let stop = CancellationToken::new();
        let exporter = Exporter { endpoint, source, lost: 0, complained: None };
        let task = tokio::spawn(exporter.run(spans, stop.clone()));
        Self { stop, task }
    }

    /// Sends what waits, for a few seconds at most, and ends.
    pub(crate) async fn finish(self) {
        self.stop.cancel();
        if timeout(SEND, self.task).await.is_err() {
            tracing::warn!("the last spans were not sent in time");
        }
    }
}

struct Exporter {
    endpoint: Endpoint,
    source: Source,
    /// Spans that the collector did not take, since the last complaint.
    lost: usize,
    complained: Option<Instant>,
}

impl Exporter {
    async fn run(mut self, mut spans: mpsc::Receiver<Finished>, stop: CancellationToken) {
        let mut batch = Vec::new();
        loop {
            let goes_on = tokio::select! {
                n_taken = spans.recv_many(&mut batch, BATCH) => n_taken > 0,
                () = stop.cancelled() => false,
            };
            if goes_on && batch.len() < BATCH {
                tokio::select! {
                    () = sleep(GATHER) => (),
                    () = stop.cancelled() => (),
                }
            }
            while batch.len() < BATCH
                && let Ok(span) = spans.try_recv()
            {
                batch.push(span);
            }
            if !batch.is_empty() {
                self.send(&batch).await;
                batch.clear();
            }
            if !goes_on && spans.is_empty() {
                return;
            }
        }
    }

    async fn send(&mut self, batch: &[Finished]) {
        let body = message::traces(&self.source, batch).to_string();
        let sent = timeout(SEND, post(&self.endpoint, body)).await;
        let error = match sent {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_elapsed) => "no answer in time".to_owned(),
        };
        self.lost += batch.len();
        if self.complained.is_none_or(|last| last.elapsed() >= COMPLAIN) {
            let (lost, dropped) = (std::mem::take(&mut self.lost), trace::dropped());
            tracing::warn!(endpoint = %self.endpoint, error, lost, dropped, "spans are lost");
            self.complained = Some(Instant::now());
        }
    }
}

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
enum PostError {
    #[error("cannot connect: {0}")]
    Connect(#[from] std::io::Error),
    #[error("the connection broke: {0}")]
    Http(#[from] hyper::Error),
    #[error("the collector answered {0}")]
    Refused(hyper::StatusCode),
}

async fn post(endpoint: &Endpoint, body: String) -> Result<(), PostError> {
    let stream = TcpStream::connect((endpoint.host(), endpoint.port())).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::post(endpoint.path())
        .header(HOST, endpoint.authority())
        .header(USER_AGENT, concat!("remuda/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .expect("an endpoint has a valid path and authority");
    let exchange = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        // Read, so that a collector that writes it is not cut off; what it says does not matter.
        let _read_or_not = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        if status.is_success() { Ok(()) } else { Err(PostError::Refused(status)) }
    };
    tokio::select! {
        outcome = exchange => outcome,
        ended = connection => match ended {
            Ok(()) => std::future::pending().await,
            Err(error) => Err(error.into()),
        },
    }
}
