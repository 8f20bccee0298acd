//! The hosts of a simulation: which there are, which run.

use std::{collections::BTreeMap, sync::Arc};

use remuda_model::NodeId;
use remuda_store::Timing;

use crate::{
    control,
    disk::SimDisk,
    executor::Life,
    net::Host,
    worker,
    world::{trace, world},
};

/// What is known of a host whether it runs or not.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) name: NodeId,
    /// Of a control node.
    pub(crate) timing: Option<Timing>,
    pub(crate) life: Option<Life>,
    /// Whether it belongs to the cluster by now; the others join later.
    pub(crate) enlisted: bool,
}

/// All hosts.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    pub(crate) machines: BTreeMap<Host, Machine>,
}

impl Fleet {
    fn add(&mut self, name: &str, timing: Option<Timing>, enlisted: bool) -> (Host, NodeId) {
        let host = Host(u32::try_from(self.machines.len()).unwrap_or(u32::MAX));
        let name: NodeId = name.parse().expect("a node name");
        self.machines.insert(host, Machine { name: name.clone(), timing, life: None, enlisted });
        (host, name)
    }

    pub(crate) fn controls(&self) -> Vec<Host> {
        let controls = self.machines.iter().filter(|(_, machine)| machine.timing.is_some());
        controls.map(|(host, _)| *host).collect()
    }

    pub(crate) fn workers(&self) -> Vec<Host> {
        let workers = self.machines.iter().filter(|(_, machine)| machine.timing.is_none());
        workers.map(|(host, _)| *host).collect()
    }
}

/// Makes all hosts, none of which runs yet.
pub(crate) fn build() {
    let world = world();
    let scenario = &world.scenario;
    let spare = if scenario.joins_and_leaves { 2 } else { 0 };
    for n in 0..scenario.n_controls + spare {
        let timing = scenario.timing();
        let name = format!("c{}", n + 1);
        let enlisted = n < scenario.n_controls;
        let (host, name) = world.fleet.borrow_mut().add(&name, Some(timing), enlisted);
        world.disks.borrow_mut().insert(host, SimDisk::new(scenario.disk_slowness));
        world.names.borrow_mut().insert(name, host);
    }
    for n in 0..scenario.n_workers {
        let (host, _) = world.fleet.borrow_mut().add(&format!("w{}", n + 1), None, true);
        world.worker_disks.borrow_mut().insert(host, worker::Disk::default());
    }
}

pub(crate) fn is_up(host: Host) -> bool {
    world().fleet.borrow().machines.get(&host).is_some_and(|machine| machine.life.is_some())
}

/// Starts a host unless it runs.
pub(crate) fn start(host: Host) {
    if is_up(host) {
        return;
    }
    let machine = world().fleet.borrow().machines.get(&host).cloned();
    let Some(machine) = machine else { return };
    let life = match machine.timing {
        Some(timing) => control::boot(host, machine.name, timing, host == Host(0)),
        None => worker::boot(host, machine.name),
    };
    if let Some(machine) = world().fleet.borrow_mut().machines.get_mut(&host) {
        machine.life = Some(life);
        machine.enlisted = true;
    }
}

/// The power of a host goes off.
pub(crate) fn crash(host: Host) {
    let world = world();
    let life = {
        let mut fleet = world.fleet.borrow_mut();
        let machine = fleet.machines.get_mut(&host);
        machine.and_then(|machine| machine.life.take())
    };
    let Some(life) = life else { return };
    let control = world.controls.borrow_mut().remove(&host);
    let worker = world.workers.borrow_mut().remove(&host);
    world.oracle.borrow_mut().forget(host);
    world.executor.kill(life);
    drop((control, worker));
    let disk: Option<Arc<SimDisk>> = world.disks.borrow().get(&host).cloned();
    let lost = disk.map_or(0, |disk| disk.crash(world.mutant));
    if let Some(disk) = world.worker_disks.borrow_mut().get_mut(&host) {
        disk.crash();
    }
    trace(|| format!("crash of host {} loses {lost} records", host.0));
}

/// Stops or continues all work of a host, as a debugger would.
pub(crate) fn freeze(host: Host, frozen: bool) {
    let world = world();
    let life = world.fleet.borrow().machines.get(&host).and_then(|machine| machine.life);
    if let Some(life) = life {
        trace(|| format!("host {} {}", host.0, if frozen { "freezes" } else { "thaws" }));
        world.executor.freeze(life, frozen);
    }
}

/// The present life of a host, if it runs.
pub(crate) fn life(host: Host) -> Option<Life> {
    world().fleet.borrow().machines.get(&host).and_then(|machine| machine.life)
}

/// All control nodes, whether they run or not.
pub(crate) fn controls() -> Vec<Host> {
    world().fleet.borrow().controls()
}
