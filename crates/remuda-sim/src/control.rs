//! A control node: a real replica on a simulated disk, and what runs beside it.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use remuda_control::sim::{History, Ring};
use remuda_model::{ErrorKind, Failure, LinkUrl, NodeId, Transport};
use remuda_store::{Replica, ReplicaConfig, Timing};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout},
};

use crate::{
    disk::Mounted,
    executor::{ETERNAL, Life},
    members,
    net::{Host, Port, travel},
    owners,
    proxy::Proxy,
    world::{self, fail, spawn_on, trace, world},
};

/// How many events a control node keeps for readers.
const KEPT: usize = 10_000;
const KEPT_BYTES: usize = 64 << 20;

/// A control node that runs.
pub(crate) struct Control {
    pub(crate) me: NodeId,
    pub(crate) host: Host,
    pub(crate) life: Life,
    pub(crate) replica: Replica,
    pub(crate) timing: Timing,
    pub(crate) membership: mpsc::Sender<members::Request>,
    pub(crate) proxies: RefCell<BTreeMap<NodeId, Rc<Proxy>>>,
    pub(crate) bus: RefCell<Ring>,
    /// Set while it leaves the cluster.
    pub(crate) leaving: Cell<bool>,
    /// Who owned workers before, and until when they may still be there.
    pub(crate) history: History,
    /// When each other control node was heard last.
    heard: RefCell<BTreeMap<Host, Instant>>,
}

/// Where a host can be dialled.
pub(crate) fn url(host: Host) -> LinkUrl {
    LinkUrl { host: format!("h{}", host.0), port: 1973, transport: Transport::Tls, path: None }
}

/// The host that can be dialled there.
pub(crate) fn at(url: &LinkUrl) -> Option<Host> {
    url.host.strip_prefix('h')?.parse().ok().map(Host)
}

/// Lets a control node boot. It runs once its disk was read.
pub(crate) fn boot(host: Host, me: NodeId, timing: Timing, founds: bool) -> Life {
    let life = world().executor.new_life();
    trace(|| format!("boot {me}"));
    spawn_on(life, async move {
        let disk = world().disks.borrow().get(&host).cloned();
        let disk = disk.expect("each control node has a disk");
        let config = ReplicaConfig {
            dir: "replica".into(),
            node: me.clone(),
            addresses: vec![url(host)],
            timing,
        };
        let port = Arc::new(Port { from: host });
        let replica = match Replica::open_on(Arc::new(Mounted(disk)), config, port).await {
            Ok(replica) => replica,
            Err(error) => {
                let what = format!("{me}: {}", remuda_model::Chain(&error));
                return fail("a replica opens after every crash", what);
            }
        };
        let (membership, requests) = mpsc::channel(members::WAITING);
        let control = Rc::new(Control {
            me,
            host,
            life,
            replica,
            timing,
            membership,
            proxies: RefCell::default(),
            bus: RefCell::new(Ring::new(KEPT, KEPT_BYTES)),
            leaving: Cell::new(false),
            history: History::default(),
            heard: RefCell::default(),
        });
        world().oracle.borrow_mut().watch(&control);
        world().controls.borrow_mut().insert(host, Rc::clone(&control));
        if founds && !control.replica.is_initialized() {
            let first = vec![members::init()];
            if let Err(error) = control.replica.bootstrap(first).await {
                fail("the founder founds", error.to_string());
            }
        }
        world::spawn(Rc::clone(&control).ping());
        world::spawn(members::keep(Rc::clone(&control), requests));
        world::spawn(members::keep_enlisted(Rc::clone(&control)));
        world::spawn(owners::keep(control));
    });
    life
}

impl Control {
    /// Keeps links to the other control nodes: hears them all the time, or loses them.
    async fn ping(self: Rc<Self>) {
        let every = world().scenario.dead_after / 3;
        loop {
            let others: Vec<Host> = world().names.borrow().values().copied().collect();
            for other in others.into_iter().filter(|other| *other != self.host) {
                let me = Rc::clone(&self);
                world::spawn(async move {
                    if travel(me.host, other).await
                        && world::control(other).is_some()
                        && travel(other, me.host).await
                    {
                        me.heard.borrow_mut().insert(other, Instant::now());
                    }
                });
            }
            sleep(every).await;
        }
    }

    /// Whether there is a link to that host.
    pub(crate) fn is_linked(&self, other: Host) -> bool {
        let dead_after = world().scenario.dead_after;
        let heard = self.heard.borrow().get(&other).copied();
        other == self.host || heard.is_some_and(|at| at.elapsed() < dead_after)
    }

    /// The control nodes it has links to, itself included.
    pub(crate) fn linked(&self) -> BTreeSet<NodeId> {
        let names = world().names.borrow().clone();
        names.into_iter().filter(|(_, host)| self.is_linked(*host)).map(|(name, _)| name).collect()
    }

    /// Has another control node do something.
    pub(crate) async fn ask<T, F>(
        &self,
        other: &NodeId,
        limit: Duration,
        work: impl FnOnce(Rc<Control>) -> F + 'static,
    ) -> Result<T, Failure>
    where
        T: 'static,
        F: Future<Output = Result<T, Failure>> + 'static,
    {
        let to = world::host(other).filter(|host| self.is_linked(*host));
        let Some(to) = to else {
            let message = format!("no link to control node `{other}`");
            return Err(Failure::new(ErrorKind::Unavailable, message).code("control_unreachable"));
        };
        let from = self.host;
        let (answer, answered) = oneshot::channel();
        spawn_on(ETERNAL, async move {
            if !travel(from, to).await {
                return;
            }
            let Some(control) = world::control(to) else { return };
            let (done, doing) = oneshot::channel();
            let life = control.life;
            spawn_on(life, async move { drop(done.send(work(control).await)) });
            let Ok(outcome) = doing.await else { return };
            if travel(to, from).await {
                drop(answer.send(outcome));
            }
        });
        let answered = async {
            match answered.await {
                Ok(outcome) => outcome,
                // Lost: only the deadline tells.
                Err(_) => std::future::pending().await,
            }
        };
        timeout(limit, answered).await.unwrap_or_else(|_late| Err(unknown()))
    }
}

/// It was sent and no answer came.
pub(crate) fn unknown() -> Failure {
    Failure::new(ErrorKind::OutcomeUnknown, "no answer")
}
