//! Gives the streams that a peer opens to their handlers.

use std::{collections::BTreeMap, fmt, pin::Pin, sync::Arc};

use remuda_model::Role;
use remuda_runtime::Supervisor;
use remuda_wire::message::JOIN;
use tokio::sync::Semaphore;

use crate::{Incoming, Link, Peer, Stream, code};

/// How many handlers run for one link at a time.
const MAX_HANDLERS: usize = 4096;

type Handler = Arc<dyn Fn(Link, Stream) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// The protocols that this node answers: for each, which roles may open it and what it does.
#[derive(Clone, Default)]
pub struct Router {
    routes: BTreeMap<&'static str, Route>,
}

#[derive(Clone)]
struct Route {
    roles: &'static [Role],
    handler: Handler,
}

impl Router {
    /// A router that knows no protocol.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers a protocol for peers of these roles.
    ///
    /// The handler may go on after the link is closed; its stream shows the end. Ending without
    /// having finished the stream resets it.
    ///
    /// # Panics
    ///
    /// When the protocol has a handler already.
    pub fn route<F, Fut>(&mut self, protocol: &'static str, roles: &'static [Role], handler: F)
    where
        F: Fn(Link, Stream) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |link, stream| Box::pin(handler(link, stream)));
        let before = self.routes.insert(protocol, Route { roles, handler });
        assert!(before.is_none(), "protocol `{protocol}` has two handlers");
    }

    /// Answers the streams of one link until it closes or the supervisor ends. Handlers run on the
    /// supervisor.
    ///
    /// Streams of an unknown protocol, from a role that is not allowed, or beyond 4096 at a time
    /// are reset with a code and a message. A peer that may only join has one attempt.
    pub async fn serve(&self, link: Link, supervisor: &Supervisor) {
        let stop = supervisor.token();
        let may_only_join = link.peer().may_only_join();
        let places = Arc::new(Semaphore::new(if may_only_join { 1 } else { MAX_HANDLERS }));
        loop {
            let incoming = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                incoming = link.accept() => incoming,
            };
            let Some(Incoming { protocol, mut stream, .. }) = incoming else { return };
            let handler = match self.admit(&protocol, link.peer()) {
                Ok(handler) => handler,
                Err((code, message)) => {
                    tracing::debug!(%protocol, peer = %link.peer().node, message, "stream refused");
                    stream.reset(code, &message);
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                stream.reset(code::REFUSED, "too many streams at a time");
                continue;
            };
            let work = handler(link.clone(), stream);
            supervisor.spawn_small("stream", async move {
                work.await;
                if may_only_join {
                    // The one attempt is over.
                    place.forget();
                }
            });
        }
    }

    fn admit(&self, protocol: &str, peer: &Peer) -> Result<&Handler, (u32, String)> {
        if peer.may_only_join() && protocol != JOIN {
            let message = "a node without certificate may only join".to_owned();
            return Err((code::FORBIDDEN, message));
        }
        let role = peer.role;
        let Some(route) = self.routes.get(protocol) else {
            return Err((code::UNKNOWN_PROTOCOL, format!("no protocol `{protocol}` here")));
        };
        if !route.roles.contains(&role) {
            let message = format!("protocol `{protocol}` is not for the role {role}");
            return Err((code::FORBIDDEN, message));
        }
        Ok(&route.handler)
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.routes.keys()).finish()
    }
}
