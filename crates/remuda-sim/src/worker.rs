//! A worker: the search for its owner, its epoch gate and its spool are those of `remuda-worker`;
//! what performs their decisions is a copy of the actors there.

mod disk;
mod owner;
mod session;
mod spool;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};

use remuda_model::{
    Epoch, ErrorKind, EventBody, Failure, Generation, Labels, LinkUrl, NodeId, Roles,
};
use remuda_wire::message::announce::Announce;
use remuda_worker::sim::{Verdict, judge};
use tokio::{sync::watch, time::sleep};

pub(crate) use self::disk::{Change, Disk};
use self::spool::Spool;
use crate::{
    control::url,
    executor::Life,
    fleet,
    mutant::Mutant,
    net::Host,
    world::{mutated, spawn, spawn_on, trace, world},
};

/// A worker that runs.
pub(crate) struct Worker {
    pub(crate) me: NodeId,
    pub(crate) host: Host,
    pub(crate) life: Life,
    pub(crate) generation: Generation,
    boot: u64,
    pub(crate) labels: watch::Sender<Labels>,
    pub(crate) spool: Spool,
    seen: Cell<u64>,
    durable: Cell<u64>,
    /// Where control nodes could be dialled in earlier boots.
    learnt: RefCell<Vec<LinkUrl>>,
}

/// Lets a worker boot.
pub(crate) fn boot(host: Host, me: NodeId) -> Life {
    let life = world().executor.new_life();
    spawn_on(life, async move {
        let saved = disk::load(host);
        let generation = Generation(saved.generation + 1);
        disk::write(host, vec![Change::Generation(generation.0)]).await;
        trace(|| format!("boot {me} {generation}"));
        let spool = Spool::open(&me, host, generation, &saved);
        let worker = Rc::new(Worker {
            host,
            life,
            generation,
            boot: fastrand::u64(..),
            labels: watch::Sender::new(Labels::default()),
            spool,
            seen: Cell::new(saved.epoch),
            durable: Cell::new(saved.epoch),
            learnt: RefCell::new(saved.learnt),
            me,
        });
        world().workers.borrow_mut().insert(host, Rc::clone(&worker));
        spawn(spool::run(Rc::clone(&worker)));
        spawn(chatter(Rc::clone(&worker)));
        spawn(owner::run(worker));
    });
    life
}

/// Says things now and then, and changes its labels seldom.
async fn chatter(worker: Rc<Worker>) {
    let mut n = 0_u64;
    loop {
        sleep(Duration::from_millis(fastrand::u64(10..3_000))).await;
        n += 1;
        if fastrand::u32(..20) == 0 {
            let labels = format!("n={n}").parse().expect("labels");
            worker.labels.send_replace(labels);
        }
        let class = "chat".parse().expect("a class name");
        let payload = format!("\"{}-{n}-{}\"", worker.generation, fastrand::u32(..));
        worker.spool.emit(EventBody::Class { class, task: None, payload });
    }
}

impl Worker {
    fn highest(&self) -> Epoch {
        Epoch(self.seen.get())
    }

    /// Lets a call of this epoch in, or says why not.
    pub(crate) async fn admit(&self, epoch: Epoch) -> Result<(), Failure> {
        if mutated(Mutant::StaleEpochObeyed) {
            return Ok(());
        }
        loop {
            match judge(self.seen.get(), self.durable.get(), epoch.0) {
                Verdict::Obey => return Ok(()),
                Verdict::Refuse => {
                    let text = format!("epoch {epoch} is over: this node obeys {}", self.highest());
                    return Err(Failure::new(ErrorKind::Conflict, text).code("stale_epoch"));
                }
                Verdict::Raise => {
                    self.seen.set(self.seen.get().max(epoch.0));
                    let highest = self.seen.get();
                    disk::write(self.host, vec![Change::Epoch(highest)]).await;
                    self.durable.set(self.durable.get().max(highest));
                }
            }
        }
    }

    /// Does what an owner has asked for under this epoch.
    pub(crate) async fn obey(
        &self,
        epoch: Epoch,
        owner: &NodeId,
        request: u64,
    ) -> Result<(), Failure> {
        self.admit(epoch).await?;
        let world = world();
        let mut ledger = world.ledger.borrow_mut();
        ledger.obeyed(&self.me, epoch, owner);
        ledger.done(request);
        Ok(())
    }

    pub(crate) fn announce(&self, unreachable: Vec<NodeId>) -> Announce {
        Announce {
            node: self.me.clone(),
            generation: self.generation,
            boot: self.boot,
            roles: Roles::WORKER,
            version: "1".to_owned(),
            addresses: Vec::new(),
            labels: self.labels.borrow().clone(),
            attributes: BTreeMap::new(),
            epoch: self.highest(),
            unreachable,
        }
    }

    /// Where control nodes may be: what its configuration says.
    fn candidates() -> Vec<LinkUrl> {
        fleet::controls().into_iter().take(3).map(url).collect()
    }

    pub(crate) fn note(&self, text: impl FnOnce() -> String) {
        trace(|| format!("{}: {}", self.me, text()));
    }
}
