//! Connections within one process: a node's own worker part, and tests.

use std::{
    collections::BTreeMap,
    io,
    sync::{LazyLock, Mutex, PoisonError},
};

use remuda_wire::handshake::Secret;
use tokio::{
    io::DuplexStream,
    sync::mpsc::{self, error::TrySendError},
};

use super::Connected;
use crate::{handshake::random, tls::Channel};

/// How much may be under way in each direction, in bytes.
const PIPE: usize = 256 * 1024;
/// Connections that wait to be accepted.
const BACKLOG: usize = 128;

static LISTENERS: Mutex<BTreeMap<u16, mpsc::Sender<DuplexStream>>> = Mutex::new(BTreeMap::new());

/// What both ends prove to know by being in the same process.
static PROCESS_SECRET: LazyLock<Secret> = LazyLock::new(|| Secret::random_key(random()));

pub(crate) fn process_secret() -> Secret {
    PROCESS_SECRET.clone()
}

/// A port of this process; free again when dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    port: u16,
    waiting: mpsc::Receiver<DuplexStream>,
}

impl Listener {
    /// Takes the port, or any free one for 0.
    pub(crate) fn bind(port: u16) -> io::Result<Self> {
        let mut listeners = LISTENERS.lock().unwrap_or_else(PoisonError::into_inner);
        let port = match port {
            0 => (1..=u16::MAX).rev().find(|port| !listeners.contains_key(port)),
            port => (!listeners.contains_key(&port)).then_some(port),
        };
        let port = port.ok_or(io::ErrorKind::AddrInUse)?;
        let (sender, waiting) = mpsc::channel(BACKLOG);
        listeners.insert(port, sender);
        Ok(Self { port, waiting })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) async fn accept(&mut self) -> io::Result<Connected> {
        let io = self.waiting.recv().await.ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(connected(io, self.port))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        LISTENERS.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.port);
    }
}

pub(crate) fn connect(port: u16) -> io::Result<Connected> {
    let listeners = LISTENERS.lock().unwrap_or_else(PoisonError::into_inner);
    let listener = listeners.get(&port).ok_or(io::ErrorKind::ConnectionRefused)?;
    let (ours, theirs) = tokio::io::duplex(PIPE);
    listener.try_send(theirs).map_err(|error| match error {
        TrySendError::Full(_) => io::ErrorKind::WouldBlock,
        TrySendError::Closed(_) => io::ErrorKind::ConnectionRefused,
    })?;
    Ok(connected(ours, port))
}

fn connected(io: DuplexStream, port: u16) -> Connected {
    Connected {
        io: Box::new(io),
        channel: Channel::default(),
        remote: format!("mem:{port}"),
        is_local: true,
    }
}
