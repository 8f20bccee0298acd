//! One request and its answer over one connection: all that knows hyper.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use remuda_model::run::{MAX_HEADERS, TroubleKind};
use tokio::time::timeout;

use crate::contact::{Kept, Stop, connect::Stream};

/// The most headers of an answer.
const MAX_N_HEADERS: usize = 100;
/// The most that is read ahead of an answer.
const BUFFER: usize = 64 << 10;

/// Sends a request and gives its answer to `read`. The connection is closed when `read` is done, and
/// when the future is dropped.
pub(super) async fn exchange<T>(
    stream: Stream,
    request: Request<Full<Bytes>>,
    first_byte: Duration,
    read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, Stop>,
) -> Result<T, Stop> {
    let mut builder = http1::Builder::new();
    builder.max_headers(MAX_N_HEADERS).max_header_size(MAX_HEADERS).max_buf_size(BUFFER);
    let made = builder.handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = made.map_err(|error| Stop::http(&error))?;
    let answer = async {
        let response = timeout(first_byte, sender.send_request(request)).await;
        let response = response.map_err(|_late| {
            let message = format!("no answer in {} ms", first_byte.as_millis());
            Stop::passing(TroubleKind::Timeout, message)
        })?;
        read(response.map_err(|error| Stop::http(&error))?).await
    };
    // In one task: a second one for each connection would cost more than all else here.
    let (mut connection, mut answer) = (pin!(connection), pin!(answer));
    let mut is_open = true;
    poll_fn(|cx| {
        // What ends the connection reaches the answer too, so nothing is lost with its result.
        if is_open && connection.as_mut().poll(cx).is_ready() {
            is_open = false;
        }
        match answer.as_mut().poll(cx) {
            Poll::Pending if is_open => {
                // Reading the answer may have asked for more.
                is_open = connection.as_mut().poll(cx).is_pending();
                Poll::Pending
            }
            other => other,
        }
    })
    .await
}

/// Reads a body as far as it is kept and some way beyond.
pub(super) async fn body(mut incoming: Incoming, kept: &mut Kept) -> Result<(), Stop> {
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| Stop::http(&error))?;
        if let Some(data) = frame.data_ref()
            && !kept.push(data)
        {
            break;
        }
    }
    Ok(())
}
