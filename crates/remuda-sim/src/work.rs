//! Requests for workers, from any control node, as `remuda-control` passes them on.

use std::{rc::Rc, time::Duration};

use remuda_model::{ErrorKind, Failure, NodeId};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

use crate::{
    clients::{at, some_control},
    control::{Control, unknown},
    mutant::Mutant,
    proxy::Route,
    scenario::pick,
    way::End,
    world::{self, mutated, spawn_on, world},
};

const DEADLINE: Duration = Duration::from_secs(5);
const MOVING: Duration = Duration::from_secs(3);
const AGAIN: Duration = Duration::from_millis(100);
const MARGIN: Duration = Duration::from_millis(250);

/// One user of workers, for ever.
pub(crate) async fn run(client: u64) {
    let pause = world().scenario.client_pause;
    let mut n = 0;
    loop {
        sleep(Duration::from_millis(fastrand::u64(0..=2 * pause))).await;
        let workers = world().fleet.borrow().workers();
        let machines = world().fleet.borrow().machines.clone();
        let Some(machine) = workers.get(fastrand::usize(..workers.len())) else { return };
        let Some(machine) = machines.get(machine) else { return };
        n += 1;
        ask(&machine.name, client * 1_000_000 + n).await;
    }
}

/// One request. Tells whether it was answered.
pub(crate) async fn ask(node: &NodeId, request: u64) -> bool {
    let Some(control) = some_control() else { return false };
    ask_at(&control, node, request).await
}

/// One request by way of this control node.
pub(crate) async fn ask_at(control: &Rc<Control>, node: &NodeId, request: u64) -> bool {
    loop {
        let to = node.clone();
        let answer = at(control, |control| async move { control.work(&to, request).await });
        match answer.await {
            Some(Ok(())) => {
                world().ledger.borrow_mut().told_done(request);
                return true;
            }
            Some(Err(failure)) if failure.kind.nothing_was_done() => {
                world().refused.borrow_mut().push(request);
                return false;
            }
            Some(Err(_)) | None => {
                if mutated(Mutant::RequestSentTwice) && fastrand::bool() {
                    continue;
                }
                return false;
            }
        }
    }
}

/// Whether the call itself failed before anything was sent.
fn was_not_sent(failure: &Failure) -> bool {
    failure.kind == ErrorKind::NotConnected
        || matches!(failure.code.as_str(), "control_unreachable" | "stale_epoch")
}

fn not_connected() -> Failure {
    Failure::new(ErrorKind::NotConnected, "the node is not connected")
}

impl Control {
    async fn work(self: &Rc<Self>, node: &NodeId, request: u64) -> Result<(), Failure> {
        let route = self.proxies.borrow().get(node).and_then(|proxy| proxy.route());
        if let Some(route) = route {
            match call(self, &route, request, DEADLINE).await {
                Err(failure) if was_not_sent(&failure) => (),
                reply => return reply,
            }
        }
        let start = Instant::now();
        let end = start + DEADLINE;
        let patience = end.min(start + MOVING);
        loop {
            let state = self.replica.state();
            let Some(owner) = state.owner_of(node) else {
                return Err(Failure::new(ErrorKind::Unavailable, "no control node is active"));
            };
            let former = self.history.moved_from(node, &state);
            let left = end.saturating_duration_since(Instant::now());
            let mut reply = self.work_at(&owner, node, request, left).await;
            for former in former.iter().flatten() {
                if !reply.as_ref().is_err_and(was_not_sent) {
                    break;
                }
                let left = end.saturating_duration_since(Instant::now());
                match self.work_at(former, node, request, left).await {
                    Err(failure) if was_not_sent(&failure) => (),
                    answered => reply = answered,
                }
            }
            match reply {
                Err(failure)
                    if was_not_sent(&failure)
                        && former.is_some()
                        && Instant::now() + AGAIN < patience =>
                {
                    sleep(AGAIN).await;
                }
                reply => return reply,
            }
        }
    }

    async fn work_at(
        self: &Rc<Self>,
        owner: &NodeId,
        node: &NodeId,
        request: u64,
        left: Duration,
    ) -> Result<(), Failure> {
        if *owner == self.me {
            return self.work_here(node, request, left).await;
        }
        let node = node.clone();
        self.ask(owner, left + MARGIN, move |there| async move {
            there.work_here(&node, request, left).await
        })
        .await
    }

    async fn work_here(
        self: &Rc<Self>,
        node: &NodeId,
        request: u64,
        left: Duration,
    ) -> Result<(), Failure> {
        let route = self.proxies.borrow().get(node).and_then(|proxy| proxy.route());
        let route = route.ok_or_else(not_connected)?;
        call(self, &route, request, left).await
    }
}

/// One call to a worker over its link.
async fn call(
    control: &Rc<Control>,
    route: &Route,
    request: u64,
    deadline: Duration,
) -> Result<(), Failure> {
    let (way, epoch, me) = (Rc::clone(&route.way), route.epoch, control.me.clone());
    if way.is_gone(End::Control) {
        return Err(not_connected());
    }
    let (answer, answered) = oneshot::channel();
    spawn_on(crate::executor::ETERNAL, {
        let way = Rc::clone(&way);
        async move {
            if !way.carry(End::Control).await {
                return;
            }
            let worker = world().workers.borrow().get(&way.worker.0).cloned();
            let Some(worker) = worker.filter(|worker| worker.life == way.worker.1) else { return };
            let (done, doing) = oneshot::channel();
            spawn_on(worker.life, async move {
                drop(done.send(worker.obey(epoch, &me, request).await));
            });
            let Ok(outcome) = doing.await else { return };
            if way.carry(End::Worker).await {
                drop(answer.send(outcome));
            }
        }
    });
    let awaited = async {
        tokio::select! {
            biased;
            answer = answered => answer.unwrap_or_else(|_lost| Err(unknown())),
            () = way.gone(End::Control) => Err(unknown()),
        }
    };
    timeout(deadline, awaited).await.unwrap_or_else(|_late| Err(unknown()))
}

/// A request to each worker; tells whether all were answered.
pub(crate) async fn all_answer(round: u64) -> bool {
    let machines = world().fleet.borrow().machines.clone();
    for (host, machine) in machines {
        if machine.timing.is_some() {
            continue;
        }
        let controls: Vec<_> = world().controls.borrow().values().cloned().collect();
        let control = pick(&controls);
        if !ask_at(control, &machine.name, round * 1_000 + u64::from(host.0)).await {
            world::trace(|| format!("{} does not answer", machine.name));
            return false;
        }
    }
    true
}
