//! One authenticated connection to another node, whatever carries it.
//!
//! # What a connection must offer
//!
//! [`Inner`] has one variant for each way to carry streams. A connection is a cheap clone with
//!
//! - `async fn open(&self, protocol, priority) -> Result<(SendStream, RecvStream), LinkError>`;
//! - `async fn call(&self, protocol, priority, body, max) -> Result<Bytes, CallError>`: open, send,
//!   finish, read to the end; dropping the future resets the stream. The deadline is kept here;
//! - `async fn accept(&self) -> Option<(Opened, SendStream, RecvStream)>`, `None` once closed;
//! - `fn close(&self, reason: &str)`, `fn close_reason(&self) -> Option<CloseReason>`,
//!   `async fn closed(&self) -> CloseReason`, `fn rtt(&self) -> Option<Duration>`.
//!
//! What its two stream types must offer is said in [`crate::stream`].

mod error;
mod peer;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use remuda_model::TraceContext;
use remuda_runtime::trace;
use remuda_wire::{
    mux::{Config, Priority, Side},
    opening,
};
use tokio::io::{AsyncRead, AsyncWrite};

pub use self::{
    error::{CallError, CloseReason, LinkError},
    peer::Peer,
};
use crate::{
    metrics::OpenLink,
    mux, quic,
    stream::{RecvHalf, SendHalf, Stream},
};

/// The longest reply to a [`Link::call`], in bytes.
pub const MAX_REPLY: usize = 16 << 20;

/// One authenticated connection to another node. Cheap to clone; it ends when it is closed on
/// either side, when the peer falls silent, and when nobody holds it or one of its streams any more.
#[derive(Clone)]
pub struct Link {
    peer: Arc<Peer>,
    inner: Inner,
}

#[derive(Clone)]
pub(crate) enum Inner {
    Mux(mux::Connection),
    Quic(quic::Connection),
}

/// A stream that the peer has opened.
#[derive(Debug)]
pub struct Incoming {
    /// The protocol it was opened under.
    pub protocol: String,
    /// Its priority, for both directions.
    pub priority: Priority,
    /// The trace that it belongs to, if the peer follows it.
    pub trace: Option<TraceContext>,
    /// The stream.
    pub stream: Stream,
}

/// How a stream was opened by the peer.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) protocol: String,
    pub(crate) priority: Priority,
}

impl Link {
    /// Runs the multiplexer over an authenticated byte stream, on the present runtime.
    pub fn start_mux(
        io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        side: Side,
        peer: Peer,
        config: Config,
    ) -> Self {
        let open = OpenLink::new(peer.transport, peer.role);
        let connection = mux::Connection::start(io, side, config, open);
        Self { peer: Arc::new(peer), inner: Inner::Mux(connection) }
    }

    /// A link on a QUIC connection whose peer is authenticated.
    pub(crate) fn quic(connection: quic::Connection, peer: Peer) -> Self {
        connection.count(OpenLink::new(peer.transport, peer.role));
        Self { peer: Arc::new(peer), inner: Inner::Quic(connection) }
    }

    /// Who is at the other end, as authenticated.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Opens a stream. The peer learns of it with the first bytes, or soon.
    ///
    /// # Errors
    ///
    /// When the link is closed or the protocol name is not 1 to 255 bytes long. That the peer does
    /// not know the protocol shows as a reset of the stream.
    ///
    /// # Cancel safety
    ///
    /// A stream that was opened meanwhile is reset.
    pub async fn open(&self, protocol: &str, priority: Priority) -> Result<Stream, LinkError> {
        let traced = self.traced(protocol);
        let protocol = traced.as_deref().unwrap_or(protocol);
        match &self.inner {
            Inner::Mux(connection) => {
                let (send, recv) = connection.open(protocol, priority)?;
                Ok(Stream::new(SendHalf::mux(send), RecvHalf::mux(recv)))
            }
            Inner::Quic(connection) => {
                let (send, recv) = connection.open(protocol, priority).await?;
                Ok(Stream::new(SendHalf::quic(send), RecvHalf::quic(recv)))
            }
        }
    }

    /// Opens a stream, sends `body`, finishes, and reads the answer to its end: at most
    /// [`MAX_REPLY`] bytes, within `deadline`.
    ///
    /// # Errors
    ///
    /// [`CallError`] tells apart whether the peer may have seen the call.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future resets the stream, by which the peer may notice that nobody waits.
    pub async fn call(
        &self,
        protocol: &str,
        priority: Priority,
        body: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, CallError> {
        let traced = self.traced(protocol);
        let protocol = traced.as_deref().unwrap_or(protocol);
        let answer = async {
            match &self.inner {
                Inner::Mux(connection) => {
                    connection.call(protocol, priority, body, MAX_REPLY).await
                }
                Inner::Quic(connection) => {
                    connection.call(protocol, priority, body, MAX_REPLY).await
                }
            }
        };
        tokio::time::timeout(deadline, answer).await.unwrap_or(Err(CallError::TimedOut))
    }

    /// The name under which a stream is opened for work that is traced here, where the peer
    /// understands it.
    fn traced(&self, protocol: &str) -> Option<String> {
        if self.peer.protocol < opening::TRACED {
            return None;
        }
        trace::current().map(|context| opening::traced(protocol, &context))
    }

    /// The next stream that the peer opens, or `None` when the link is closed.
    ///
    /// # Cancel safety
    ///
    /// No stream is lost when the future is dropped.
    pub async fn accept(&self) -> Option<Incoming> {
        let (Opened { protocol, priority }, stream) = match &self.inner {
            Inner::Mux(connection) => {
                let (opened, send, recv) = connection.accept().await?;
                (opened, Stream::new(SendHalf::mux(send), RecvHalf::mux(recv)))
            }
            Inner::Quic(connection) => {
                let (opened, send, recv) = connection.accept().await?;
                (opened, Stream::new(SendHalf::quic(send), RecvHalf::quic(recv)))
            }
        };
        let (protocol, trace) = match self.peer.protocol {
            opening::TRACED.. => opening::read(protocol),
            _ => (protocol, None),
        };
        Some(Incoming { protocol, priority, trace, stream })
    }

    /// Waits until the link is closed.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    pub async fn closed(&self) -> CloseReason {
        match &self.inner {
            Inner::Mux(connection) => connection.closed().await,
            Inner::Quic(connection) => connection.closed().await,
        }
    }

    /// Why the link is closed, if it is.
    pub fn close_reason(&self) -> Option<CloseReason> {
        match &self.inner {
            Inner::Mux(connection) => connection.close_reason(),
            Inner::Quic(connection) => connection.close_reason(),
        }
    }

    /// Whether the link is closed.
    pub fn is_closed(&self) -> bool {
        self.close_reason().is_some()
    }

    /// Tells whether the link is open, without keeping it open.
    pub(crate) fn watch(&self) -> Box<dyn Fn() -> bool + Send> {
        match &self.inner {
            Inner::Mux(connection) => Box::new(connection.watch()),
            Inner::Quic(connection) => Box::new(connection.watch()),
        }
    }

    /// Ends the link at once and tells the peer why. Every stream ends with it.
    pub fn close(&self, reason: &str) {
        match &self.inner {
            Inner::Mux(connection) => connection.close(reason),
            Inner::Quic(connection) => connection.close(reason),
        }
    }

    /// The round trip to the peer, smoothed; `None` until it was measured.
    pub fn rtt(&self) -> Option<Duration> {
        match &self.inner {
            Inner::Mux(connection) => connection.rtt(),
            Inner::Quic(connection) => Some(connection.rtt()),
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("peer", &self.peer).finish_non_exhaustive()
    }
}
