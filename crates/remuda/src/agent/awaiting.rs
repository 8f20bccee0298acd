//! A node that belongs to no cluster yet and dials nobody: it listens until a control node adds it.

use remuda_link::{JoinError, JoinToken, Limits, NodeCertificate, Waiting, WaitingConfig};
use remuda_model::{Chain, LinkUrl, NodeId, Role};
use remuda_runtime::Supervisor;
use remuda_wire::message::join::Credentials;

use super::{AgentConfig, AgentError, advertise, listeners, member::refusal, ports::Ports};

/// Waits, however long, until a control node of the token's cluster has added this node.
pub(super) async fn added(
    config: &AgentConfig,
    token: &JoinToken,
    (node, role): (&NodeId, Role),
    (ports, supervisor): (&mut Ports, &Supervisor),
) -> Result<(NodeCertificate, Credentials), AgentError> {
    if role == Role::Control {
        return Err(AgentError::Incomplete { missing: "--join on a control node" });
    }
    let doors = config.listen.iter().filter(|url| url.transport.is_encrypted());
    let doors: Vec<LinkUrl> = doors.cloned().collect();
    if doors.is_empty() {
        return Err(AgentError::Incomplete {
            missing: "a listener over tls, wss or quic (--listen)",
        });
    }
    let waiting = WaitingConfig {
        node: node.clone(),
        role,
        token: token.clone(),
        release: config.release,
        limits: Limits::default(),
    };
    let failed = |error: JoinError| AgentError::Join(refusal(&error));
    let mut waiting = Waiting::new(waiting, supervisor).map_err(failed)?;
    let door = &waiting;
    let listening = listeners::open(&doors, ports, listeners::At::Once, |url| {
        Box::pin(async move { door.listen(&url).await })
    });
    let reached = advertise::addresses(&config.advertise, &listening.await?, &[]);
    for url in reached {
        tracing::info!(
            cluster = %token.cluster,
            "belongs to no cluster yet and waits to be added: `remuda node add '{url}'` at a \
             control node",
        );
    }
    loop {
        match waiting.join().await {
            Ok(joined) => return Ok(joined),
            Err(error) => {
                let hint = error.hint().unwrap_or_default();
                tracing::warn!(error = %Chain(&error), hint, "not added; waits on");
            }
        }
    }
}
