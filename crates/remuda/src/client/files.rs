//! Files: to nodes, from nodes, between nodes.

use std::{
    fs::File,
    io::{Seek, SeekFrom},
    os::unix::fs::PermissionsExt,
    path::Path,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::{Method, body::Frame};
use remuda_artifact::{FileReader, Place, Placing, Roots, Wanted, digest_of_file};
use remuda_model::{Digest, ErrorKind, Failure, NodeId};
use remuda_runtime::Backoff;
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

use super::{
    Client,
    body::Lines,
    dto::{Artifact, NodeFile, SendFile},
    stream::FileLines,
    transport::{Call, encoded},
};

/// How long a transfer is tried again, from the last byte that came through.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a node may hash a file.
const HASHING: Duration = Duration::from_mins(10);
/// How long the API may take to sync what it got.
const SYNCING: Duration = Duration::from_mins(10);

/// A local file, hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalFile {
    /// The digest of what is in it.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// Its permission bits.
    pub mode: u32,
}

impl LocalFile {
    /// Reads a file for its digest.
    ///
    /// # Errors
    ///
    /// `not_found` when it is not there, `invalid` when it is no regular file.
    pub async fn read(path: &Path) -> Result<Self, Failure> {
        let owned = path.to_owned();
        let read = spawn_blocking(move || {
            let meta = std::fs::metadata(&owned)?;
            if !meta.is_file() {
                return Ok(None);
            }
            let file = File::open(&owned)?;
            Ok::<_, std::io::Error>(Some((digest_of_file(&file)?, file.metadata()?)))
        });
        let read = read.await.map_err(|error| Failure::internal(&error))?;
        let read = read.map_err(|error| local(path, &error))?;
        let Some((digest, meta)) = read else {
            let text = format!("{}: is no regular file", path.display());
            return Err(Failure::invalid(text).code("no_file"));
        };
        Ok(Self { digest, size: meta.len(), mode: meta.permissions().mode() & 0o7777 })
    }
}

/// Files. What breaks off is tried again, and goes on from where it was.
impl Client {
    /// Brings the content of a local file to the control node, unless it is there already; tells
    /// from time to time how much is there. Then it can be [sent](Self::send_file) to nodes.
    ///
    /// # Errors
    ///
    /// As every call; `wrong_digest` when the file has changed since it was hashed.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, what came is kept for the next attempt.
    pub async fn upload(
        &self,
        path: &Path,
        file: &LocalFile,
        told: impl Fn(u64) + Send + Sync + Clone + 'static,
    ) -> Result<(), Failure> {
        let mut retry = Retry::new();
        loop {
            let held = match self.artifact(&file.digest).await {
                Ok(artifact) if artifact.complete => return Ok(()),
                Ok(artifact) if artifact.arriving => {
                    // Another client sends the same.
                    told(artifact.held);
                    retry.progress(artifact.held);
                    retry.pause().await.ok_or_else(|| busy(&file.digest))?;
                    continue;
                }
                Ok(artifact) => artifact.held,
                Err(failure) if failure.code == "no_artifact" => 0,
                Err(failure) if may_go_on(&failure) => {
                    retry.pause().await.ok_or(failure)?;
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            retry.progress(held);
            match self.upload_from(path, file, held, told.clone()).await {
                Ok(artifact) if artifact.complete => return Ok(()),
                Ok(_) => {}
                Err(failure) if !may_go_on(&failure) => return Err(failure),
                Err(failure) => retry.pause().await.ok_or(failure)?,
            }
        }
    }

    async fn artifact(&self, digest: &Digest) -> Result<Artifact, Failure> {
        self.transport.json(Call::new(Method::GET, format!("/v1/artifacts/{digest}"))).await
    }

    async fn upload_from(
        &self,
        path: &Path,
        file: &LocalFile,
        held: u64,
        told: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<Artifact, Failure> {
        let mut opened = File::open(path).map_err(|error| local(path, &error))?;
        opened.seek(SeekFrom::Start(held)).map_err(|error| local(path, &error))?;
        let left = file.size.saturating_sub(held);
        let reader = FileReader::new(opened, left);
        let content = stream::unfold((reader, held), move |(mut reader, at)| {
            told(at);
            async move {
                let bytes = reader.next().await.transpose()?;
                let at = at + bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
                Some((bytes.map(Frame::data), (reader, at)))
            }
        });
        let mut call = Call::new(Method::PUT, format!("/v1/artifacts/{}", file.digest)).query(&[
            ("size", Some(file.size.to_string())),
            ("offset", (held > 0).then(|| held.to_string())),
        ]);
        call.patience = SYNCING;
        call.headers.push(("content-length", left.to_string()));
        self.transport.upload(call, StreamBody::new(content.boxed())).await
    }

    /// Sends a file to nodes, line by line what comes of it.
    ///
    /// # Errors
    ///
    /// As every call; what a node says is a line.
    pub async fn send_file(&self, request: &SendFile) -> Result<FileLines, Failure> {
        let mut call = Call::new(Method::POST, "/v1/files").body(request)?;
        // A file of a node is hashed first.
        call.patience = HASHING;
        Ok(FileLines::new(Lines::new(self.transport.stream(call).await?)))
    }

    /// What a file of a node is.
    ///
    /// # Errors
    ///
    /// `not_found` when it is not there, and as every call.
    pub async fn node_file(&self, node: &NodeId, path: &str) -> Result<NodeFile, Failure> {
        let mut call = Call::new(Method::GET, format!("/v1/nodes/{node}/file"))
            .query(&[("path", Some(encoded(path)))]);
        call.patience = HASHING;
        self.transport.json(call).await
    }

    /// Fetches a file of a node to a local path, where it appears when it is whole; tells from time
    /// to time how much is here. Returns whether it was there before.
    ///
    /// # Errors
    ///
    /// As every call; `file_changed` when the file changes meanwhile, `disk_full`.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, what came lies hidden beside the target, for the next attempt.
    pub async fn fetch_file(
        &self,
        (node, path): (&NodeId, &str),
        file: &NodeFile,
        target: &Path,
        overwrite: bool,
        told: impl Fn(u64) + Send + Sync,
    ) -> Result<bool, Failure> {
        let mut retry = Retry::new();
        loop {
            let wanted =
                Wanted { digest: file.digest.clone(), size: file.size, mode: file.mode, overwrite };
            let place = local_place(target).await?;
            let Some(mut placing) = Placing::begin(place, wanted).await? else { return Ok(true) };
            retry.progress(placing.held());
            let fetched = self.fetch_rest((node, path), file, &mut placing, &told).await;
            match fetched {
                Ok(()) => {
                    placing.finish().await?;
                    return Ok(false);
                }
                Err(failure) if may_go_on(&failure) => {
                    placing.flush().await?;
                    drop(placing);
                    retry.pause().await.ok_or(failure)?;
                }
                Err(failure) if is_for_good(&failure) => {
                    placing.discard().await;
                    return Err(failure);
                }
                // Another attempt goes on there.
                Err(failure) => {
                    placing.flush().await?;
                    return Err(failure);
                }
            }
        }
    }

    async fn fetch_rest(
        &self,
        (node, path): (&NodeId, &str),
        file: &NodeFile,
        placing: &mut Placing,
        told: &(impl Fn(u64) + Send + Sync),
    ) -> Result<(), Failure> {
        told(placing.held());
        if placing.held() == file.size {
            return Ok(());
        }
        let call = Call::new(Method::GET, format!("/v1/nodes/{node}/file/content")).query(&[
            ("path", Some(encoded(path))),
            ("offset", (placing.held() > 0).then(|| placing.held().to_string())),
            ("tag", Some(encoded(&file.tag))),
        ]);
        let mut body = self.transport.stream(call).await?;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                let text = format!("the file broke off: {error}");
                Failure::new(ErrorKind::Unavailable, text).code("file_lost")
            })?;
            let bytes: Bytes = frame.into_data().unwrap_or_default();
            placing.write(bytes).await?;
            told(placing.held());
        }
        if placing.held() < file.size {
            let failure = Failure::new(ErrorKind::Unavailable, "the file ended early");
            return Err(failure.code("file_lost"));
        }
        Ok(())
    }
}

/// Where a local file will be: in a directory, which may be reached through links.
async fn local_place(target: &Path) -> Result<Place, Failure> {
    let target = target.to_owned();
    let found = spawn_blocking(move || {
        let at = |error: &std::io::Error| local(&target, error);
        let name = target.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
            Failure::invalid(format!("{}: is no name of a file", target.display()))
        })?;
        let dir = target.parent().filter(|dir| !dir.as_os_str().is_empty());
        let dir = dir.unwrap_or(Path::new(".")).canonicalize().map_err(|e| at(&e))?;
        let roots = Roots::open(std::slice::from_ref(&dir), &[]).map_err(|e| at(&e))?;
        let path = dir.join(name);
        let path = path
            .to_str()
            .ok_or_else(|| Failure::invalid(format!("{}: is no text in UTF-8", path.display())))?;
        Ok(roots.locate(path)?.make_place(name)?)
    });
    found.await.map_err(|error| Failure::internal(&error))?
}

/// Pauses between attempts, as long as there is progress now and then.
struct Retry {
    backoff: Backoff,
    reached: u64,
    last: Instant,
}

impl Retry {
    fn new() -> Self {
        let (base, cap) = (Duration::from_millis(200), Duration::from_secs(5));
        Self {
            backoff: Backoff::new(base, cap, fastrand::u64(..)),
            reached: 0,
            last: Instant::now(),
        }
    }

    fn progress(&mut self, reached: u64) {
        if reached > self.reached {
            self.reached = reached;
            self.last = Instant::now();
            self.backoff.reset();
        }
    }

    /// Waits, unless there was no progress for too long.
    async fn pause(&mut self) -> Option<()> {
        if self.last.elapsed() >= PATIENCE {
            return None;
        }
        sleep(self.backoff.next_delay()).await;
        Some(())
    }
}

/// Whether the way was lost, so that another attempt may come further.
fn may_go_on(failure: &Failure) -> bool {
    matches!(
        failure.code.as_str(),
        "file_lost"
            | "wrong_offset"
            | "artifact_arriving"
            | "too_many_transfers"
            | "unreachable"
            | "control_unreachable"
            | "no_owner"
            | "no_leader"
            | "shutting_down"
    ) || matches!(failure.kind, ErrorKind::OutcomeUnknown | ErrorKind::NotConnected)
        || failure.kind == ErrorKind::Unavailable && failure.code == "unavailable"
}

/// Whether what came is worth nothing.
fn is_for_good(failure: &Failure) -> bool {
    let codes = ["wrong_digest", "wrong_size", "file_changed", "no_file", "disk_full"];
    codes.contains(&failure.code.as_str())
}

fn busy(digest: &Digest) -> Failure {
    let text = format!("another client sends {digest} and makes no progress");
    Failure::new(ErrorKind::Conflict, text).code("artifact_arriving")
}

fn local(path: &Path, error: &std::io::Error) -> Failure {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => ErrorKind::NotFound,
        std::io::ErrorKind::PermissionDenied => ErrorKind::Forbidden,
        _ => ErrorKind::Failed,
    };
    Failure::new(kind, format!("{}: {error}", path.display())).code("local_file")
}
