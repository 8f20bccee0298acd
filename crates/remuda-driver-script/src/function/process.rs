//! Starts the process in which one function runs, and listens to it.

use std::{
    io,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use remuda_model::Failure;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use super::{
    protocol::{Call, Fault, MAX_LINE, Said, Sort},
    spec::{FunctionSpec, Limits},
};

/// How long a process may live beyond the time of its function: the engine ends by itself, and
/// tells where.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// How much of its last words on standard error is told.
const MAX_STDERR: u64 = 1024;

/// A process for one function. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Helper {
    child: Child,
    lines: BufReader<ChildStdout>,
    call: Call,
}

impl Helper {
    /// Starts the process; `program` is run as `PROGRAM function-helper`.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub(crate) fn start(
        program: &Path,
        spec: FunctionSpec,
        limits: Limits,
        max_result: usize,
        speaks: bool,
    ) -> Result<Self, Failure> {
        let mut command = Command::new(program);
        command.arg("function-helper").env_clear().current_dir("/").kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| no_process(program, &error))?;
        let stdout = child.stdout.take().expect("its standard output is a pipe");
        let call = Call {
            source: spec.source,
            args: spec.args,
            timeout_ms: u64::try_from(limits.time.as_millis()).unwrap_or(u64::MAX),
            memory_bytes: limits.memory_bytes,
            max_result,
            speaks,
        };
        Ok(Self { child, lines: BufReader::new(stdout), call })
    }

    /// Runs the function and hands on what it says before its result.
    ///
    /// # Errors
    ///
    /// When it gives no result.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the process is killed.
    pub(crate) async fn run(
        mut self,
        mut hear: impl FnMut(Said),
    ) -> Result<serde_json::Value, Fault> {
        let time = Duration::from_millis(self.call.timeout_ms);
        let outcome = timeout(time.saturating_add(GRACE), self.converse(&mut hear)).await;
        match outcome {
            Ok(Ok(Some(outcome))) => outcome,
            Ok(Ok(None)) => Err(self.died().await),
            Ok(Err(error)) => {
                Err(Fault::new(Sort::Process, format!("cannot understand its process: {error}")))
            }
            Err(_elapsed) => {
                let message = format!("ran longer than {} ms", self.call.timeout_ms);
                Err(Fault::new(Sort::TimedOut, message))
            }
        }
    }

    /// `None` when it ends without a last word.
    async fn converse(
        &mut self,
        hear: &mut impl FnMut(Said),
    ) -> io::Result<Option<Result<serde_json::Value, Fault>>> {
        let mut call = serde_json::to_vec(&self.call)?;
        call.push(b'\n');
        if let Some(stdin) = &mut self.child.stdin {
            // It may have died; its last words say why.
            drop(stdin.write_all(&call).await);
        }
        drop(call);
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut bounded = (&mut self.lines).take(MAX_LINE);
            if bounded.read_until(b'\n', &mut line).await? == 0 {
                return Ok(None);
            }
            match serde_json::from_slice(&line) {
                Ok(Said::Result(value)) => return Ok(Some(Ok(value))),
                Ok(Said::Fault(fault)) => return Ok(Some(Err(fault))),
                Ok(said) => hear(said),
                // The engine allows more than JSON does elsewhere: half characters, any depth.
                Err(error) if line.ends_with(b"\n") => {
                    let message = format!("its result cannot be read: {error}");
                    return Ok(Some(Err(Fault::new(Sort::Result, message))));
                }
                // It died while it spoke.
                Err(_torn) => return Ok(None),
            }
        }
    }

    async fn died(&mut self) -> Fault {
        let mut words = Vec::new();
        if let Some(stderr) = self.child.stderr.take() {
            drop(timeout(GRACE, stderr.take(MAX_STDERR).read_to_end(&mut words)).await);
        }
        let words = String::from_utf8_lossy(&words);
        match timeout(GRACE, self.child.wait()).await {
            Ok(Ok(status)) => post_mortem(status, &words, &self.call),
            _ => Fault::new(Sort::Process, "its process says nothing and does not end"),
        }
    }
}

fn post_mortem(status: ExitStatus, words: &str, call: &Call) -> Fault {
    let abort = rustix::process::Signal::ABORT.as_raw();
    let time = rustix::process::Signal::XCPU.as_raw();
    match status.signal() {
        Some(signal) if signal == time || signal == rustix::process::Signal::KILL.as_raw() => {
            let message = format!("its process was killed after using {} ms", call.timeout_ms);
            Fault::new(Sort::TimedOut, message)
        }
        Some(signal) if signal == abort && words.contains("memory allocation") => {
            Fault::new(Sort::OutOfMemory, "out of memory")
        }
        Some(signal) => {
            let message = format!("its process died of signal {signal}; nothing else is harmed");
            Fault::new(Sort::Process, message)
        }
        None => Fault::new(Sort::Process, format!("its process gave up: {}", words.trim())),
    }
}

fn no_process(program: &Path, error: &io::Error) -> Failure {
    let program = program.display();
    Failure::new(
        remuda_model::ErrorKind::NoCapacity,
        format!("cannot start `{program}` to run the function: {error}"),
    )
    .hint("stop some tasks, or raise the limits of processes and open files")
}
