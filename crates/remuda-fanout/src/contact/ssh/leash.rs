//! A connection that ends when its owner goes, although a task of the SSH library holds it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::oneshot,
    time::{Sleep, sleep},
};

/// How long last words may take to be said.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Ends the connection when it is dropped.
#[derive(Debug)]
pub(super) struct Leash {
    held: oneshot::Sender<()>,
}

impl Leash {
    /// Ends the connection after a moment, in which what waits to be sent is sent.
    pub(super) fn after_last_words(self) {
        // Whoever does not listen has ended the connection himself.
        let _ended = self.held.send(()).is_err();
    }
}

/// A connection on a leash.
#[derive(Debug)]
pub(super) struct Leashed<S> {
    stream: S,
    cut: Cut,
}

/// When the connection ends.
#[derive(Debug)]
enum Cut {
    WithLeash(oneshot::Receiver<()>),
    At(Pin<Box<Sleep>>),
    Now,
}

/// Puts a connection on a leash.
pub(super) fn leash<S>(stream: S) -> (Leash, Leashed<S>) {
    let (held, cut) = oneshot::channel();
    (Leash { held }, Leashed { stream, cut: Cut::WithLeash(cut) })
}

impl<S: Unpin> Leashed<S> {
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            match &mut self.cut {
                Cut::WithLeash(held) => {
                    self.cut = match ready!(Pin::new(held).poll(cx)) {
                        Ok(()) => Cut::At(Box::pin(sleep(LAST_WORDS))),
                        Err(_dropped) => Cut::Now,
                    };
                }
                Cut::At(end) => {
                    ready!(end.as_mut().poll(cx));
                    self.cut = Cut::Now;
                }
                Cut::Now => return Poll::Ready(io::ErrorKind::ConnectionAborted.into()),
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Leashed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(ended) = self.poll_end(cx) {
            return Poll::Ready(Err(ended));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Leashed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(ended) = self.poll_end(cx) {
            return Poll::Ready(Err(ended));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
