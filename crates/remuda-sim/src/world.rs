//! The one simulation that runs on this thread, and how its parts find each other.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use remuda_model::NodeId;
use remuda_store::Replica;
use tokio::time::Instant;

use crate::{
    control::Control,
    disk::SimDisk,
    executor::{Executor, Life},
    fleet::Fleet,
    ledger::Ledger,
    mutant::Mutant,
    net::{Host, Net},
    oracle::Oracle,
    scenario::Scenario,
    trace::Trace,
    worker::{self, Worker},
};

/// What a run has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which invariant does not hold.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
    /// When, in simulated milliseconds.
    pub at_ms: u64,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} ms: {}", self.invariant, self.at_ms, self.what)
    }
}

/// Everything of one simulation.
pub(crate) struct World {
    pub(crate) executor: Executor,
    pub(crate) scenario: Scenario,
    pub(crate) mutant: Option<Mutant>,
    pub(crate) started: Instant,
    pub(crate) net: RefCell<Net>,
    pub(crate) names: RefCell<BTreeMap<NodeId, Host>>,
    pub(crate) fleet: RefCell<Fleet>,
    pub(crate) disks: RefCell<BTreeMap<Host, Arc<SimDisk>>>,
    pub(crate) worker_disks: RefCell<BTreeMap<Host, worker::Disk>>,
    /// Control nodes that run.
    pub(crate) controls: RefCell<BTreeMap<Host, Rc<Control>>>,
    pub(crate) workers: RefCell<BTreeMap<Host, Rc<Worker>>>,
    pub(crate) oracle: RefCell<Oracle>,
    pub(crate) ledger: RefCell<Ledger>,
    /// Requests of which users were told that nothing was sent.
    pub(crate) refused: RefCell<Vec<u64>>,
    pub(crate) trace: RefCell<Trace>,
    pub(crate) violation: RefCell<Option<Violation>>,
    /// Set when faults have stopped.
    pub(crate) calm: Cell<bool>,
    /// Set when the run is over.
    pub(crate) done: Cell<bool>,
    pub(crate) converged_in: Cell<Duration>,
}

thread_local! {
    static WORLD: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
}

/// Makes it the simulation of this thread.
pub(crate) fn enter(world: &Rc<World>) {
    WORLD.set(Some(Rc::clone(world)));
}

pub(crate) fn leave() {
    WORLD.set(None);
}

/// The simulation of this thread.
pub(crate) fn world() -> Rc<World> {
    WORLD.with_borrow(|world| world.clone().expect("a simulation runs"))
}

/// Starts a task of the life whose task runs.
pub(crate) fn spawn(work: impl Future<Output = ()> + 'static) {
    let world = world();
    world.executor.spawn(world.executor.current(), Box::pin(work));
}

pub(crate) fn spawn_on(life: Life, work: impl Future<Output = ()> + 'static) {
    world().executor.spawn(life, Box::pin(work));
}

pub(crate) fn net<R>(look: impl FnOnce(&Net) -> R) -> R {
    look(&world().net.borrow())
}

pub(crate) fn mutant() -> Option<Mutant> {
    world().mutant
}

/// Whether this mistake is to be made.
pub(crate) fn mutated(mutant: Mutant) -> bool {
    world().mutant == Some(mutant)
}

pub(crate) fn host(node: &NodeId) -> Option<Host> {
    world().names.borrow().get(node).copied()
}

/// The replica of a host, if it runs.
pub(crate) fn replica(host: Host) -> Option<(Life, Replica)> {
    let control = control(host)?;
    Some((control.life, control.replica.clone()))
}

/// The control node of a host, if it runs.
pub(crate) fn control(host: Host) -> Option<Rc<Control>> {
    world().controls.borrow().get(&host).cloned()
}

/// Simulated time since the start.
pub(crate) fn elapsed() -> Duration {
    world().started.elapsed()
}

/// Simulated milliseconds since the start.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Writes a line of the trace.
pub(crate) fn trace(line: impl FnOnce() -> String) {
    world().trace.borrow_mut().line(now_ms(), line);
}

/// An invariant does not hold. The first one counts.
pub(crate) fn fail(invariant: &'static str, what: String) {
    let at_ms = now_ms();
    trace(|| format!("VIOLATION {invariant}: {what}"));
    world().violation.borrow_mut().get_or_insert(Violation { invariant, what, at_ms });
}
