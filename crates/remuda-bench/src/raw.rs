//! The limit: the same shape on bare sockets, without multiplexer, identity or routing.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context as _, Result};
use bytes::{Buf as _, BufMut as _, BytesMut};
use slab::Slab;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot},
};

use crate::load::Caller;

/// Bytes of a call and of its reply.
pub(crate) const PAYLOAD: usize = 16;
/// An id, then the payload.
const FRAME: usize = 8 + PAYLOAD;

/// Answers frames with themselves, on every connection, for ever.
pub(crate) async fn serve(listener: TcpListener) -> Result<()> {
    loop {
        let (socket, _) = listener.accept().await.context("accept")?;
        socket.set_nodelay(true).context("nodelay")?;
        tokio::spawn(echo(socket));
    }
}

async fn echo(mut socket: TcpStream) -> Result<()> {
    let mut buffer = BytesMut::with_capacity(256 << 10);
    while socket.read_buf(&mut buffer).await? > 0 {
        let whole = buffer.len() / FRAME * FRAME;
        let frames = buffer.split_to(whole);
        socket.write_all(&frames).await?;
        buffer.reserve(256 << 10);
    }
    Ok(())
}

/// A caller with a connection of its own.
pub(crate) struct Own(TcpStream);

impl Own {
    pub(crate) async fn connect(server: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(server).await.context("connect")?;
        socket.set_nodelay(true).context("nodelay")?;
        Ok(Self(socket))
    }
}

impl Caller for Own {
    async fn call(&mut self) -> Result<()> {
        let mut frame = [7; FRAME];
        self.0.write_all(&frame).await?;
        self.0.read_exact(&mut frame).await?;
        Ok(())
    }
}

/// Calls that wait for their reply, by id.
type Waiting = Arc<Mutex<Slab<oneshot::Sender<()>>>>;

/// A caller that shares one connection with others: the bare multiplexer, with ids.
#[derive(Clone)]
pub(crate) struct Shared {
    calls: mpsc::Sender<usize>,
    waiting: Waiting,
}

impl Shared {
    pub(crate) async fn connect(server: SocketAddr) -> Result<Self> {
        let (read, write) = Own::connect(server).await?.0.into_split();
        let (calls, inbox) = mpsc::channel(1024);
        let waiting = Waiting::default();
        tokio::spawn(write_calls(inbox, write));
        tokio::spawn(read_replies(Arc::clone(&waiting), read));
        Ok(Self { calls, waiting })
    }
}

impl Caller for Shared {
    async fn call(&mut self) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        let id = lock(&self.waiting).insert(reply);
        self.calls.send(id).await.context("connection lost")?;
        answer.await.context("connection lost")
    }
}

fn lock(waiting: &Waiting) -> MutexGuard<'_, Slab<oneshot::Sender<()>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn write_calls(mut inbox: mpsc::Receiver<usize>, mut write: OwnedWriteHalf) -> Result<()> {
    let mut batch = Vec::with_capacity(1024);
    let mut buffer = BytesMut::new();
    while inbox.recv_many(&mut batch, 1024).await > 0 {
        for id in batch.drain(..) {
            buffer.put_u64(u64::try_from(id)?);
            buffer.put_bytes(7, PAYLOAD);
        }
        write.write_all_buf(&mut buffer).await?;
    }
    Ok(())
}

async fn read_replies(waiting: Waiting, mut read: OwnedReadHalf) -> Result<()> {
    let mut buffer = BytesMut::with_capacity(256 << 10);
    while read.read_buf(&mut buffer).await? > 0 {
        while buffer.len() >= FRAME {
            let mut frame = buffer.split_to(FRAME);
            let id = usize::try_from(frame.get_u64())?;
            let reply = lock(&waiting).try_remove(id).context("a reply nobody waits for")?;
            reply.send(()).ok().context("a caller is gone")?;
        }
        buffer.reserve(256 << 10);
    }
    Ok(())
}

/// Makes as many callers as asked for, all on one connection.
pub(crate) async fn shared(server: SocketAddr, callers: usize) -> Result<Vec<Shared>> {
    Ok(vec![Shared::connect(server).await?; callers])
}

/// Makes as many callers as asked for, each with a connection of its own.
pub(crate) async fn own(server: SocketAddr, callers: usize) -> Result<Vec<Own>> {
    let mut made = Vec::with_capacity(callers);
    for _ in 0..callers {
        made.push(Own::connect(server).await?);
    }
    Ok(made)
}
