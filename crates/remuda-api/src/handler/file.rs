//! Files for nodes and of nodes.

use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::{FutureExt, StreamExt, stream};
use http_body_util::BodyExt;
use remuda_control::{Fetch, FileStream};
use remuda_model::{Digest, Failure, NodeId};
use remuda_wire::message::file::Target;
use tokio::{sync::mpsc, time::timeout};

use super::output::ndjson;
use crate::{
    access::{Caller, token_ended},
    answer::Answer,
    api::Api,
    dto::{
        Artifact, ContentQuery, FileLine, FileQuery, FileSource, NodeFile, SendFile, UploadQuery,
    },
    extract::{Args, Json as Body_, Params},
};

/// How long more of a body may take to come.
const IDLE: Duration = Duration::from_secs(30);
/// How many nodes are sent to at a time.
const AT_A_TIME: usize = 16;
/// The most nodes of one call.
const MAX_NODES: usize = 10_000;
/// Lines on their way to the caller.
const LINES: usize = 256;
/// The permission bits of a file for which none are given.
const MODE: u32 = 0o644;

/// What this control node has of some content
#[utoipa::path(get, path = "/v1/artifacts/{digest}", tag = "files",
    params(("digest" = String, Path, description = "Its BLAKE3 digest")),
    responses((status = 200, body = Artifact)))]
pub(crate) async fn get_artifact(
    State(api): State<Api>,
    Args(digest): Args<Digest>,
) -> Answer<Json<Artifact>> {
    Ok(Json(artifact(&api, digest)?))
}

fn artifact(api: &Api, digest: Digest) -> Result<Artifact, Failure> {
    use remuda_artifact::Presence;
    let (held, complete, arriving) = match api.control().artifacts().find(&digest) {
        Some(Presence::Whole { size }) => (size, true, false),
        Some(Presence::Part { held, arriving }) => (held, false, arriving),
        None => return Err(remuda_artifact::StoreError::Absent.into()),
    };
    Ok(Artifact { digest, held, complete, arriving })
}

/// Brings content to this control node
///
/// What broke off goes on at `held`. Content with another digest is thrown away.
#[utoipa::path(put, path = "/v1/artifacts/{digest}", tag = "files",
    params(("digest" = String, Path, description = "Its BLAKE3 digest"), UploadQuery),
    request_body(content_type = "application/octet-stream", content = Vec<u8>),
    responses((status = 200, body = Artifact)))]
pub(crate) async fn put_artifact(
    State(api): State<Api>,
    caller: Caller,
    Args(digest): Args<Digest>,
    Params(query): Params<UploadQuery>,
    request: Request,
) -> Answer<Json<Artifact>> {
    use remuda_artifact::{Receive, StoreError};
    let receive = api.control().artifacts().receive(&digest, query.size).await;
    let mut incoming = match receive.map_err(Failure::from)? {
        Receive::Whole => return Ok(Json(artifact(&api, digest)?)),
        Receive::Incoming(incoming) => incoming,
    };
    if incoming.held() != query.offset {
        let (at, held) = (query.offset, incoming.held());
        return Err(Failure::from(StoreError::WrongOffset { at, held }).into());
    }
    let mut body: Body = request.into_body();
    let mut ended = caller.ended(&api);
    loop {
        let frame = tokio::select! {
            biased;
            () = &mut ended => Err(token_ended()),
            frame = timeout(IDLE, body.frame()) => match frame {
                Ok(Some(Ok(frame))) => Ok(Some(frame)),
                Ok(Some(Err(error))) => {
                    Err(Failure::invalid(format!("the body of the request broke off: {error}")))
                }
                Ok(None) => Ok(None),
                Err(_elapsed) => Err(Failure::invalid("the body of the request came too slowly")
                    .code("body_too_slow")),
            },
        };
        match frame {
            Ok(Some(frame)) => {
                let bytes: Bytes = frame.into_data().unwrap_or_default();
                incoming.write(bytes).await.map_err(Failure::from)?;
            }
            Ok(None) if incoming.held() == query.size => {
                incoming.finish().await.map_err(Failure::from)?;
                return Ok(Json(artifact(&api, digest)?));
            }
            Ok(None) => {
                incoming.pause().await.map_err(Failure::from)?;
                return Ok(Json(artifact(&api, digest)?));
            }
            Err(failure) => {
                incoming.pause().await.map_err(Failure::from)?;
                return Err(failure.into());
            }
        }
    }
}

/// What a file of a node is
///
/// The node reads all of it, for its digest.
#[utoipa::path(get, path = "/v1/nodes/{node}/file", tag = "files",
    params(("node" = String, Path, description = "Its name"), FileQuery),
    responses((status = 200, body = NodeFile)))]
pub(crate) async fn get_file(
    State(api): State<Api>,
    Args(node): Args<NodeId>,
    Params(query): Params<FileQuery>,
) -> Answer<Json<NodeFile>> {
    let file = api.control().stat_file(&node, &query.path).await?;
    let digest = file.digest.ok_or_else(|| Failure::failed("the node told no digest"))?;
    Ok(Json(NodeFile { size: file.size, mode: file.mode, tag: file.tag, digest }))
}

/// What is in a file of a node
///
/// The answer breaks off when the node does.
#[utoipa::path(get, path = "/v1/nodes/{node}/file/content", tag = "files",
    params(("node" = String, Path, description = "Its name"), ContentQuery),
    responses((status = 200, description = "The file from `offset` on.",
        content_type = "application/octet-stream", body = Vec<u8>)))]
pub(crate) async fn get_file_content(
    State(api): State<Api>,
    caller: Caller,
    Args(node): Args<NodeId>,
    Params(query): Params<ContentQuery>,
) -> Answer<Response> {
    let opened = api.control().read_file(&node, &query.path, query.offset, query.tag).await;
    let (file, content) = opened?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_DISPOSITION, "attachment".to_owned()),
        (header::CONTENT_LENGTH, file.size.saturating_sub(query.offset).to_string()),
    ];
    let ended = caller.ended(&api);
    let body = stream::unfold(Some((content, ended)), pull);
    Ok((StatusCode::OK, headers, Body::from_stream(body)).into_response())
}

type Pulled = Option<(FileStream, futures_util::future::BoxFuture<'static, ()>)>;

/// The next bytes; an error breaks the answer off.
async fn pull(state: Pulled) -> Option<(Result<Bytes, Failure>, Pulled)> {
    let (mut content, mut ended) = state?;
    let next = tokio::select! {
        biased;
        () = &mut ended => Err(token_ended()),
        next = content.next() => next,
    };
    match next.transpose()? {
        Ok(bytes) => Some((Ok(bytes), Some((content, ended)))),
        Err(failure) => Some((Err(failure), None)),
    }
}

/// Sends a file to nodes
///
/// Content that was brought here, or a file of a node. Whoever has it already, or a part of it,
/// gets no more than is missing. When the caller goes away, what is on its way breaks off.
#[utoipa::path(post, path = "/v1/files", tag = "files", request_body = SendFile,
    responses((status = 200, description = "One `FileLine` per line; the last is `end`.",
        content_type = "application/x-ndjson", body = FileLine)))]
pub(crate) async fn send_file(
    State(api): State<Api>,
    caller: Caller,
    Body_(request): Body_<SendFile>,
) -> Answer<Response> {
    let sending = Sending::prepare(&api, request).await?;
    let (lines, rest) = mpsc::channel(LINES);
    let ended = caller.ended(&api);
    api.supervisor().spawn("files", sending.run(lines, ended));
    let lines = stream::unfold(rest, |mut rest| async move {
        let line: FileLine = rest.recv().await?;
        let mut bytes = serde_json::to_vec(&line).expect("lines are plain data");
        bytes.push(b'\n');
        Some((Ok::<_, Infallible>(Bytes::from(bytes)), rest))
    });
    Ok(ndjson(Body::from_stream(lines)))
}

/// A file on its way to nodes.
struct Sending {
    api: Api,
    digest: Digest,
    size: u64,
    to: Target,
    nodes: Vec<NodeId>,
    fetch: Option<Fetch>,
}

impl Sending {
    async fn prepare(api: &Api, request: SendFile) -> Result<Self, Failure> {
        let SendFile { source, nodes, path, name, mode, keep_existing } = request;
        if nodes.is_empty() || nodes.len() > MAX_NODES {
            return Err(Failure::invalid(format!("body: nodes: expected 1 to {MAX_NODES} nodes")));
        }
        let mut fetch = None;
        let (digest, size, own_name, own_mode) = match source {
            FileSource::Artifact { digest, size } => (digest, size, None, MODE),
            FileSource::File(from) => {
                let begun = api.control().begin_fetch(&from.node, &from.path).await?;
                let own = (begun.digest().clone(), begun.size(), begun.mode());
                fetch = Some(begun);
                let name = from.path.rsplit('/').find(|part| !part.is_empty()).map(str::to_owned);
                (own.0, own.1, name, own.2)
            }
        };
        let to = match path {
            None => Target::Store,
            Some(path) => Target::Path {
                path,
                name: name.or(own_name).unwrap_or_default(),
                mode: mode.unwrap_or(own_mode),
                overwrite: !keep_existing,
            },
        };
        Ok(Self { api: api.clone(), digest, size, to, nodes, fetch })
    }

    /// Sends it to all nodes, unless the caller goes away or its token ends.
    async fn run(
        self,
        lines: mpsc::Sender<FileLine>,
        ended: futures_util::future::BoxFuture<'static, ()>,
    ) {
        let (digest, size) = (self.digest.clone(), self.size);
        let stopping = self.api.stopping();
        let sent = async {
            drop(lines.send(FileLine::Source { digest, size }).await);
            self.all(&lines).await;
            drop(lines.send(FileLine::End).await);
        };
        tokio::select! {
            biased;
            () = ended => {}
            () = stopping.cancelled() => {}
            () = lines.closed() => {}
            () = sent => {}
        }
    }

    async fn all(self, lines: &mpsc::Sender<FileLine>) {
        let Self { api, digest, size, to, nodes, fetch } = self;
        // Shared by all who wait for what is fetched.
        let fetched = match fetch {
            Some(fetch) => async move { fetch.run().await.err() }.boxed(),
            None => async { None }.boxed(),
        }
        .shared();
        let (api, to, digest) = (Arc::new(api), Arc::new(to), Arc::new(digest));
        let sends = nodes.into_iter().map(|node| {
            let (api, to, digest) = (Arc::clone(&api), Arc::clone(&to), Arc::clone(&digest));
            let (lines, fetched) = (lines.clone(), fetched.clone());
            async move {
                let progress = |held| {
                    // The next one says more.
                    drop(lines.try_send(FileLine::Progress { node: node.clone(), held }));
                };
                let sent = api.control().send_file(&node, (&digest, size), &to, progress).await;
                let line = match sent {
                    Ok(sent) => FileLine::Done { node, path: sent.path, was_there: sent.was_there },
                    Err(error) => {
                        let error = if error.code == "broken_off" || error.code == "no_artifact" {
                            fetched.await.unwrap_or(error)
                        } else {
                            error
                        };
                        FileLine::Failed { node, error }
                    }
                };
                drop(lines.send(line).await);
            }
        });
        let sends = stream::iter(sends).buffer_unordered(AT_A_TIME).collect::<()>();
        // Fetching goes on beside, and ends with the sends.
        let fetching = async {
            fetched.clone().await;
            pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = sends => {}
            () = fetching => {}
        }
    }
}
