//! The records of a worker: transactions that are there whole, or not at all.

use std::{collections::BTreeMap, time::Duration};

use remuda_model::{Event, LinkUrl};
use tokio::time::{Instant, sleep_until};

use crate::{net::Host, world::world};

/// What is on the disk of one worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) generation: u64,
    pub(crate) epoch: u64,
    pub(crate) acknowledged: u64,
    pub(crate) events: BTreeMap<u64, Event>,
    pub(crate) learnt: Vec<LinkUrl>,
    /// Transactions end one after the other.
    busy_until: Option<Instant>,
}

/// One change of a transaction.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Generation(u64),
    Epoch(u64),
    Acknowledged(u64),
    Put(Event),
    Delete(u64),
    Learnt(Vec<LinkUrl>),
}

impl Disk {
    /// What was not written whole is not there at all.
    pub(crate) fn crash(&mut self) {
        self.busy_until = None;
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Generation(generation) => self.generation = generation,
            Change::Epoch(epoch) => self.epoch = epoch,
            Change::Acknowledged(upto) => self.acknowledged = upto,
            Change::Put(event) => drop(self.events.insert(event.seq, event)),
            Change::Delete(seq) => drop(self.events.remove(&seq)),
            Change::Learnt(urls) => self.learnt = urls,
        }
    }
}

/// What a worker finds when it boots.
pub(crate) fn load(host: Host) -> Disk {
    world().worker_disks.borrow().get(&host).cloned().unwrap_or_default()
}

/// Writes a transaction, after those before it; durable on return.
pub(crate) fn write(host: Host, changes: Vec<Change>) -> impl Future<Output = ()> + 'static {
    let slowness = world().scenario.disk_slowness;
    let end = {
        let world = world();
        let mut disks = world.worker_disks.borrow_mut();
        let disk = disks.entry(host).or_default();
        let now = Instant::now();
        let start = disk.busy_until.map_or(now, |busy| busy.max(now));
        let end = start + Duration::from_millis(fastrand::u64(..=slowness));
        disk.busy_until = Some(end);
        end
    };
    async move {
        sleep_until(end).await;
        let world = world();
        let mut disks = world.worker_disks.borrow_mut();
        let disk = disks.entry(host).or_default();
        for change in changes {
            disk.change(change);
        }
    }
}
