//! Files for nodes and of nodes, from any control node.

use std::{collections::hash_map::RandomState, hash::BuildHasher, time::Duration};

use bytes::Bytes;
use remuda_artifact::{Incoming, Outgoing, Receive, Store, StoreError};
use remuda_link::{RecvHalf, SendHalf, Stream, StreamError, code};
use remuda_model::{Digest, ErrorKind, Failure, NodeId};
use remuda_runtime::Backoff;
use remuda_wire::message::{
    FILE,
    file::{Call, File, Head, Put, Said, Target},
};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    Control,
    proxies::{NOT_HERE, not_connected},
};

/// The longest answer of a worker.
const MAX_ANSWER: usize = 64 << 10;
/// How long a worker may hash or sync a file without a word; that the link is up is known
/// otherwise.
const SILENT: Duration = Duration::from_mins(10);
/// How long the request may take to be sent, and a last word to come.
const SHORT: Duration = Duration::from_secs(10);
/// How long content may take to come.
const IDLE: Duration = Duration::from_mins(1);
/// How long a way to the node is looked for, from the last byte that came through.
const PATIENCE: Duration = Duration::from_secs(30);

/// A file that a node has now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Whether it had it before.
    pub was_there: bool,
    /// The whole path, when it went to one.
    pub path: Option<String>,
}

/// A file of a node, from a byte on. Dropping it ends the transfer.
#[derive(Debug)]
pub struct FileStream {
    node: NodeId,
    recv: RecvHalf,
    left: u64,
}

/// A file of a node that is to come here.
#[derive(Debug)]
pub struct Fetch {
    control: Control,
    node: NodeId,
    path: String,
    digest: Digest,
    file: File,
    incoming: Option<Incoming>,
}

impl Fetch {
    /// The digest of the file.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.file.size
    }

    /// Its permission bits.
    pub fn mode(&self) -> u32 {
        self.file.mode
    }

    /// Brings what is missing.
    ///
    /// # Errors
    ///
    /// When the link is lost, the file changes meanwhile, or the disk of this node is full.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, what came is kept.
    pub async fn run(self) -> Result<(), Failure> {
        let Some(mut incoming) = self.incoming else { return Ok(()) };
        let mut again = Again::new(&self.node);
        loop {
            let tag = Some(self.file.tag.clone());
            let held = incoming.held();
            let rest = self.control.read_file(&self.node, &self.path, held, tag).await;
            let came = async {
                let (_, mut stream) = rest?;
                while let Some(bytes) = stream.next().await? {
                    incoming.write(bytes).await?;
                }
                Ok::<_, Failure>(())
            };
            match came.await {
                Ok(()) => return Ok(incoming.finish().await?),
                Err(failure) => again.after(failure, Some(incoming.held())).await?,
            }
        }
    }
}

/// Attempts that go on for as long as there is progress now and then.
struct Again {
    node: NodeId,
    backoff: Backoff,
    reached: Option<u64>,
    last: Instant,
}

impl Again {
    fn new(node: &NodeId) -> Self {
        let (base, cap) = (Duration::from_millis(100), Duration::from_secs(2));
        let backoff = Backoff::new(base, cap, RandomState::new().hash_one(node));
        Self { node: node.clone(), backoff, reached: None, last: Instant::now() }
    }

    /// Waits a little, unless the failure is for good or there was no progress for too long.
    async fn after(&mut self, failure: Failure, reached: Option<u64>) -> Result<(), Failure> {
        if reached > self.reached {
            (self.reached, self.last) = (reached, Instant::now());
            self.backoff.reset();
        }
        if !may_go_on(&failure) || self.last.elapsed() >= PATIENCE {
            return Err(failure);
        }
        tracing::debug!(node = %self.node, %failure, "a file goes on from where it broke off");
        sleep(self.backoff.next_delay()).await;
        Ok(())
    }
}

impl FileStream {
    /// The next bytes, or `None` at the end.
    ///
    /// # Errors
    ///
    /// When the file became shorter, and when the link is lost.
    ///
    /// # Cancel safety
    ///
    /// No byte is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        if self.left == 0 {
            return Ok(None);
        }
        let chunk = timeout(IDLE, self.recv.read_chunk()).await.map_err(|_elapsed| {
            Failure::new(ErrorKind::TimedOut, format!("node `{}` sends no more", self.node))
        })?;
        match chunk.map_err(|error| lost(&self.node, &error))? {
            Some(bytes) if bytes.len() as u64 <= self.left => {
                self.left -= bytes.len() as u64;
                Ok(Some(bytes))
            }
            Some(_) | None => Err(Failure::failed(format!(
                "node `{}` sent another amount than it said",
                self.node
            ))),
        }
    }
}

impl Control {
    /// The content that this node keeps for others, by digest.
    pub fn artifacts(&self) -> &Store {
        &self.shared.artifacts
    }

    /// Sends content that this node has, or that just arrives here, to another one; tells from
    /// time to time how many bytes are there. A way that is lost is looked for again, and the rest
    /// sent from where it broke off.
    ///
    /// # Errors
    ///
    /// - [`NotFound`](ErrorKind::NotFound) when the content is not here, or there is no such node;
    /// - [`NotConnected`](ErrorKind::NotConnected), [`Unavailable`](ErrorKind::Unavailable) when
    ///   there is no way to it for 30 s;
    /// - what the node says: the path, its disk, its status.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the transfer; sent again, it goes on from where it was.
    pub async fn send_file(
        &self,
        node: &NodeId,
        (digest, size): (&Digest, u64),
        to: &Target,
        told: impl Fn(u64) + Send + Sync,
    ) -> Result<Sent, Failure> {
        let mut again = Again::new(node);
        loop {
            match self.send_once(node, (digest, size), to, &told).await {
                Ok(sent) => return Ok(sent),
                Err((failure, reached)) => again.after(failure, reached).await?,
            }
        }
    }

    /// One attempt; with a failure, how far it came.
    async fn send_once(
        &self,
        node: &NodeId,
        (digest, size): (&Digest, u64),
        to: &Target,
        told: &(impl Fn(u64) + Send + Sync),
    ) -> Result<Sent, (Failure, Option<u64>)> {
        let start = async {
            // What is damaged is noticed before the node is asked.
            self.artifacts().check(digest).await?;
            let epoch = self.shared.replica.state().epoch();
            let put = Put { epoch, digest: digest.clone(), size, to: to.clone() };
            let stream = self.ask(node, &Call::Put(put)).await?;
            let (send, mut recv) = stream.split();
            let first = answer::<Said>(node, &mut recv).await?;
            Ok((send, recv, first))
        };
        let (send, mut recv, first) = start.await.map_err(|failure| (failure, None))?;
        let offset = match first {
            Said::Begin { offset } => offset,
            Said::Done { was_there, path } => return Ok(Sent { was_there, path }),
            Said::Failed(failure) => return Err((failure, None)),
            Said::Progress { .. } => return Err((crate::work::unexpected(node), None)),
        };
        told(offset);
        let mut reached = offset;
        let content = self.artifacts().read(digest, size, offset).await;
        let content = content.map_err(|error| (error.into(), None))?;
        let pumped = pump(send, content);
        let heard = async {
            loop {
                match answer::<Said>(node, &mut recv).await? {
                    Said::Progress { held } => {
                        reached = held;
                        told(held);
                    }
                    Said::Done { was_there, path } => return Ok(Sent { was_there, path }),
                    Said::Failed(failure) => return Err(failure),
                    Said::Begin { .. } => return Err(crate::work::unexpected(node)),
                }
            }
        };
        let sent = both(node, pumped, heard).await;
        sent.map_err(|failure| (failure, Some(reached)))
    }

    /// What a file of a node is, its digest included.
    ///
    /// # Errors
    ///
    /// When there is no way to the node, and what the node says.
    pub async fn stat_file(&self, node: &NodeId, path: &str) -> Result<File, Failure> {
        let stream = self.ask(node, &Call::Stat { path: path.to_owned() }).await?;
        let (_send, mut recv) = stream.split();
        answer::<Head>(node, &mut recv).await?
    }

    /// A file of a node from a byte on; with a tag, only while it is the same.
    ///
    /// # Errors
    ///
    /// When there is no way to the node, and what the node says: `file_changed` when it has another
    /// tag.
    pub async fn read_file(
        &self,
        node: &NodeId,
        path: &str,
        offset: u64,
        tag: Option<String>,
    ) -> Result<(File, FileStream), Failure> {
        let stream = self.ask(node, &Call::Get { path: path.to_owned(), offset, tag }).await?;
        let (_send, mut recv) = stream.split();
        let file = answer::<Head>(node, &mut recv).await??;
        let left = file.size.saturating_sub(offset);
        Ok((file, FileStream { node: node.clone(), recv, left }))
    }

    /// Prepares to bring a file of a node here, unless its content is here already. It can be sent
    /// on while it comes.
    ///
    /// # Errors
    ///
    /// As [`read_file`](Self::read_file), and when the disk of this node has no room for it.
    pub async fn begin_fetch(&self, node: &NodeId, path: &str) -> Result<Fetch, Failure> {
        let file = self.stat_file(node, path).await?;
        let digest = file.digest.clone().ok_or_else(|| crate::work::unexpected(node))?;
        let incoming = match self.artifacts().receive(&digest, file.size).await {
            Ok(Receive::Incoming(incoming)) => Some(incoming),
            Ok(Receive::Whole) | Err(StoreError::Arriving) => None,
            Err(error) => return Err(error.into()),
        };
        let (control, node, path) = (self.clone(), node.clone(), path.to_owned());
        Ok(Fetch { control, node, path, digest, file, incoming })
    }

    async fn ask(&self, node: &NodeId, call: &Call) -> Result<Stream, Failure> {
        let mut stream = self.open_stream(node, FILE).await?;
        match timeout(SHORT, stream.send(call)).await {
            Ok(Ok(())) => Ok(stream),
            Ok(Err(error)) => Err(lost(node, &error)),
            Err(_elapsed) => Err(not_connected(node)),
        }
    }
}

/// Why content is not sent any more.
enum Stopped {
    /// The node takes no more; it may have said why.
    Stream(StreamError),
    /// It cannot be read here.
    Content(StoreError),
}

async fn pump(mut send: SendHalf, mut content: Outgoing) -> Result<SendHalf, Stopped> {
    while let Some(bytes) = content.next().await.map_err(Stopped::Content)? {
        send.write(bytes).await.map_err(Stopped::Stream)?;
    }
    send.finish().map_err(Stopped::Stream)?;
    Ok(send)
}

/// Sends content and hears what the node says to it, which has the last word.
async fn both(
    node: &NodeId,
    pumped: impl Future<Output = Result<SendHalf, Stopped>>,
    heard: impl Future<Output = Result<Sent, Failure>>,
) -> Result<Sent, Failure> {
    tokio::pin!(heard);
    let pumped = tokio::select! {
        biased;
        heard = &mut heard => return heard,
        pumped = pumped => pumped,
    };
    match pumped {
        Ok(_send) => heard.await,
        Err(Stopped::Content(error)) => Err(error.into()),
        Err(Stopped::Stream(error)) => {
            timeout(SHORT, heard).await.unwrap_or_else(|_elapsed| Err(lost(node, &error)))
        }
    }
}

async fn answer<T: serde::de::DeserializeOwned>(
    node: &NodeId,
    recv: &mut RecvHalf,
) -> Result<T, Failure> {
    match timeout(SILENT, recv.recv::<T>(MAX_ANSWER)).await {
        Ok(Ok(Some(message))) => Ok(message),
        Ok(Ok(None)) => Err(lost(node, &StreamError::Truncated)),
        Ok(Err(error)) => Err(lost(node, &error)),
        Err(_elapsed) => {
            Err(Failure::new(ErrorKind::TimedOut, format!("node `{node}` says nothing")))
        }
    }
}

/// Failures that pass.
const GO_ON: [&str; 10] = [
    "file_lost",
    "control_unreachable",
    "no_owner",
    "no_leader",
    "stale_epoch",
    "too_many_transfers",
    "file_busy",
    "artifact_arriving",
    "sender_silent",
    "shutting_down",
];

/// Whether the way to the node is lost, so that another may be found.
fn may_go_on(failure: &Failure) -> bool {
    failure.kind == ErrorKind::NotConnected || GO_ON.contains(&failure.code.as_str())
}

fn lost(node: &NodeId, error: &StreamError) -> Failure {
    match error {
        StreamError::Reset { code: NOT_HERE, .. } => not_connected(node),
        StreamError::Reset { code: code::UNKNOWN_PROTOCOL | code::FORBIDDEN, message } => {
            let text = format!("node `{node}` takes and gives no files: {message}");
            Failure::new(ErrorKind::Unavailable, text)
                .code("no_files")
                .hint("it, or a control node on the way, may run an older version")
        }
        error => {
            let text = format!("the file of node `{node}` broke off: {error}");
            Failure::new(ErrorKind::Unavailable, text).code("file_lost")
        }
    }
}
