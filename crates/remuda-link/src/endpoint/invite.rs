//! The control node's side of an invitation: it has dialled, and yet it is the server.

use std::net::SocketAddr;

use remuda_model::LinkUrl;
use remuda_wire::handshake::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    Inner,
    accept::Decision,
    dial::{Caller, of_waiting, peer, tls_or_lost},
    error::DialCause,
};
use crate::{
    Peer,
    handshake::{HandshakeError, as_inviter, clock, random},
    limits::Source,
    tls::Channel,
};

/// Lets a node that waits prove that it may join.
pub(super) async fn invite<IO>(
    home: &Inner,
    caller: Caller,
    url: &LinkUrl,
    (io, channel, remote): (&mut IO, &Channel, String),
) -> Result<Peer, DialCause>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin,
{
    let config = ServerConfig {
        transport: url.transport,
        binding: channel.binding,
        cluster: home.state().identity.cluster,
        node: caller.node,
        role: caller.role,
        generation: caller.generation,
        build: caller.release.version.to_owned(),
        addresses: caller.addresses,
        wall_ms: clock(),
        nonce: random(),
        client: None,
        accepts_bearer: false,
        invites: true,
    };
    let address = remote.parse::<SocketAddr>();
    let decision = Decision {
        inner: home,
        transport: url.transport,
        source: address.map_or(Source::Hidden, |address| address.ip().into()),
        serial: None,
        remote: &remote,
    };
    let joiner = as_inviter(io, config, caller.release.protocols(), &decision).await;
    let joiner = joiner.map_err(|error| match error {
        HandshakeError::Refused(refusal) => DialCause::NotAdmitted(refusal),
        HandshakeError::Io(error) => of_waiting(tls_or_lost(error)),
        HandshakeError::Frame(_) | HandshakeError::Client(_) => {
            DialCause::Handshake(remuda_wire::handshake::ClientError::Malformed)
        }
    })?;
    let issuers = caller.issuer.into_iter().collect();
    Ok(Peer { issuers, ..peer(joiner, url.transport, remote, true) })
}
