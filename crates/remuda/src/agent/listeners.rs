//! The listeners of a node, on the ports of its last boot.

use std::{io, time::Duration};

use futures_util::future::BoxFuture;
use remuda_link::ListenError;
use remuda_model::LinkUrl;
use tokio::time::{Instant, sleep};

use super::{AgentError, ports::Ports};

/// How long the door at which the node has waited may still hold its ports: a socket of QUIC lives
/// until its last connection has been told.
const HANDED_OVER: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(20);

/// When a port that is taken is one too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// At once.
    Once,
    /// When it stays so: the node itself may hold it for a moment.
    Last,
}

/// Binds each address, and gives them with the ports that were taken.
pub(super) async fn open<'a>(
    urls: &[LinkUrl],
    ports: &mut Ports,
    when: At,
    bind: impl Fn(LinkUrl) -> BoxFuture<'a, Result<LinkUrl, ListenError>>,
) -> Result<Vec<LinkUrl>, AgentError> {
    let end = Instant::now() + if when == At::Last { HANDED_OVER } else { Duration::ZERO };
    let mut listening = Vec::new();
    for url in urls {
        let key = url.to_string();
        let candidates = ports.candidates(&key, url.port);
        let (last, earlier) = candidates.split_last().expect("at least the port itself");
        let mut bound = None;
        for port in earlier {
            bound = one(&LinkUrl { port: *port, ..url.clone() }, end, &bind).await.ok();
        }
        let bound = match bound {
            Some(bound) => bound,
            None => one(&LinkUrl { port: *last, ..url.clone() }, end, &bind).await.map_err(
                |source| AgentError::Listen { url: url.clone(), source: Box::new(source) },
            )?,
        };
        ports.keep(&key, bound.port)?;
        listening.push(bound);
    }
    Ok(listening)
}

async fn one<'a>(
    url: &LinkUrl,
    end: Instant,
    bind: &impl Fn(LinkUrl) -> BoxFuture<'a, Result<LinkUrl, ListenError>>,
) -> Result<LinkUrl, ListenError> {
    loop {
        match bind(url.clone()).await {
            Err(ListenError::Bind { source, .. })
                if source.kind() == io::ErrorKind::AddrInUse && Instant::now() < end => {}
            bound => return bound,
        }
        sleep(AGAIN).await;
    }
}
