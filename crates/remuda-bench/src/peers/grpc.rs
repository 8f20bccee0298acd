//! Just enough of gRPC for one unary call over HTTP/2, without a compiler for its descriptions.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use http::Request;
use tokio::net::TcpStream;

/// One connection; its clones share it.
#[derive(Clone)]
pub(crate) struct Channel {
    send: SendRequest<Bytes>,
    address: SocketAddr,
}

impl Channel {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let (send, connection) = h2::client::handshake(socket).await?;
        // It ends with the last channel, or with the server; calls notice that.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { send, address })
    }

    /// Another connection to the same server.
    pub(crate) async fn again(&self) -> Result<Self> {
        Self::connect(self.address).await
    }

    /// Makes a call; the answer is not looked at but for whether it went well.
    pub(crate) async fn call(&self, path: &str, message: &[u8]) -> Result<()> {
        let request = Request::post(format!("http://{}{path}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        let mut send = self.send.clone().ready().await?;
        let (answer, mut body) = send.send_request(request, false)?;
        let mut frame = BytesMut::with_capacity(5 + message.len());
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.len())?);
        frame.put_slice(message);
        body.send_data(frame.freeze(), true)?;
        let answer = answer.await?;
        let in_head = answer.headers().get("grpc-status").cloned();
        let mut body = answer.into_body();
        while let Some(chunk) = body.data().await {
            let length = chunk?.len();
            body.flow_control().release_capacity(length)?;
        }
        let trailers = body.trailers().await?;
        let in_trailers = trailers.and_then(|trailers| trailers.get("grpc-status").cloned());
        let status = in_trailers.or(in_head).context("an answer without status")?;
        ensure!(status == "0", "gRPC status {status:?}");
        Ok(())
    }
}

/// A field of bytes, as Protocol Buffers write it.
pub(crate) fn field(into: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    // Fields up to 15 have a tag of one byte; 2 says that a length follows.
    into.push(number << 3 | 2);
    let mut length = bytes.len();
    while length >= 0x80 {
        into.push(u8::try_from(length & 0x7f).expect("seven bits") | 0x80);
        length >>= 7;
    }
    into.push(u8::try_from(length).expect("seven bits"));
    into.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_written_as_the_description_says() {
        let mut bytes = Vec::new();
        field(&mut bytes, 1, b"key");
        field(&mut bytes, 2, &[7; 300]);
        assert_eq!(bytes[..8], [0x0a, 3, b'k', b'e', b'y', 0x12, 0xac, 0x02]);
        assert_eq!(bytes.len(), 8 + 300);
    }
}
