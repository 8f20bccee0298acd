//! WebSocket as a byte stream: binary messages whose borders mean nothing.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use futures_util::{Sink as _, Stream as _};
use remuda_model::LinkUrl;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async_with_config, client_async_with_config,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        http::{StatusCode, header},
        protocol::{Role, WebSocketConfig},
    },
};

pub(crate) use tokio_tungstenite::tungstenite::{Error, error::ProtocolError};

use super::{Connected, Io};

/// The path when a URL names none.
pub(crate) const PATH: &str = "/link";
/// The longest message that is sent or taken, in bytes: what a stranger can make this side hold.
const MAX_MESSAGE: usize = 64 * 1024;

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
        .read_buffer_size(MAX_MESSAGE)
        .write_buffer_size(0)
        .max_write_buffer_size(4 * MAX_MESSAGE)
}

/// The dialling side of the upgrade.
pub(crate) async fn client(connected: Connected, url: &LinkUrl) -> Result<Connected, Error> {
    let path = url.path.as_deref().unwrap_or(PATH);
    let request = format!("ws://{}{path}", url.authority());
    let (stream, _response) =
        client_async_with_config(request, connected.io, Some(config())).await?;
    Ok(Connected { io: Box::new(Bytestream::new(stream)), ..connected })
}

/// The dialled side of the upgrade, under one path. Browsers are refused: what they say is not
/// their user's will.
pub(crate) async fn server(connected: Connected, path: Option<&str>) -> Result<Connected, Error> {
    let path = path.unwrap_or(PATH).to_owned();
    #[expect(clippy::result_large_err, reason = "the library's callback")]
    let check = move |request: &Request, response: Response| {
        let refuse = |status| {
            let mut refusal = ErrorResponse::new(None);
            *refusal.status_mut() = status;
            Err(refusal)
        };
        if request.headers().contains_key(header::ORIGIN) {
            refuse(StatusCode::FORBIDDEN)
        } else if request.uri().path() != path {
            refuse(StatusCode::NOT_FOUND)
        } else {
            Ok(response)
        }
    };
    let stream = accept_hdr_async_with_config(connected.io, check, Some(config())).await?;
    Ok(Connected { io: Box::new(Bytestream::new(stream)), ..connected })
}

/// The dialled side after somebody else has answered the upgrade.
pub(crate) async fn upgraded(io: impl Io + 'static) -> Box<dyn Io> {
    let stream = WebSocketStream::from_raw_socket(io, Role::Server, Some(config())).await;
    Box::new(Bytestream::new(stream))
}

struct Bytestream<S> {
    socket: WebSocketStream<S>,
    /// The rest of the last message.
    rest: Bytes,
}

impl<S> Bytestream<S> {
    fn new(socket: WebSocketStream<S>) -> Self {
        Self { socket, rest: Bytes::new() }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Bytestream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.rest = bytes,
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => (),
                Some(Ok(Message::Text(_))) => {
                    let error = io::Error::new(io::ErrorKind::InvalidData, "a text message");
                    return Poll::Ready(Err(error));
                }
                None | Some(Ok(Message::Close(_)) | Err(Error::ConnectionClosed)) => {
                    return Poll::Ready(Ok(()));
                }
                Some(Err(error)) => return Poll::Ready(Err(as_io(error))),
            }
        }
        let length = buffer.remaining().min(self.rest.len());
        buffer.put_slice(&self.rest[..length]);
        self.rest.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Bytestream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.socket).poll_ready(cx)).map_err(as_io)?;
        let length = bytes.len().min(MAX_MESSAGE);
        let message = Message::Binary(Bytes::copy_from_slice(&bytes[..length]));
        Pin::new(&mut self.socket).start_send(message).map_err(as_io)?;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(as_io)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.socket).poll_close(cx)) {
            Ok(()) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(as_io(error))),
        }
    }
}

fn as_io(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::ConnectionClosed | Error::AlreadyClosed => io::ErrorKind::BrokenPipe.into(),
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}
