//! Gives the streams that a peer opens to their handlers.

mod place;

use std::{
    collections::BTreeMap,
    fmt,
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use remuda_model::Role;
use remuda_runtime::{
    Supervisor, contained,
    trace::{Kind, Span},
};
use remuda_wire::message::JOIN;
use tokio::{sync::Semaphore, task::yield_now, time::Instant};

use self::place::Place;
use crate::{Incoming, Link, Peer, Stream, code};

/// How many handlers run for one link at a time.
const MAX_HANDLERS: usize = 4096;
/// How many streams are looked at before other tasks have their turn.
const TURN: u32 = 64;
/// A handler that computes for longer before it first waits should have had a task of its own.
const LONG: Duration = Duration::from_micros(200);
/// How many streams have tasks of their own from the start after such a handler.
const AFTER_LONG: u32 = 64;

/// Puts the handling of a stream into the place.
type Handler = Arc<dyn Fn(Link, Stream, &mut Place) + Send + Sync>;

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
        let handler: Handler = Arc::new(move |link, stream, place| {
            place.put(contained("stream", handler(link, stream)));
        });
        let before = self.routes.insert(protocol, Route { roles, handler });
        assert!(before.is_none(), "protocol `{protocol}` has two handlers");
    }

    /// Answers the streams of one link until it closes or the supervisor ends.
    ///
    /// A handler that ends without having waited costs no task: most calls come whole and are
    /// answered at once. All others go on as tasks of the supervisor.
    ///
    /// Streams of an unknown protocol, from a role that is not allowed, or beyond 4096 at a time
    /// are reset with a code and a message. A peer that may only join has one attempt.
    pub async fn serve(&self, link: Link, supervisor: &Supervisor) {
        let stop = supervisor.token();
        let may_only_join = link.peer().may_only_join();
        let permits = Arc::new(Semaphore::new(if may_only_join { 1 } else { MAX_HANDLERS }));
        let mut place = Place::default();
        let (mut in_turn, mut apart) = (0, 0);
        let mut stopped = pin!(stop.cancelled());
        loop {
            // Streams first: what stops is looked at when none waits, and once in each turn.
            let incoming = tokio::select! {
                biased;
                incoming = link.accept() => incoming,
                // No stream waits, and most links rest most of the time.
                () = std::future::ready(()), if place.holds_memory() => {
                    place = Place::default();
                    continue;
                }
                () = &mut stopped => return,
            };
            let Some(Incoming { protocol, trace, mut stream, .. }) = incoming else { return };
            let handler = match self.admit(&protocol, link.peer()) {
                Ok(handler) => handler,
                Err((code, message)) => {
                    tracing::debug!(%protocol, peer = %link.peer().node, message, "stream refused");
                    stream.reset(code, &message);
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
                stream.reset(code::REFUSED, "too many streams at a time");
                continue;
            };
            handler(link.clone(), stream, &mut place);
            if let Some(context) = trace {
                let mut span = Span::child_of(context, protocol, Kind::Server);
                span.note("remuda.peer", &link.peer().node);
                let work = place.take();
                place.put(async move { span.run(work).await });
            }
            if may_only_join {
                // The one attempt.
                permit.forget();
                supervisor.spawn_small("stream", place.take());
                continue;
            }
            let mut ended = false;
            if apart == 0 {
                let begun = Instant::now();
                // Whoever has to wait is asked again by its own task, so nobody is woken here.
                let mut context = Context::from_waker(Waker::noop());
                ended = place.poll(&mut context).is_ready();
                if begun.elapsed() > LONG {
                    apart = AFTER_LONG;
                }
            } else {
                apart -= 1;
            }
            in_turn += 1;
            if in_turn == TURN {
                in_turn = 0;
                yield_now().await;
                if stop.is_cancelled() {
                    return;
                }
            }
            if ended {
                continue;
            }
            let work = place.take();
            supervisor.spawn_small("stream", async move {
                work.await;
                drop(permit);
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
