//! Serves a board.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use remuda_runtime::Supervisor;
use serde::Serialize;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::Instant,
};

use super::{ANNOUNCE, Board, LIMIT, LIST, MAX_PACKET, Packet};

/// Connections at a time.
const MAX_CONNECTIONS: usize = 512;
/// After a failed accept.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest head of a request, in bytes, and the most lines in it.
const MAX_HEAD: (usize, usize) = (8 * 1024, 64);

/// Serves a board at an address until the supervisor stops; tells the address with its real port.
///
/// Everybody may read and write: each connection carries one request and lasts three seconds at most.
///
/// # Errors
///
/// When the address cannot be had.
pub async fn serve(listen: SocketAddr, supervisor: &Supervisor) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    let served = Arc::new(Served { board: Mutex::default(), started: Instant::now() });
    let (nursery, stop) = (supervisor.clone(), supervisor.token());
    supervisor.spawn("tracker", async move {
        tokio::select! {
            biased;
            () = stop.cancelled() => (),
            () = accept(listener, served, nursery) => (),
        }
    });
    Ok(address)
}

struct Served {
    board: Mutex<Board>,
    started: Instant,
}

async fn accept(listener: TcpListener, served: Arc<Served>, nursery: Supervisor) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "the tracker cannot accept");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (served, stop) = (Arc::clone(&served), nursery.token());
        nursery.spawn_small("tracker connection", async move {
            tokio::select! {
                () = stop.cancelled() => (),
                // Whoever is slower than this does without.
                _ = tokio::time::timeout(LIMIT, one(stream, from.ip(), &served)) => (),
            }
            drop(place);
        });
    }
}

async fn one(stream: TcpStream, from: IpAddr, served: &Served) {
    let service = service_fn(|request| async move {
        Ok::<_, Infallible>(answer(request, from.to_canonical(), served).await)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .max_buf_size(MAX_HEAD.0)
        .max_headers(MAX_HEAD.1)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, %from, "a connection to the tracker");
    }
}

async fn answer(
    request: Request<Incoming>,
    from: IpAddr,
    served: &Served,
) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, LIST | "/") => served.list(),
        (&Method::POST, ANNOUNCE | LIST | "/") => match packet(request).await {
            Ok(packet) => served.announce(from, packet),
            Err((status, what)) => refusal(status, &what),
        },
        (_, ANNOUNCE | LIST | "/") => {
            refusal(StatusCode::METHOD_NOT_ALLOWED, "GET /hostsAvailable, POST /announce")
        }
        _ => refusal(StatusCode::NOT_FOUND, "GET /hostsAvailable, POST /announce"),
    }
}

async fn packet(request: Request<Incoming>) -> Result<Packet, (StatusCode, String)> {
    let body = Limited::new(request.into_body(), MAX_PACKET).collect().await;
    let body = body.map_err(|error| {
        let status = match error.downcast_ref::<LengthLimitError>() {
            Some(_) => StatusCode::PAYLOAD_TOO_LARGE,
            None => StatusCode::BAD_REQUEST,
        };
        (status, format!("a packet has at most {MAX_PACKET} bytes"))
    })?;
    let packet = serde_json::from_slice(&body.to_bytes());
    packet.map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
}

impl Served {
    fn announce(&self, from: IpAddr, packet: Packet) -> Response<Full<Bytes>> {
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        let announced = board.announce(self.started.elapsed(), from, packet);
        drop(board);
        match announced {
            Ok(()) => self.list(),
            Err(refused) => refusal(StatusCode::BAD_REQUEST, &refused.to_string()),
        }
    }

    fn list(&self) -> Response<Full<Bytes>> {
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        json(StatusCode::OK, &board.hosts(self.started.elapsed()))
    }
}

fn refusal(status: StatusCode, what: &str) -> Response<Full<Bytes>> {
    json(status, &serde_json::json!({ "error": what }))
}

fn json(status: StatusCode, body: &impl Serialize) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(serde_json::to_vec(body).unwrap_or_default()));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
