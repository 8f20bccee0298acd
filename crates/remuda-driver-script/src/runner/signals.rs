//! Signals are for the commands of a task. Their parent, who is in the same group, outlives them.

use std::{
    io,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

use remuda_model::ExitStatus;
use rustix::process::{Resource, Rlimit, Signal, getpid, kill_process, setrlimit};
use tokio::signal::unix::{self, SignalKind};

/// What a process that was told to stop would have ended with.
pub(super) const STOPPED: ExitStatus = ExitStatus::Signal(Signal::TERM.as_raw());

/// Signals that this process survives, while what it starts hears them as ever.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: unix::Signal,
    stopping: bool,
}

impl Signals {
    /// From now on. To be called in the runtime.
    pub(super) fn outlive() -> io::Result<Self> {
        let named = [
            SignalKind::alarm(),
            SignalKind::hangup(),
            SignalKind::interrupt(),
            SignalKind::io(),
            SignalKind::quit(),
            SignalKind::user_defined1(),
            SignalKind::user_defined2(),
        ];
        let real_time = (libc::SIGRTMIN()..=libc::SIGRTMAX()).map(SignalKind::from_raw);
        for kind in named.into_iter().chain(real_time) {
            // What is listened to once kills no more.
            drop(unix::signal(kind)?);
        }
        Ok(Self { terminate: unix::signal(SignalKind::terminate())?, stopping: false })
    }

    /// Whether the task was told to stop.
    pub(super) async fn stopping(&mut self) -> bool {
        // A signal of a moment ago may still wait in the runtime.
        tokio::task::yield_now().await;
        tokio::select! {
            biased;
            _ = self.terminate.recv() => self.stopping = true,
            () = std::future::ready(()) => {}
        }
        self.stopping
    }
}

/// Ends like a process that ended so: with its code, or by its signal.
pub(super) fn end_as(status: ExitStatus) -> ExitCode {
    match status {
        ExitStatus::Code(code) => ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)),
        ExitStatus::Signal(number) => {
            let none = Rlimit { current: Some(0), maximum: Some(0) };
            let _ = setrlimit(Resource::Core, none);
            if let Some(signal) = Signal::from_named_raw(number) {
                let _ = kill_process(getpid(), signal);
            }
            // This process survives the signal; one that takes its place does not.
            let line = format!("kill -{number} $$");
            drop(Command::new("/bin/sh").args(["-c", &line]).exec());
            // As shells say it.
            ExitCode::from(u8::try_from(128 + number).unwrap_or(u8::MAX))
        }
    }
}
