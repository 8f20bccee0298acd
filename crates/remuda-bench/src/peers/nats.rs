//! NATS: requests and replies by way of its server.
//!
//! The client is ours, of the text protocol's few words that this takes. It does what the official
//! ones do: one connection for all callers, one wildcard subscription for all replies, and one write
//! for all that waits. What it leaves out (reconnecting, headers, TLS) costs nothing in a run.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context as _, Result, ensure};
use bytes::{Buf as _, BytesMut};
use slab::Slab;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    process::Child,
    sync::{mpsc, oneshot},
};

use super::{find, free_port, listens, start, version};
use crate::load::Caller;

const PACKAGE: &str = "nats-server";
const SUBJECT: &str = "echo";
const PAYLOAD: &[u8] = b"1234567890123456";
/// Space for one read.
const READ: usize = 64 << 10;

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) name: String,
    _child: Child,
}

impl Server {
    pub(crate) async fn start() -> Result<Self> {
        let program = find("nats-server", PACKAGE)?;
        let port = free_port()?.to_string();
        let mut child = start(&program, &["-a", "127.0.0.1", "-p", &port])?;
        let address = format!("127.0.0.1:{port}").parse()?;
        listens(&mut child, address).await?;
        Ok(Self { address, name: format!("NATS {}", version(PACKAGE)), _child: child })
    }
}

/// What the server says.
enum Said {
    Message {
        subject: String,
        reply: Option<String>,
        payload: BytesMut,
    },
    Ping,
    Pong,
    /// `INFO`, `+OK`.
    Other,
}

struct Reader {
    socket: OwnedReadHalf,
    buffer: BytesMut,
}

impl Reader {
    /// What is there already; `None` when more must be read first.
    fn present(&mut self) -> Result<Option<Said>> {
        let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let line = std::str::from_utf8(&self.buffer[..end])?.trim_end();
        let mut words = line.split(' ');
        let said = match words.next() {
            Some("MSG") => {
                let words: Vec<&str> = words.collect();
                let (subject, reply, size) = match words[..] {
                    [subject, _, size] => (subject, None, size),
                    [subject, _, reply, size] => (subject, Some(reply.to_owned()), size),
                    _ => anyhow::bail!("not a message: {line}"),
                };
                let (subject, size) = (subject.to_owned(), size.parse::<usize>()?);
                let start = end + 1;
                if self.buffer.len() < start + size + 2 {
                    return Ok(None);
                }
                self.buffer.advance(start);
                let payload = self.buffer.split_to(size);
                self.buffer.advance(2);
                return Ok(Some(Said::Message { subject, reply, payload }));
            }
            Some("PING") => Said::Ping,
            Some("PONG") => Said::Pong,
            Some("-ERR") => anyhow::bail!("NATS: {line}"),
            _ => Said::Other,
        };
        self.buffer.advance(end + 1);
        Ok(Some(said))
    }

    async fn read(&mut self) -> Result<()> {
        self.buffer.reserve(READ);
        ensure!(self.socket.read_buf(&mut self.buffer).await? > 0, "NATS hung up");
        Ok(())
    }

    async fn next(&mut self) -> Result<Said> {
        loop {
            if let Some(said) = self.present()? {
                return Ok(said);
            }
            self.read().await?;
        }
    }
}

/// Connects and subscribes; returns when the server has taken note.
async fn connect(address: SocketAddr, subscribe: &str) -> Result<(Reader, OwnedWriteHalf)> {
    let socket = TcpStream::connect(address).await.context("NATS")?;
    socket.set_nodelay(true)?;
    let (read, mut write) = socket.into_split();
    let mut reader = Reader { socket: read, buffer: BytesMut::new() };
    let hello = "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"rust\",\"version\":\"1\",\
                 \"protocol\":1}\r\n";
    write.write_all(format!("{hello}SUB {subscribe} 1\r\nPING\r\n").as_bytes()).await?;
    while !matches!(reader.next().await?, Said::Pong) {}
    Ok((reader, write))
}

/// Answers requests with themselves, until the server ends. `ready` is told first.
pub(crate) async fn respond(address: SocketAddr, ready: impl FnOnce()) -> Result<()> {
    let (mut reader, mut write) = connect(address, SUBJECT).await?;
    ready();
    let mut answers = Vec::new();
    loop {
        while let Some(said) = reader.present()? {
            match said {
                Said::Message { reply: Some(reply), payload, .. } => {
                    publish(&mut answers, &reply, None, &payload);
                }
                Said::Ping => answers.extend_from_slice(b"PONG\r\n"),
                _ => (),
            }
        }
        if !answers.is_empty() {
            write.write_all(&answers).await?;
            answers.clear();
        }
        reader.read().await?;
    }
}

fn publish(into: &mut Vec<u8>, subject: &str, reply: Option<usize>, payload: &[u8]) {
    use std::io::Write as _;
    let size = payload.len();
    // Nothing fails in a vector.
    let _written = match reply {
        Some(id) => write!(into, "PUB {subject} _INBOX.bench.{id} {size}\r\n"),
        None => write!(into, "PUB {subject} {size}\r\n"),
    };
    into.extend_from_slice(payload);
    into.extend_from_slice(b"\r\n");
}

type Waiting = Arc<Mutex<Slab<oneshot::Sender<bool>>>>;

fn lock(waiting: &Waiting) -> MutexGuard<'_, Slab<oneshot::Sender<bool>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One of many callers on one connection.
#[derive(Clone)]
pub(crate) struct Requester {
    calls: mpsc::Sender<usize>,
    waiting: Waiting,
}

impl Requester {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        let (reader, write) = connect(address, "_INBOX.bench.*").await?;
        let (calls, inbox) = mpsc::channel(1024);
        let waiting = Waiting::default();
        tokio::spawn(ask(inbox, write));
        tokio::spawn(hear(Arc::clone(&waiting), reader));
        Ok(Self { calls, waiting })
    }
}

impl Caller for Requester {
    async fn call(&mut self) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        let id = lock(&self.waiting).insert(reply);
        self.calls.send(id).await.context("connection lost")?;
        ensure!(answer.await.context("connection lost")?, "a wrong reply");
        Ok(())
    }
}

async fn ask(mut inbox: mpsc::Receiver<usize>, mut write: OwnedWriteHalf) -> Result<()> {
    let mut batch = Vec::with_capacity(1024);
    let mut buffer = Vec::new();
    while inbox.recv_many(&mut batch, 1024).await > 0 {
        for id in batch.drain(..) {
            publish(&mut buffer, SUBJECT, Some(id), PAYLOAD);
        }
        write.write_all(&buffer).await?;
        buffer.clear();
    }
    Ok(())
}

async fn hear(waiting: Waiting, mut reader: Reader) -> Result<()> {
    loop {
        // The server pings every two minutes; a run is shorter.
        if let Said::Message { subject, payload, .. } = reader.next().await? {
            let id = subject.rsplit('.').next().context("an inbox")?.parse()?;
            let reply = lock(&waiting).try_remove(id).context("a reply nobody waits for")?;
            reply.send(payload == PAYLOAD).ok().context("a caller is gone")?;
        }
    }
}
