//! Finding a holder, or starting one.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File, OpenOptions},
    io,
    os::unix::{ffi::OsStrExt, fs::OpenOptionsExt, net},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use remuda_model::{ErrorKind, Failure, TaskId};
use remuda_runtime::{Backoff, CancellationToken, Supervisor};
use tokio::{
    io::AsyncWriteExt,
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    process::{Child, Command},
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::DropGuard;

use crate::protocol::{self, FromAgent, FromHolder, GREETING_LIMIT, PROTOCOL, with_socket_path};

/// How long finding or starting a holder may take.
const ATTACH_LIMIT: Duration = Duration::from_secs(10);

/// The longest log that a new holder adds to, in bytes; a longer one is begun anew.
const MAX_LOG: u64 = 1024 * 1024;

/// Where the holder is, and what it would be.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) dir: Arc<Path>,
    pub(super) program: PathBuf,
    pub(super) supervisor: Supervisor,
}

/// A conversation with a holder.
#[derive(Debug)]
pub(super) struct Connection {
    /// Frames that leave.
    pub(super) outgoing: mpsc::Sender<Vec<u8>>,
    /// What the holder says; ends with the connection.
    pub(super) incoming: mpsc::Receiver<FromHolder>,
    /// Which tasks run, and how much output they had when the conversation began.
    pub(super) running: BTreeMap<TaskId, u64>,
    _end: DropGuard,
}

#[cfg(test)]
impl Connection {
    /// A conversation whose other end is a test.
    pub(super) fn played(running: BTreeMap<TaskId, u64>) -> (Self, mpsc::Receiver<Vec<u8>>) {
        let (outgoing, frames) = mpsc::channel(256);
        let (_, incoming) = mpsc::channel(1);
        let end = CancellationToken::new().drop_guard();
        (Self { outgoing, incoming, running, _end: end }, frames)
    }
}

impl Place {
    /// Connects to the holder. When there is none, starts one, or says `None`.
    pub(super) async fn attach(&self, start: bool) -> Result<Option<Connection>, Failure> {
        let until = Instant::now() + ATTACH_LIMIT;
        let seed = u64::from(std::process::id());
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(200), seed);
        let mut child: Option<Child> = None;
        loop {
            let error = match self.connect().await {
                Ok(connection) => return Ok(Some(connection)),
                Err(error) => error,
            };
            let nobody =
                matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused);
            if nobody && !start {
                return Ok(None);
            }
            // A holder that has ended at once may have met an older one that was just leaving.
            let starting =
                child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|end| end.is_none()));
            if nobody && !starting {
                child = Some(self.launch().map_err(|error| self.unavailable(&error))?);
            }
            if Instant::now() >= until {
                return Err(self.unavailable(&error));
            }
            sleep(backoff.next_delay() + Duration::from_millis(2)).await;
        }
    }

    fn unavailable(&self, error: &io::Error) -> Failure {
        let message = format!("the holder of the tasks cannot be reached: {error}");
        let log = self.dir.join("holder.log");
        Failure::new(ErrorKind::Unavailable, message)
            .hint(format!("look at {} on the node", log.display()))
    }

    fn launch(&self) -> io::Result<Child> {
        let log = self.log()?;
        let mut command = Command::new(&self.program);
        command.arg("holder").arg("--dir").arg(&*self.dir);
        command.current_dir("/");
        // The holder lives long, and need not keep the join token of the agent that started it.
        for (name, _) in env::vars_os() {
            if name.as_bytes().starts_with(b"REMUDA_") && name != "REMUDA_LOG" {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        tracing::info!(program = %self.program.display(), "starting the holder");
        command.spawn()
    }

    fn log(&self) -> io::Result<File> {
        let path = self.dir.join("holder.log");
        let long = fs::metadata(&path).is_ok_and(|log| log.len() > MAX_LOG);
        if long {
            fs::remove_file(&path)?;
        }
        OpenOptions::new().append(true).create(true).mode(0o600).open(path)
    }

    async fn connect(&self) -> io::Result<Connection> {
        let dir = self.dir.clone();
        // Blocks when the queue of a holder that hangs is full.
        let connecting = tokio::task::spawn_blocking(move || {
            let stream = with_socket_path(&dir, |path| net::UnixStream::connect(path))?;
            stream.set_nonblocking(true)?;
            Ok::<_, io::Error>(stream)
        });
        let stream = timeout(GREETING_LIMIT, connecting).await?.map_err(io::Error::other)??;
        let mut stream = UnixStream::from_std(stream)?;
        let running = timeout(GREETING_LIMIT, greet(&mut stream)).await??;
        let (reader, writer) = stream.into_split();
        let (outgoing, frames) = mpsc::channel(256);
        let (messages, incoming) = mpsc::channel(256);
        let token = CancellationToken::new();
        let end = token.clone();
        self.supervisor.spawn("holder reader", async move {
            tokio::select! {
                () = listen(reader, messages) => {}
                () = end.cancelled() => {}
            }
        });
        self.supervisor.spawn("holder writer", speak(writer, frames));
        Ok(Connection { outgoing, incoming, running, _end: token.drop_guard() })
    }
}

async fn greet(stream: &mut UnixStream) -> io::Result<BTreeMap<TaskId, u64>> {
    protocol::write(stream, &FromAgent::Hello { protocol: PROTOCOL }).await?;
    let mut running = BTreeMap::new();
    loop {
        match protocol::read(stream).await? {
            Some(FromHolder::Welcome { .. }) => {}
            Some(FromHolder::Runs { task, len }) => {
                running.insert(task, len);
            }
            Some(FromHolder::Ready) => return Ok(running),
            // It was about to leave.
            None => return Err(io::ErrorKind::ConnectionRefused.into()),
            Some(_) => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

async fn listen(mut reader: OwnedReadHalf, messages: mpsc::Sender<FromHolder>) {
    loop {
        match protocol::read(&mut reader).await {
            Ok(Some(message)) => {
                if messages.send(message).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "the connection to the holder is lost");
                return;
            }
        }
    }
}

async fn speak(mut writer: OwnedWriteHalf, mut frames: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = frames.recv().await {
        if writer.write_all(&frame).await.is_err() {
            return;
        }
    }
}
