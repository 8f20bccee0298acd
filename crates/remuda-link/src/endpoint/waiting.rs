//! The door of a node that belongs to no cluster yet: it listens until a control node invites it.

use std::{fmt, future::pending, sync::Arc};

use remuda_model::{Chain, Generation, LinkUrl, NodeId, Release, Role, Transport};
use remuda_runtime::Supervisor;
use remuda_wire::{
    handshake::{ClientConfig, Proof, Secret},
    message::join,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
};

use super::{CertificatesOnly, EndpointConfig, Inner, accept, dial::peer, error::ListenError};
use crate::{
    Identity, JoinError, JoinToken, Limits, Link, NodeCertificate, Peer,
    handshake::{HandshakeError, as_invited, clock, random},
    join::{JOINED, credentials_over},
    metrics,
    tls::{Channel, Waiting as WaitingTls},
};

/// What a node brings along that waits to be invited.
#[derive(Clone, Debug)]
pub struct WaitingConfig {
    /// Its name.
    pub node: NodeId,
    /// The role that its token is for.
    pub role: Role,
    /// Names the cluster and its CA, and holds what both sides prove.
    pub token: JoinToken,
    /// As which release it speaks.
    pub release: Release,
    /// Bounds for strangers.
    pub limits: Limits,
}

/// What an [`Inner`] shows and proves as long as its node waits.
pub(crate) struct Waits {
    pub(super) tls: WaitingTls,
    secret: Secret,
}

/// Listens for control nodes that invite this node with
/// [`Endpoint::invite`](super::Endpoint::invite), and joins over a link that one of them dialled.
///
/// Only control nodes of the token's cluster get past TLS: their certificate must be signed by the
/// CA that the token names. Then both sides prove the token's secret, as when a node dials. The
/// listeners end when this is dropped; over `quic` the port is free a moment later.
pub struct Waiting {
    inner: Arc<Inner>,
    pub(super) links: mpsc::Receiver<Link>,
    token: JoinToken,
}

impl Waiting {
    /// A door that is still closed.
    ///
    /// # Errors
    ///
    /// [`JoinError`] when the cryptographic library fails.
    pub fn new(config: WaitingConfig, supervisor: &Supervisor) -> Result<Self, JoinError> {
        let WaitingConfig { node, role, token, release, limits } = config;
        let waits = Waits {
            tls: WaitingTls::new(&token).map_err(JoinError::Key)?,
            secret: Secret::random_key(token.secret),
        };
        let identity = Identity {
            node,
            cluster: token.cluster.clone(),
            role,
            generation: Generation(0),
            certificate: None,
        };
        let endpoint = EndpointConfig {
            identity,
            advertise: Vec::new(),
            allow_plaintext: false,
            admission: Arc::new(CertificatesOnly),
            secret: None,
            limits,
        };
        let made = Inner::new(endpoint, Some(waits), release, supervisor.child());
        let (inner, links) = made.map_err(JoinError::Certificate)?;
        Ok(Self { inner, links, token })
    }

    /// Listens, over `tls`, `wss` or `quic`. Gives the address with the port that was taken.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound, or its transport is not encrypted.
    pub async fn listen(&self, url: &LinkUrl) -> Result<LinkUrl, ListenError> {
        accept::listen(&self.inner, url).await
    }

    /// Waits for the next invitation, however long, and follows it. The control node is told on the
    /// link how it went.
    ///
    /// # Errors
    ///
    /// [`JoinError`] without its cases about dialling. The next invitation may go better.
    ///
    /// # Cancel safety
    ///
    /// An invitation that is being followed is lost when the future is dropped; its control node
    /// notices.
    pub async fn join(&mut self) -> Result<(NodeCertificate, join::Credentials), JoinError> {
        let Some(link) = self.links.recv().await else {
            // Everything ends.
            return pending().await;
        };
        let state = self.inner.state();
        let (node, role) = (&state.identity.node, state.identity.role);
        let joined = credentials_over(&link, &self.token, node, role).await;
        match &joined {
            Ok(_) => {
                link.close(JOINED);
                self.links.close();
                while let Ok(late) = self.links.try_recv() {
                    late.close(JOINED);
                }
            }
            Err(error) => link.close(&Chain(error).to_string()),
        }
        joined
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("token", &self.token).finish_non_exhaustive()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.inner.supervisor.token().cancel();
    }
}

/// Authenticates a control node that has dialled this node.
pub(super) async fn authenticate<IO>(
    inner: &Inner,
    waits: &Waits,
    transport: Transport,
    (io, channel, remote): (&mut IO, &Channel, &str),
) -> Option<Peer>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin,
{
    let facts = channel.peer.as_ref()?;
    let state = inner.state();
    let config = ClientConfig {
        transport,
        binding: channel.binding,
        cluster: Some(state.identity.cluster),
        node: state.identity.node,
        role: state.identity.role,
        generation: state.identity.generation,
        build: state.release.version.to_owned(),
        addresses: Vec::new(),
        wall_ms: clock(),
        nonce: random(),
        proof: Proof::Secret(waits.secret.clone()),
        server: Some(facts.claim.clone()),
        invited: true,
    };
    let control = &facts.claim.node;
    match as_invited(io, config, state.release.protocols()).await.inspect_err(metrics::refused) {
        Ok(server) => {
            tracing::info!(%control, %remote, "invited");
            let issuers = vec![facts.issuer.clone()];
            Some(Peer { issuers, ..peer(server, transport, remote.to_owned(), false) })
        }
        Err(HandshakeError::Client(error)) => {
            let hint = error.hint().unwrap_or_default();
            tracing::warn!(%control, %remote, error = %Chain(&error), hint, "an invitation failed");
            None
        }
        Err(error) => {
            tracing::debug!(%control, %remote, %error, "an invitation broke off");
            None
        }
    }
}
