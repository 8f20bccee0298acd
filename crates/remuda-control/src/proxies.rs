//! The proxies of the workers that this node owns.

mod actor;
pub(crate) mod core;
mod dispatch;
pub(crate) mod pace;
mod route;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use arc_swap::ArcSwapOption;
use remuda_model::{NodeId, NodeView};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout_at},
};

use self::{actor::Actor, core::Core};
pub(crate) use self::{
    actor::Session,
    core::{Facts, Hello, Place},
    route::{NOT_HERE, Path, Route, not_connected},
};
use crate::{Control, announce::Process, ownership};

/// How many sessions may wait for a proxy. They come one by one; more means a broken worker.
const WAITING_SESSIONS: usize = 8;

/// The handle of one proxy.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// How to reach the worker; `None` without a session.
    route: ArcSwapOption<Route>,
    view: watch::Sender<Option<NodeView>>,
    place: watch::Sender<Place>,
    /// Boxed, because the queue has space for many from the start.
    sessions: mpsc::Sender<Box<Session>>,
}

impl Proxy {
    /// How to reach the worker now.
    pub(crate) fn route(&self) -> Option<Arc<Route>> {
        self.route.load_full()
    }

    /// Waits until there is another way to the worker than this one, and says whether there is one.
    pub(crate) async fn has_replaced(&self, route: &Arc<Route>, by: Instant) -> bool {
        let mut views = self.view.subscribe();
        loop {
            match self.route() {
                None => return false,
                Some(present) if !Arc::ptr_eq(&present, route) => return true,
                Some(_) => (),
            }
            // Each change of the way is followed by one of the view.
            if !matches!(timeout_at(by, views.changed()).await, Ok(Ok(()))) {
                return false;
            }
        }
    }

    /// The worker as users see it, with the round trip as measured now.
    pub(crate) fn view(&self) -> Option<NodeView> {
        let mut view = self.view.borrow().clone()?;
        view.rtt_us = self.route().and_then(|route| route.rtt_us());
        Some(view)
    }

    /// The process whose session is alive.
    pub(crate) fn live(&self) -> Option<Process> {
        self.route.load().as_ref().filter(|route| route.is_alive()).map(|route| route.process)
    }

    /// Says where the worker belongs; the latest word counts.
    pub(crate) fn placed(&self, place: Place) {
        self.place.send_if_modified(|present| {
            let differs = *present != place;
            *present = place;
            differs
        });
    }

    /// Says where the worker belongs unless a newer ownership was said.
    fn placed_by(&self, place: Place) {
        if self.place().epoch().is_some_and(|epoch| Some(epoch) < place.epoch()) {
            self.placed(place);
        }
    }

    /// Where the worker belongs, as said last.
    pub(crate) fn place(&self) -> Place {
        self.place.borrow().clone()
    }
}

/// All proxies by worker. Looked up for each call, changed for each worker that comes or goes.
#[derive(Debug, Default)]
pub(crate) struct Proxies {
    by_node: RwLock<HashMap<NodeId, Arc<Proxy>>>,
}

impl Proxies {
    /// The proxy of a worker.
    pub(crate) fn get(&self, node: &NodeId) -> Option<Arc<Proxy>> {
        self.by_node.read().unwrap_or_else(PoisonError::into_inner).get(node).cloned()
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<(NodeId, Arc<Proxy>)> {
        let proxies = self.by_node.read().unwrap_or_else(PoisonError::into_inner);
        proxies.iter().map(|(node, proxy)| (node.clone(), Arc::clone(proxy))).collect()
    }

    fn remove(&self, node: &NodeId, proxy: &Arc<Proxy>) {
        let mut proxies = self.by_node.write().unwrap_or_else(PoisonError::into_inner);
        if proxies.get(node).is_some_and(|present| Arc::ptr_eq(present, proxy)) {
            proxies.remove(node);
        }
    }
}

impl Control {
    /// Gives a session to the proxy of its worker, which is made when there is none.
    ///
    /// A session that cannot be given away is dropped, and so reset.
    pub(crate) async fn attach(&self, node: &NodeId, session: Session, place: Place) {
        let proxy = self.proxy_of(node, place);
        // A change of the owners between the look at the state and the making of the proxy.
        let state = self.shared.replica.state();
        if let Some(now) = ownership::place(&state, &self.shared.me, node) {
            proxy.placed_by(now);
        }
        // A proxy that ends at this moment drops the session; the worker tries again.
        drop(proxy.sessions.send(Box::new(session)).await);
    }

    fn proxy_of(&self, node: &NodeId, place: Place) -> Arc<Proxy> {
        let mut proxies =
            self.shared.proxies.by_node.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(proxy) = proxies.get(node)
            && !proxy.sessions.is_closed()
        {
            return Arc::clone(proxy);
        }
        let (sessions, waiting) = mpsc::channel(WAITING_SESSIONS);
        let proxy = Arc::new(Proxy {
            route: ArcSwapOption::empty(),
            view: watch::Sender::new(None),
            place: watch::Sender::new(place.clone()),
            sessions,
        });
        let core = Core::new(node.clone(), place);
        let actor = Actor::new(self.clone(), node.clone(), Arc::clone(&proxy), core, waiting);
        self.shared.supervisor.spawn("node proxy", Box::new(actor).run());
        proxies.insert(node.clone(), Arc::clone(&proxy));
        proxy
    }
}
