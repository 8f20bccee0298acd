//! The task that reads and writes for a multiplexed link.

use std::{
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::BytesMut;
use remuda_wire::mux::{Batch, Mux, ProtocolError, code};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, Sleep, sleep_until},
};

use super::state::Shared;
use crate::{
    CloseReason,
    metrics::{self, OpenLink},
};

/// Reads, and writes, in one go before the other direction and other tasks have their turn.
const TURNS: usize = 8;
/// One write carries at most this, and on a connection that takes less at a time, less: what was
/// handed over cannot be overtaken.
const MAX_WRITE: usize = 256 * 1024;
const MIN_WRITE: usize = 64 * 1024;
/// Space for one read, growing with what comes.
const MAX_READ: usize = 256 * 1024;
const MIN_READ: usize = 1024;
/// Parts of a write from this length on are not copied.
const COPY_BELOW: usize = 4 * 1024;
/// With more streams than this the driver lets other tasks add to a write first.
const CROWD: usize = 4;
/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Runs until the link is closed; closes it when dropped.
pub(super) struct Driver<Io> {
    io: Io,
    shared: Arc<Shared>,
    input: BytesMut,
    /// Space to offer to the next read.
    read_size: usize,
    output: Batch,
    write_size: usize,
    unflushed: bool,
    /// Other tasks were let go first since the last write.
    stepped_back: bool,
    woken: Vec<Waker>,
    sleep: Pin<Box<Sleep>>,
    /// `Some` once the link is closed.
    ending: Option<Ending>,
    open: OpenLink,
}

/// The link is closed: what is left to do.
enum Ending {
    /// Say farewell.
    Write,
    /// Say that nothing more comes.
    Shutdown,
    /// Take what the peer still sends: closing with unread bytes would destroy the farewell.
    Drain,
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Driver<Io> {
    pub(super) fn new(io: Io, shared: Arc<Shared>, open: OpenLink) -> Self {
        let copy_below = if io.is_write_vectored() { COPY_BELOW } else { usize::MAX };
        let sleep = Box::pin(sleep_until(shared.started()));
        Self {
            io,
            shared,
            input: BytesMut::new(),
            read_size: MIN_READ,
            output: Batch::new(copy_below),
            write_size: MAX_WRITE,
            unflushed: false,
            stepped_back: false,
            woken: Vec::new(),
            sleep,
            ending: None,
            open,
        }
    }

    /// Reads what is there. Tells whether it read anything, `Pending` when nothing more is there.
    fn poll_input(&mut self, context: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        for _ in 0..TURNS {
            self.make_space();
            let space = self.input.capacity() - self.input.len();
            let read = pin!(self.io.read_buf(&mut self.input)).poll(context);
            let count = match read {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(lost("the peer hung up"))),
                Poll::Ready(Ok(count)) => count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(broken(&error))),
            };
            self.open.traffic().received.add(count as u64);
            if count == space {
                self.read_size = (self.read_size * 4).min(MAX_READ);
            } else if count < self.read_size / 8 {
                self.read_size = (self.read_size / 2).max(MIN_READ);
            }
            let now = self.shared.now();
            let mut state = self.shared.lock();
            let received = state.mux.receive(now, &mut self.input);
            let end = state.take_woken(&mut self.woken);
            drop(state);
            self.woken.drain(..).for_each(Waker::wake);
            if let Err(error) = received {
                return Poll::Ready(Err(CloseReason::Protocol(error)));
            }
            if let Some(reason) = end {
                return Poll::Ready(Err(reason));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn make_space(&mut self) {
        let missing = Mux::missing(&self.input);
        let space = self.input.capacity() - self.input.len();
        if space < missing || space < self.read_size / 4 {
            self.input.reserve(self.read_size.max(missing));
        }
    }

    /// Writes what there is. `Pending` when there is nothing more or the connection takes no more.
    fn poll_output(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        for _ in 0..TURNS {
            if self.output.is_empty() && !self.poll_transmit(context) {
                if self.unflushed {
                    match pin!(self.io.flush()).poll(context)? {
                        Poll::Ready(()) => self.unflushed = false,
                        Poll::Pending => return Poll::Pending,
                    }
                }
                return Poll::Pending;
            }
            match pin!(self.io.write_buf(&mut self.output)).poll(context)? {
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(count) => {
                    self.open.traffic().sent.add(count as u64);
                    self.unflushed = true;
                }
                Poll::Pending => {
                    self.write_size = (self.write_size / 2).max(MIN_WRITE);
                    return Poll::Pending;
                }
            }
            if self.output.is_empty() {
                self.write_size = (self.write_size * 2).min(MAX_WRITE);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Gathers frames. When there are none, the next one wakes the driver.
    fn poll_transmit(&mut self, context: &mut Context<'_>) -> bool {
        let now = self.shared.now();
        let mut state = self.shared.lock();
        if self.unflushed {
            state.mux.transmitted(now);
        }
        let crowd = state.mux.stream_count() > CROWD;
        if crowd && !self.stepped_back && state.mux.has_output() {
            self.stepped_back = true;
            drop(state);
            // To the end of the line, behind those who are about to add to this write.
            context.waker().wake_by_ref();
            return false;
        }
        let any = state.mux.poll_transmit(now, &mut self.output, self.write_size);
        state.take_woken(&mut self.woken);
        if !any {
            self.stepped_back = false;
            state.wait_for_output(context);
        }
        let deadline = state.mux.deadline();
        drop(state);
        self.woken.drain(..).for_each(Waker::wake);
        if let Some(deadline) = deadline {
            let deadline = self.shared.started() + deadline;
            if deadline < self.sleep.deadline() || self.sleep.is_elapsed() {
                self.sleep.as_mut().reset(deadline);
            }
        }
        any
    }

    /// Lets time pass.
    fn poll_time(&mut self, context: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        while self.sleep.as_mut().poll(context).is_ready() {
            let now = self.shared.now();
            let mut state = self.shared.lock();
            state.mux.tick(now);
            let end = state.take_woken(&mut self.woken);
            let deadline = state.mux.deadline();
            drop(state);
            if let Some(reason) = end {
                return Poll::Ready(Err(reason));
            }
            let Some(deadline) = deadline else { return Poll::Pending };
            // A ping may be due right now; then the next deadline is known when it was sent, for
            // which a busy connection may take a while.
            let soon = now + Duration::from_millis(100);
            self.sleep.as_mut().reset(self.shared.started() + deadline.max(soon));
            self.give_back_memory();
        }
        Poll::Pending
    }

    /// A link that rests for a while holds no buffers.
    fn give_back_memory(&mut self) {
        self.output.shrink();
        if self.input.is_empty() {
            self.input = BytesMut::new();
            self.read_size = MIN_READ;
        }
    }

    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<CloseReason> {
        let input = self.poll_input(context);
        if self.input.is_empty() && self.read_size == MIN_READ {
            // Most links rest most of the time.
            self.input = BytesMut::new();
        }
        if let Poll::Ready(Err(reason)) = input {
            return Poll::Ready(reason);
        }
        // What came was heard before anybody is called dead.
        if let Poll::Ready(Err(reason)) = self.poll_time(context) {
            return Poll::Ready(reason);
        }
        let output = self.poll_output(context);
        if let Poll::Ready(Err(error)) = output {
            return Poll::Ready(broken(&error));
        }
        if let Some(reason) = self.shared.lock().close_reason() {
            return Poll::Ready(reason.clone());
        }
        if input.is_ready() || output.is_ready() {
            // There is more; others have their turn first.
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn end(&mut self, reason: CloseReason) {
        metrics::ended(&reason);
        let silent =
            matches!(reason, CloseReason::Lost(_) | CloseReason::Silent | CloseReason::Peer(_));
        match &reason {
            CloseReason::Protocol(error) => {
                let text = ProtocolError::to_string(error);
                self.shared.close(reason, Some((code::PROTOCOL, &text)));
            }
            _ => self.shared.close(reason, None),
        }
        self.sleep.as_mut().reset(Instant::now() + FAREWELL);
        self.ending = Some(if silent { Ending::Shutdown } else { Ending::Write });
    }

    /// What is left to do once the link is closed, for as long as a farewell may take.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.sleep.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        loop {
            match &self.ending {
                None => return Poll::Pending,
                Some(Ending::Write) => {
                    self.stepped_back = true;
                    match self.poll_output(context) {
                        Poll::Ready(Err(_)) => return Poll::Ready(()),
                        Poll::Ready(Ok(())) => (),
                        Poll::Pending if self.output.is_empty() && !self.unflushed => {
                            self.ending = Some(Ending::Shutdown);
                        }
                        Poll::Pending => return Poll::Pending,
                    }
                }
                Some(Ending::Shutdown) => match pin!(self.io.shutdown()).poll(context) {
                    Poll::Ready(Ok(())) => self.ending = Some(Ending::Drain),
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                },
                Some(Ending::Drain) => {
                    self.input.clear();
                    self.input.reserve(MIN_READ);
                    match pin!(self.io.read_buf(&mut self.input)).poll(context) {
                        Poll::Ready(Ok(count)) if count > 0 => (),
                        Poll::Ready(_) => return Poll::Ready(()),
                        Poll::Pending => return Poll::Pending,
                    }
                }
            }
        }
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Future for Driver<Io> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.ending.is_none() {
            match this.poll_open(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(reason) => this.end(reason),
            }
        }
        this.poll_end(context)
    }
}

impl<Io> Drop for Driver<Io> {
    fn drop(&mut self) {
        // Without effect when it ended in order.
        self.shared.close(lost("its runtime has ended"), None);
    }
}

fn lost(text: &str) -> CloseReason {
    CloseReason::Lost(text.to_owned())
}

fn broken(error: &io::Error) -> CloseReason {
    CloseReason::Lost(error.to_string())
}
