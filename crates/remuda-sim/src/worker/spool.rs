//! The events of a worker: numbered and kept by the product's core, written by this.

use std::{cell::RefCell, rc::Rc};

use remuda_model::{Event, EventBody, Generation, NodeId};
use remuda_worker::sim::{SpoolBounds, SpoolCore, SpoolEffect, event_size};
use tokio::sync::{Notify, watch};

use super::{Change, Disk, Worker, disk};
use crate::{
    mutant::Mutant,
    net::Host,
    world::{mutated, now_ms, world},
};

/// Few, so that gaps happen.
const BOUNDS: SpoolBounds = SpoolBounds { events: 40, bytes: 1 << 20 };

/// What is not acknowledged yet.
pub(crate) struct Spool {
    host: Host,
    core: RefCell<SpoolCore>,
    waiting: RefCell<Vec<EventBody>>,
    unwritten: RefCell<Vec<SpoolEffect>>,
    more: Notify,
    durable: watch::Sender<u64>,
}

impl Spool {
    pub(super) fn open(node: &NodeId, host: Host, generation: Generation, saved: &Disk) -> Self {
        let events = saved.events.values().map(|event| (event.clone(), event_size(event)));
        let core =
            SpoolCore::new(node.clone(), generation, BOUNDS, saved.acknowledged, events.collect());
        let durable = watch::Sender::new(core.durable());
        Self {
            host,
            core: RefCell::new(core),
            waiting: RefCell::default(),
            unwritten: RefCell::default(),
            more: Notify::new(),
            durable,
        }
    }

    pub(super) fn emit(&self, body: EventBody) {
        self.waiting.borrow_mut().push(body);
        self.more.notify_one();
    }

    pub(super) fn durable(&self) -> watch::Receiver<u64> {
        self.durable.subscribe()
    }

    pub(crate) fn first(&self) -> u64 {
        self.core.borrow().first()
    }

    pub(crate) fn last(&self) -> u64 {
        self.core.borrow().last()
    }

    pub(super) fn after(&self, seq: u64) -> Vec<Event> {
        self.core.borrow().after(seq, 256, 512 << 10)
    }

    pub(super) fn acknowledge(&self, upto: u64) {
        let effects = self.core.borrow_mut().acknowledge(upto);
        if !effects.is_empty() {
            self.unwritten.borrow_mut().extend(effects);
            self.more.notify_one();
        }
    }

    fn number(&self) {
        let bodies = std::mem::take(&mut *self.waiting.borrow_mut());
        for body in bodies {
            let effects = self.core.borrow_mut().push(body, now_ms());
            self.unwritten.borrow_mut().extend(effects);
        }
    }
}

/// Writes events down for as long as the worker lives.
pub(super) async fn run(worker: Rc<Worker>) {
    let spool = &worker.spool;
    loop {
        spool.more.notified().await;
        spool.number();
        let effects = std::mem::take(&mut *spool.unwritten.borrow_mut());
        if effects.is_empty() {
            continue;
        }
        let (last, acknowledged) = {
            let core = spool.core.borrow();
            (core.last(), core.acknowledged())
        };
        let put: Vec<Event> = effects
            .iter()
            .filter_map(|effect| match effect {
                SpoolEffect::Put(event) => Some(event.clone()),
                SpoolEffect::Delete(_) => None,
            })
            .collect();
        let mut changes: Vec<Change> = effects
            .into_iter()
            .map(|effect| match effect {
                SpoolEffect::Put(event) => Change::Put(event),
                SpoolEffect::Delete(seq) => Change::Delete(seq),
            })
            .collect();
        changes.push(Change::Acknowledged(acknowledged));
        if mutated(Mutant::EventSentBeforeSync) {
            spool.core.borrow_mut().written(last);
            spool.durable.send_replace(last);
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
        disk::write(spool.host, changes).await;
        world().ledger.borrow_mut().kept(&put);
        spool.core.borrow_mut().written(last);
        spool.durable.send_replace(last);
    }
}
