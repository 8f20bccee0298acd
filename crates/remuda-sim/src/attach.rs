//! What a control node does about workers that announce themselves and open sessions.

use std::{rc::Rc, time::Duration};

use remuda_control::sim::{Facts, Hello, Place, Situation, place, place_of};
use remuda_model::{Failure, NodeId, Roles};
use remuda_state::Refusal;
use remuda_wire::message::{
    announce::{Announce, Answer},
    session::{FromOwner, FromWorker},
};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use crate::{
    control::Control,
    executor::ETERNAL,
    proxy::{Asked, proxy_of},
    way::{End, Way},
    worker::Worker,
    world::{self, spawn_on},
};

const BEHIND: Duration = Duration::from_secs(2);
const RECEIVE: Duration = Duration::from_secs(10);

/// Answers an announcement.
pub(crate) async fn placement(control: &Control, peer: &NodeId, announce: &Announce) -> Answer {
    reach(control, announce.epoch).await;
    check_boot(control, announce)?;
    let state = control.replica.state();
    let owner = state.owner_of(peer);
    let addresses = owner.as_ref().and_then(|owner| state.node(owner));
    let linked = owner.as_ref().and_then(world::host).is_some_and(|host| control.is_linked(host));
    let situation = Situation {
        me: &control.me,
        peer,
        epoch: state.epoch(),
        addresses: addresses.map(|node| node.addresses.clone()).unwrap_or_default(),
        owner,
        linked,
        live: control.proxies.borrow().get(peer).and_then(|proxy| proxy.live()),
    };
    place(announce, situation)
}

fn check_boot(control: &Control, announce: &Announce) -> Result<(), Failure> {
    let (node, offered) = (&announce.node, announce.generation);
    match control.replica.state().node(node) {
        Some(record) if record.generation > offered => {
            let (node, known) = (node.clone(), record.generation);
            Err(Refusal::StaleGeneration { node, offered, known }.into())
        }
        _ => Ok(()),
    }
}

async fn reach(control: &Control, epoch: remuda_model::Epoch) {
    let mut states = control.replica.watch_state();
    drop(timeout(BEHIND, states.wait_for(|state| state.epoch() >= epoch)).await);
}

/// Takes a session that a worker opens: for the proxy of its control node, or to pass it on.
pub(crate) fn serve_session(
    worker: &Worker,
    way: &Rc<Way>,
    from_worker: mpsc::UnboundedReceiver<FromWorker>,
    to_worker: mpsc::UnboundedSender<FromOwner>,
) {
    let (node, way) = (worker.me.clone(), Rc::clone(way));
    spawn_on(way.control.1, async move {
        let Some(here) = world::control(way.control.0) else { return };
        let owner = here.replica.state().owner_of(&node);
        match owner {
            Some(owner) if owner != here.me => {
                relay(&here, &owner, &node, &way, from_worker, to_worker);
            }
            _ => open_session(&here, node, None, way, from_worker, to_worker).await,
        }
    });
}

/// Passes a session on to the owner, as long as its link and the one to the owner last.
fn relay(
    here: &Rc<Control>,
    owner: &NodeId,
    node: &NodeId,
    way: &Rc<Way>,
    mut from_worker: mpsc::UnboundedReceiver<FromWorker>,
    to_worker: mpsc::UnboundedSender<FromOwner>,
) {
    let Some(to) = world::host(owner).filter(|host| here.is_linked(*host)) else { return };
    let Some(there) = world::control(to) else { return };
    // From the worker to the owner; calls go this way too.
    let whole = Way::open(way.worker, (to, there.life), Some(way.control));
    let (up, to_owner) = whole.stream(End::Worker);
    let (from_owner, mut down) = whole.stream(End::Control);
    let (via, node) = (here.me.clone(), node.clone());
    {
        let whole = Rc::clone(&whole);
        spawn_on(there.life, async move {
            open_session(&there, node, Some(via), whole, to_owner, from_owner).await;
        });
    }
    let way = Rc::clone(way);
    // The stream that was opened here ends with either side.
    spawn_on(ETERNAL, async move {
        loop {
            tokio::select! {
                biased;
                () = way.gone(End::Worker) => break,
                () = way.gone(End::Control) => break,
                () = whole.gone(End::Worker) => break,
                said = from_worker.recv() => match said {
                    Some(said) => if up.send(said).is_err() { break },
                    None => break,
                },
                said = down.recv() => match said {
                    Some(said) => if to_worker.send(said).is_err() { break },
                    None => break,
                },
            }
        }
        // What was said goes on until it is there.
        drop((up, from_worker, to_worker));
        sleep(Duration::from_secs(1)).await;
        whole.close(End::Worker);
    });
}

async fn open_session(
    control: &Rc<Control>,
    node: NodeId,
    via: Option<NodeId>,
    way: Rc<Way>,
    mut from_worker: mpsc::UnboundedReceiver<FromWorker>,
    to_worker: mpsc::UnboundedSender<FromOwner>,
) {
    let received = timeout(RECEIVE, from_worker.recv()).await;
    let Ok(Some(FromWorker::Hello {
        announce,
        epoch,
        status,
        running_tasks,
        next_event,
        last_event,
    })) = received
    else {
        return;
    };
    reach(control, epoch).await;
    if check_boot(control, &announce).is_err() {
        return;
    }
    let state = control.replica.state();
    let Some(place @ Place::Mine(_)) = place_of(&state, &control.me, &node) else { return };
    let boot = announce.boot;
    let facts = Facts::announced(*announce, Roles::WORKER);
    let hello = Hello { facts, boot, status, running_tasks, next_event, last_event, via };
    let proxy = proxy_of(control, &node, place);
    // A change of the owners between the look at the state and the making of the proxy.
    if let Some(now) = place_of(&control.replica.state(), &control.me, &node) {
        proxy.placed_by(now);
    }
    let asked = Asked { hello, way, send: to_worker, recv: from_worker };
    // A proxy that ends at this moment drops the session; the worker tries again.
    drop(proxy.sessions.send(asked));
}
