//! Asks a tracker.

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{ANNOUNCE, Hosts, LIMIT, LIST, MAX_LIST, Packet, TrackerUrl};

/// A tracker could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum TrackerError {
    /// It cannot be reached, or not in time.
    #[error("cannot reach the tracker {url}")]
    Unreachable {
        /// The tracker.
        url: TrackerUrl,
        /// Why.
        source: std::io::Error,
    },
    /// What it answers cannot be used.
    #[error("the tracker {url} answers {what}")]
    Answer {
        /// The tracker.
        url: TrackerUrl,
        /// What it says.
        what: String,
    },
}

/// Lists who is there.
///
/// # Errors
///
/// [`TrackerError`], after three seconds at the latest.
pub async fn fetch(url: &TrackerUrl) -> Result<Hosts, TrackerError> {
    ask(url, Method::GET, LIST, Bytes::new()).await
}

/// Says that a host is there, and lists who else is.
///
/// # Errors
///
/// [`TrackerError`], after three seconds at the latest.
pub async fn announce(url: &TrackerUrl, packet: &Packet) -> Result<Hosts, TrackerError> {
    let body = serde_json::to_vec(packet).unwrap_or_default();
    ask(url, Method::POST, ANNOUNCE, body.into()).await
}

async fn ask(
    url: &TrackerUrl,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<Hosts, TrackerError> {
    let asked = tokio::time::timeout(LIMIT, exchange(url, method, path, body)).await;
    let unreachable = |source| TrackerError::Unreachable { url: url.clone(), source };
    let answer = |what| TrackerError::Answer { url: url.clone(), what };
    let late = |_late| unreachable(std::io::ErrorKind::TimedOut.into());
    let (status, body) = asked.map_err(late)?.map_err(unreachable)?;
    if status != StatusCode::OK {
        let text = String::from_utf8_lossy(&body);
        return Err(answer(format!("{status}: {}", text.chars().take(200).collect::<String>())));
    }
    serde_json::from_slice(&body).map_err(|error| answer(format!("no list of hosts: {error}")))
}

async fn exchange(
    url: &TrackerUrl,
    method: Method,
    path: &str,
    body: Bytes,
) -> std::io::Result<(StatusCode, Bytes)> {
    let stream = TcpStream::connect(url.authority()).await?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, url.authority())
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body))
        .map_err(std::io::Error::other)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(std::io::Error::other)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_LIST).collect().await;
        Ok((status, body.map_err(std::io::Error::other)?.to_bytes()))
    };
    tokio::pin!(exchange, connection);
    tokio::select! {
        exchanged = &mut exchange => exchanged,
        // The answer may be there although the connection is over.
        ended = &mut connection => match ended {
            Ok(()) => exchange.await,
            Err(error) => Err(std::io::Error::other(error)),
        },
    }
}
