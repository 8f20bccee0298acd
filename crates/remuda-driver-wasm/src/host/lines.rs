//! The lines that a guest writes.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use remuda_model::ClassName;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

use crate::bindings::remuda::job::log::Level;

/// Lines of one call; more are counted and dropped.
const MAX_LINES: u32 = 256;
/// The longest line, in bytes.
const MAX_LINE: usize = 8 << 10;

/// Where the lines of one instance go. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Lines(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Who writes, when somebody may.
    class: Option<ClassName>,
    written: AtomicU32,
}

impl Lines {
    pub(super) fn new(class: Option<ClassName>) -> Self {
        Self(Arc::new(Shared { class, written: AtomicU32::new(0) }))
    }

    /// The next call may write lines again.
    pub(super) fn reset(&self) {
        self.0.written.store(0, Relaxed);
    }

    pub(super) fn write(&self, level: Level, line: &str) {
        let Some(class) = &self.0.class else { return };
        let written = self.0.written.fetch_add(1, Relaxed);
        if written == MAX_LINES {
            tracing::warn!(%class, "more lines of this call are dropped");
        }
        if written >= MAX_LINES {
            return;
        }
        // Control characters would let a guest forge lines.
        let line: String = line[..line.floor_char_boundary(MAX_LINE)]
            .chars()
            .map(|char| if char.is_control() && char != '\t' { ' ' } else { char })
            .collect();
        match level {
            Level::Debug => tracing::debug!(%class, "{line}"),
            Level::Info => tracing::info!(%class, "{line}"),
            Level::Warn => tracing::warn!(%class, "{line}"),
            Level::Error => tracing::error!(%class, "{line}"),
        }
    }
}

/// Standard output and error of a guest.
pub(super) struct LogStream(pub(super) Lines);

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(Writer { lines: self.0.clone(), rest: Mutex::default() })
    }
}

/// Cuts what is written into lines.
struct Writer {
    lines: Lines,
    rest: Mutex<Vec<u8>>,
}

impl Writer {
    fn take(&self, bytes: &[u8]) {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            rest.extend_from_slice(piece);
            if piece.ends_with(b"\n") || rest.len() >= MAX_LINE {
                self.flush_line(&mut rest);
            }
        }
    }

    fn flush_line(&self, rest: &mut Vec<u8>) {
        let line = String::from_utf8_lossy(rest);
        let line = line.trim_end_matches(['\n', '\r']);
        if !line.is_empty() {
            self.lines.write(Level::Info, line);
        }
        rest.clear();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut rest = std::mem::take(&mut self.rest).into_inner().unwrap_or_default();
        self.flush_line(&mut rest);
    }
}

impl AsyncWrite for Writer {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
