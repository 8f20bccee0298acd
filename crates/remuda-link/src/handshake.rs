//! Drives the two sides of the handshake over a byte stream.

use std::io;

use remuda_runtime::wall_ms;
use remuda_wire::handshake::{
    Client, ClientConfig, ClientEffect, ClientError, Established, FrameError, Grant, Hello,
    Refusal, Server, ServerConfig, ServerEffect, ServerInput, Warning, frame_length, invitation,
    read_invitation,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Bytes from the operating system's generator.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}

/// The wall clock, as the handshake compares it.
pub(crate) fn clock() -> u64 {
    wall_ms()
}

/// Why a handshake ended without a link.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// The connection broke.
    #[error("the connection ended within the handshake")]
    Io(#[from] io::Error),
    /// A length that no frame has: something else is speaking.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// This side dialled and gave up, or was refused.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// This side was dialled and refused.
    #[error("{0}")]
    Refused(Refusal),
}

/// Plays the dialling side, which speaks these protocol versions.
pub(crate) async fn as_client<IO>(
    io: &mut IO,
    config: ClientConfig,
    protocols: Vec<u16>,
) -> Result<Established, HandshakeError>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin,
{
    let (mut client, hello) = Client::offering(config, protocols);
    send(io, &hello).await?;
    loop {
        let body = receive(io).await?;
        for effect in client.handle(&body) {
            match effect {
                ClientEffect::Send(frame) => send(io, &frame).await?,
                ClientEffect::Warn(warning) => warn(&warning),
                ClientEffect::Done(server) => return Ok(*server),
                ClientEffect::Fail(error) => return Err(error.into()),
            }
        }
    }
}

/// Plays the side that waited to be invited and was dialled: the client, once it was spoken to.
pub(crate) async fn as_invited<IO>(
    io: &mut IO,
    config: ClientConfig,
    protocols: Vec<u16>,
) -> Result<Established, HandshakeError>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin,
{
    let body = receive(io).await?;
    read_invitation(&body).ok_or(ClientError::Malformed)?;
    as_client(io, config, protocols).await
}

/// Plays the side that has dialled a node which waits to be invited.
pub(crate) async fn as_inviter<IO>(
    io: &mut IO,
    config: ServerConfig,
    protocols: Vec<u16>,
    judge: &impl Judge,
) -> Result<Established, HandshakeError>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin,
{
    send(io, &invitation(&protocols, &config.build)).await?;
    as_server(io, config, protocols, judge).await
}

/// Who decides for the side that is the server.
pub(crate) trait Judge: Send + Sync {
    /// What a claimed credential is worth.
    fn authorize(&self, hello: &Hello) -> Result<Grant, Refusal>;
    /// Whether one who has proved himself may stay.
    fn admit(&self, client: &Established) -> Result<(), Refusal>;
    /// Called for every refusal; the refusal is sent when the future ends.
    fn refused(&self, refusal: &Refusal) -> impl Future<Output = ()> + Send;
}

/// Plays the side that was dialled, or invites; it speaks these protocol versions.
pub(crate) async fn as_server<IO>(
    io: &mut IO,
    config: ServerConfig,
    protocols: Vec<u16>,
    judge: &impl Judge,
) -> Result<Established, HandshakeError>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin,
{
    let mut server = Server::speaking(config, protocols);
    loop {
        let body = receive(io).await?;
        let mut effects = server.handle(ServerInput::Frame(&body));
        while !effects.is_empty() {
            let mut next = Vec::new();
            for effect in effects {
                match effect {
                    ServerEffect::Authorize(hello) => {
                        let grant = judge.authorize(&hello);
                        next.extend(server.handle(ServerInput::Authorized(grant)));
                    }
                    ServerEffect::Admit(client) => {
                        let admitted = judge.admit(&client);
                        next.extend(server.handle(ServerInput::Admitted(admitted)));
                    }
                    ServerEffect::Send(frame) => send(io, &frame).await?,
                    ServerEffect::Warn(warning) => warn(&warning),
                    ServerEffect::Done(client) => return Ok(*client),
                    ServerEffect::Refuse(refusal, frame) => {
                        judge.refused(&refusal).await;
                        send(io, &frame).await?;
                        io.shutdown().await?;
                        return Err(HandshakeError::Refused(refusal));
                    }
                }
            }
            effects = next;
        }
    }
}

async fn send<IO: AsyncWrite + Unpin>(io: &mut IO, frame: &[u8]) -> io::Result<()> {
    io.write_all(frame).await?;
    io.flush().await
}

/// Reads exactly one frame: what follows it belongs to the link.
async fn receive<IO: AsyncRead + Unpin>(io: &mut IO) -> Result<Vec<u8>, HandshakeError> {
    let mut header = [0; 4];
    io.read_exact(&mut header).await?;
    let mut body = vec![0; frame_length(header)?];
    io.read_exact(&mut body).await?;
    Ok(body)
}

fn warn(warning: &Warning) {
    match warning {
        Warning::ClockSkew { node, skew_ms } => {
            tracing::warn!(%node, skew_ms, "the clocks of this node and its peer differ");
        }
    }
}
