//! Commands that are run and captured while the caller waits.

use std::{io, process::Stdio, time::Duration};

use remuda_model::{ExitStatus, Failure};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, Command},
    signal::unix::{self, SignalKind},
    time::timeout,
};

use crate::{
    launch::{Fork, Launch, spawn_failure},
    spec::{ExecReply, ExecSpec, Stdin},
};

/// How much of each output is kept, in bytes.
const MAX_OUTPUT: usize = 1024 * 1024;

/// How long somebody else may write to the pipes after the command has ended.
const DRAIN: Duration = Duration::from_secs(2);

/// Between the `SIGTERM` of the time limit and the `SIGKILL`.
const TIMEOUT_GRACE: Duration = Duration::from_secs(10);

/// Runs a command to its end.
///
/// # Cancel safety
///
/// When the future is dropped, the command and its process group are killed.
pub(crate) async fn run(launch: Launch, spec: ExecSpec) -> Result<ExecReply, Failure> {
    let text = match spec.stdin {
        Stdin::None => None,
        Stdin::Text(text) => Some(text),
        Stdin::Open => {
            return Err(Failure::invalid("stdin: a request cannot be written to while it runs")
                .hint("give the text with the request, or start a task"));
        }
    };
    let mut group =
        Group::start(&launch, text.is_some()).map_err(|error| spawn_failure(&launch, &error))?;
    let broken = |error: io::Error| Failure::failed(format!("cannot watch the command: {error}"));
    let stdin = group.child.stdin.take().zip(text);
    let mut stdout = Captured::new(group.child.stdout.take());
    let mut stderr = Captured::new(group.child.stderr.take());
    let timed_out = {
        let limit = spec.timeout_ms.map(Duration::from_millis);
        let life = group.wait(limit);
        let output = async {
            tokio::join!(stdout.read(), stderr.read());
        };
        tokio::pin!(life, output);
        let feed = feed(stdin);
        tokio::pin!(feed);
        let (mut fed, mut complete) = (false, false);
        let timed_out = loop {
            tokio::select! {
                result = &mut life => break result.map_err(broken)?,
                () = &mut output, if !complete => complete = true,
                () = &mut feed, if !fed => fed = true,
            }
        };
        if !complete {
            drop(timeout(DRAIN, output).await);
        }
        timed_out
    };
    let status = group.end().await.map_err(broken)?;
    Ok(ExecReply {
        status,
        truncated: stdout.truncated || stderr.truncated,
        stdout: stdout.text(),
        stderr: stderr.text(),
        timed_out,
    })
}

/// A command and its process group, which end when this is dropped.
#[derive(Debug)]
struct Group {
    child: Child,
    /// Its number, which cannot be used again before the child is reaped.
    leader: Pid,
}

impl Group {
    fn start(launch: &Launch, stdin: bool) -> io::Result<Self> {
        // The agent forks from threads that come and go, so the child is not tied to one.
        let mut command = Command::from(launch.command(Fork::default())?);
        command.stdin(if stdin { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let child = command.spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let leader = id.and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
        Ok(Self { child, leader })
    }

    fn signal(&self, signal: Signal) {
        // Tokio forgets the number when it reaps.
        if self.child.id().is_some() {
            let _ = kill_process_group(self.leader, signal);
        }
    }

    /// Waits until the leader has ended, without reaping it.
    async fn ended(&self) -> io::Result<()> {
        // Before the first look, so that no signal is missed.
        let mut child_ended = unix::signal(SignalKind::child())?;
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        while waitid(WaitId::Pid(self.leader), look)?.is_none() {
            child_ended.recv().await;
        }
        Ok(())
    }

    /// Waits until the leader has ended, without reaping it. Tells whether that took longer than
    /// the limit.
    async fn wait(&self, limit: Option<Duration>) -> io::Result<bool> {
        let Some(limit) = limit else {
            self.ended().await?;
            return Ok(false);
        };
        if let Ok(ended) = timeout(limit, self.ended()).await {
            return ended.map(|()| false);
        }
        self.signal(Signal::TERM);
        if let Ok(ended) = timeout(TIMEOUT_GRACE, self.ended()).await {
            return ended.map(|()| true);
        }
        self.signal(Signal::KILL);
        self.ended().await.map(|()| true)
    }

    /// Ends what is left of the group, and tells how its leader ended.
    async fn end(mut self) -> io::Result<ExitStatus> {
        use std::os::unix::process::ExitStatusExt;

        self.signal(Signal::KILL);
        let status = self.child.wait().await?;
        let signal = status.signal().unwrap_or_default();
        Ok(status.code().map_or(ExitStatus::Signal(signal), ExitStatus::Code))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

async fn feed(stdin: Option<(ChildStdin, String)>) {
    if let Some((mut pipe, text)) = stdin {
        // A command need not read all that it is given.
        drop(pipe.write_all(text.as_bytes()).await);
    }
}

/// The beginning of an output.
#[derive(Debug)]
struct Captured<R> {
    pipe: Option<R>,
    bytes: Vec<u8>,
    truncated: bool,
}

impl<R: AsyncRead + Unpin> Captured<R> {
    fn new(pipe: Option<R>) -> Self {
        Self { pipe, bytes: Vec::new(), truncated: false }
    }

    /// Reads to the end, and keeps what there is room for.
    async fn read(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(n @ 1..) = pipe.read(&mut buffer).await {
            let kept = n.min(MAX_OUTPUT - self.bytes.len());
            self.bytes.extend_from_slice(&buffer[..kept]);
            self.truncated |= kept < n;
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}
