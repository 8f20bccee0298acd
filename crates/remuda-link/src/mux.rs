//! Streams multiplexed over any byte stream.

use std::time::Duration;

use bytes::Bytes;
use remuda_wire::mux::{Config, Priority, Side};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{CallError, CloseReason, LinkError, StreamError, link::Opened};

/// A connection that is not built yet.
#[derive(Clone)]
pub(crate) struct Connection;
pub(crate) struct SendStream;
pub(crate) struct RecvStream;

fn unbuilt() -> CloseReason {
    CloseReason::Here("not built yet".to_owned())
}

impl Connection {
    pub(crate) fn start(
        _io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        _side: Side,
        _config: Config,
    ) -> Self {
        Self
    }
    pub(crate) fn open(
        &self,
        _protocol: &str,
        _priority: Priority,
    ) -> Result<(SendStream, RecvStream), LinkError> {
        Err(LinkError::Closed(unbuilt()))
    }
    pub(crate) async fn call(
        &self,
        _protocol: &str,
        _priority: Priority,
        _body: Bytes,
        _max: usize,
    ) -> Result<Bytes, CallError> {
        Err(CallError::NotSent(LinkError::Closed(unbuilt())))
    }
    pub(crate) async fn accept(&self) -> Option<(Opened, SendStream, RecvStream)> {
        None
    }
    pub(crate) async fn closed(&self) -> CloseReason {
        unbuilt()
    }
    pub(crate) fn close_reason(&self) -> Option<CloseReason> {
        Some(unbuilt())
    }
    pub(crate) fn close(&self, _reason: &str) {}
    pub(crate) fn rtt(&self) -> Option<Duration> {
        None
    }
}

impl SendStream {
    pub(crate) async fn write(&mut self, _bytes: Bytes) -> Result<(), StreamError> {
        Err(StreamError::Closed(unbuilt()))
    }
    pub(crate) async fn finish_with(&mut self, _bytes: Bytes) -> Result<(), StreamError> {
        Err(StreamError::Closed(unbuilt()))
    }
    pub(crate) fn finish(&mut self) -> Result<(), StreamError> {
        Err(StreamError::Closed(unbuilt()))
    }
    pub(crate) fn reset(&mut self, _code: u32, _message: &str) {}
    pub(crate) async fn stopped(&mut self) -> StreamError {
        StreamError::Closed(unbuilt())
    }
}

impl RecvStream {
    pub(crate) async fn read_chunk(&mut self) -> Result<Option<Bytes>, StreamError> {
        Err(StreamError::Closed(unbuilt()))
    }
    pub(crate) fn at_end(&self) -> bool {
        true
    }
    pub(crate) fn stop(&mut self, _code: u32, _message: &str) {}
}
