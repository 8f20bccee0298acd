//! Ctrl-C and SIGTERM.

use remuda_model::ErrorKind;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::Report;

/// Both signals; while it lives they do not end the process by themselves.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

/// Which of them came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Asked {
    /// The exit code of a process that such a signal ends.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => crate::error::INTERRUPTED,
            Self::Terminate => 143,
        }
    }
}

impl Signals {
    pub(crate) fn listen() -> Result<Self, Report> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Report::new(ErrorKind::Internal, "cannot listen for signals").caused_by(&error)
            })
        };
        let interrupt = listen(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: listen(SignalKind::terminate())? })
    }

    /// Waits for the next one. Cancel safe.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Interrupt,
            _ = self.terminate.recv() => Asked::Terminate,
        }
    }
}
