//! Links of programs that use the cluster with an API token.

use remuda_model::{Generation, LinkUrl, NodeId, Release, Role};
use remuda_wire::handshake::{Bearer, Proof};

use crate::{
    DialError, Link,
    endpoint::{Caller, DialCause, call},
    limits::Limits,
    tls::{Trust, pinned_client},
};

/// Links to a control node as a client, within 10 s.
///
/// The token is shown only to a control node whose CA has this pin (the SHA-256 of its public key,
/// as in join tokens), or to this machine itself, over a plaintext transport on loopback.
///
/// # Errors
///
/// [`DialError`] names what failed; without a pin on an encrypted transport it is
/// [`DialCause::NoPin`].
///
/// # Cancel safety
///
/// Dropping the future ends the attempt.
pub async fn connect_client(
    url: &LinkUrl,
    pin: Option<[u8; 32]>,
    bearer: &str,
) -> Result<Link, DialError> {
    let tls = match (url.transport.is_encrypted(), pin) {
        (false, _) => None,
        (true, Some(pin)) => Some(pinned_client(Trust::Pin { cluster: None, pin }, url.transport)),
        (true, None) => return Err(DialError { url: url.clone(), cause: DialCause::NoPin }),
    };
    let caller = Caller {
        cluster: None,
        node: NodeId::random(),
        role: Role::Client,
        generation: Generation(0),
        addresses: Vec::new(),
        proof: Proof::Bearer(Bearer::new(bearer)),
        tls,
        issuer: None,
        allow_plaintext: false,
        source: None,
        proxy: None,
        release: Release::CURRENT,
    };
    call(caller, url, Limits::default().dial, None).await
}
