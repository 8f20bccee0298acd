//! Streams multiplexed over any byte stream.
//!
//! The state of a link is behind one mutex, shared by its streams and one task that reads and
//! writes ([`driver`]). A user of a stream changes the state and wakes the task only when there is
//! something to send and the task is not at work anyway, so many small frames share one write.

mod call;
mod driver;
mod state;
mod streams;

use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;
use remuda_wire::mux::{Config, Mux, Priority, Side};
use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) use self::streams::{RecvStream, SendStream};
use self::{
    driver::Driver,
    state::{Shared, State},
};
use crate::{CallError, CloseReason, LinkError, link::Opened, metrics::OpenLink};

/// One multiplexed connection.
#[derive(Clone)]
pub(crate) struct Connection {
    held: Arc<Held>,
}

/// Closes the link when nobody holds it or one of its streams any more. The driver holds only
/// [`Shared`].
struct Held {
    shared: Arc<Shared>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shared.close_here("nobody holds the link any more");
    }
}

impl Connection {
    /// Starts the driver on the present runtime.
    pub(crate) fn start(
        io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        side: Side,
        config: Config,
        open: OpenLink,
    ) -> Self {
        let shared = Arc::new(Shared::new(Mux::new(side, config)));
        tokio::spawn(Driver::new(io, Arc::clone(&shared), open));
        Self { held: Arc::new(Held { shared }) }
    }

    pub(crate) fn open(
        &self,
        protocol: &str,
        priority: Priority,
    ) -> Result<(SendStream, RecvStream), LinkError> {
        let key = self.shared().with(|state| state.open(protocol, priority))?;
        Ok(streams::pair(&self.held, key))
    }

    pub(crate) async fn call(
        &self,
        protocol: &str,
        priority: Priority,
        body: Bytes,
        max: usize,
    ) -> Result<Bytes, CallError> {
        call::call(self.shared(), protocol, priority, body, max).await
    }

    pub(crate) async fn accept(&self) -> Option<(Opened, SendStream, RecvStream)> {
        let accepted = poll_fn(|context| {
            self.shared().with(|state| {
                if state.close_reason().is_some() {
                    return Poll::Ready(None);
                }
                match state.mux.accept() {
                    Some(accepted) => Poll::Ready(Some(accepted)),
                    None => state.wait_for_stream(context),
                }
            })
        })
        .await?;
        let (send, recv) = streams::pair(&self.held, accepted.key);
        let opened = Opened { protocol: accepted.protocol, priority: accepted.priority };
        Some((opened, send, recv))
    }

    pub(crate) async fn closed(&self) -> CloseReason {
        self.shared().closed().await
    }

    pub(crate) fn close_reason(&self) -> Option<CloseReason> {
        self.shared().with(|state| state.close_reason().cloned())
    }

    pub(crate) fn close(&self, reason: &str) {
        self.shared().close_here(reason);
    }

    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.shared().with(|state| state.mux.rtt())
    }

    /// Whether the connection is still used, for one who does not hold it.
    pub(crate) fn watch(&self) -> impl Fn() -> bool + Send + 'static {
        let held = Arc::downgrade(&self.held);
        move || {
            let held = held.upgrade();
            held.is_some_and(|held| held.shared.with(|state| state.close_reason().is_none()))
        }
    }

    fn shared(&self) -> &Shared {
        &self.held.shared
    }
}

impl State {
    fn open(
        &mut self,
        protocol: &str,
        priority: Priority,
    ) -> Result<remuda_wire::mux::Key, LinkError> {
        if let Some(reason) = self.close_reason() {
            return Err(LinkError::Closed(reason.clone()));
        }
        let key = self.mux.open(protocol, priority);
        key.ok_or_else(|| LinkError::ProtocolName(protocol.chars().take(300).collect()))
    }
}

#[cfg(test)]
mod tests;
