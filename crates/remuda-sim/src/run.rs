//! One run: a cluster comes up, faults happen, faults stop, and the cluster converges.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Once,
    time::Duration,
};

use remuda_model::NodeId;
use tokio::time::{Instant, sleep};

use crate::{
    clients,
    control::Control,
    executor::{ETERNAL, Executor, Step},
    faults, fleet,
    mutant::Mutant,
    net::{Host, Net},
    scenario::Scenario,
    trace::Trace,
    watchers, work,
    world::{self, Violation, World, enter, fail, leave, spawn_on, world},
};

/// More steps at one instant mean that nothing moves any more.
const MAX_STEPS: u64 = 2_000_000;
/// How long a cluster without faults, but perhaps with a bad network, may take to come up.
const COME_UP: Duration = Duration::from_mins(3);

/// What one run has done and found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What does not hold; `None` when all is well.
    pub violation: Option<Violation>,
    /// Equal for two runs of one seed.
    pub trace_hash: u64,
    /// Steps of tasks.
    pub steps: u64,
    /// Simulated time.
    pub simulated: Duration,
    /// How long the cluster took to converge when faults had stopped.
    pub converged_in: Duration,
    /// Control nodes and workers.
    pub hosts: (u32, u32),
    /// Acknowledged changes, answered reads, changes with an unknown outcome.
    pub changes: (u64, u64, u64),
    /// Requests that were answered, events that were kept, gaps that were shown.
    pub work: (u64, u64, u64),
}

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
    static IN_RUN: Cell<bool> = const { Cell::new(false) };
}

/// Catches what panics on this thread while a simulation runs: the product contains some panics.
fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if IN_RUN.get() {
                PANIC.with_borrow_mut(|panic| {
                    panic.get_or_insert_with(|| info.to_string());
                });
            } else {
                before(info);
            }
        }));
    });
}

/// Runs one seed; `show` gets each line of the trace.
pub fn run(seed: u64, mutant: Option<Mutant>, show: Option<fn(&str)>) -> Report {
    watch_panics();
    fastrand::seed(seed);
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without input and output");
    IN_RUN.set(true);
    let report = runtime.block_on(tokio::task::unconstrained(drive(seed, mutant, show)));
    IN_RUN.set(false);
    PANIC.take();
    report
}

async fn drive(seed: u64, mutant: Option<Mutant>, show: Option<fn(&str)>) -> Report {
    let scenario = Scenario::draw();
    let net = Net {
        fastest: scenario.fastest,
        slowest: scenario.slowest,
        stragglers: scenario.stragglers,
        lost: scenario.lost,
        doubled: scenario.doubled,
        ..Net::default()
    };
    let world = Rc::new(World {
        executor: Executor::default(),
        mutant,
        started: Instant::now(),
        net: RefCell::new(net),
        names: RefCell::default(),
        fleet: RefCell::default(),
        disks: RefCell::default(),
        worker_disks: RefCell::default(),
        controls: RefCell::default(),
        workers: RefCell::default(),
        oracle: RefCell::default(),
        ledger: RefCell::default(),
        refused: RefCell::default(),
        trace: RefCell::new(Trace::new(show)),
        violation: RefCell::new(None),
        calm: Cell::new(false),
        done: Cell::new(false),
        converged_in: Cell::default(),
        scenario,
    });
    enter(&world);
    let tasks = Rc::clone(&world);
    let simulated = remuda_runtime::simulate(move |task| {
        tasks.executor.spawn(tasks.executor.current(), task);
    });
    world::trace(|| format!("seed {seed}: {:?}", world.scenario));
    spawn_on(ETERNAL, direct());
    let steps = steps(&world).await;
    let report = {
        let oracle = world.oracle.borrow();
        let ledger = world.ledger.borrow();
        Report {
            seed,
            violation: world.violation.borrow().clone(),
            trace_hash: world.trace.borrow().hash(),
            steps,
            simulated: world::elapsed(),
            converged_in: world.converged_in.get(),
            hosts: (world.scenario.n_controls, world.scenario.n_workers),
            changes: (oracle.n_writes, oracle.n_reads, oracle.n_unknown),
            work: (ledger.n_requests, ledger.n_events, ledger.n_gaps),
        }
    };
    world.controls.take();
    world.workers.take();
    world.executor.clear();
    drop(simulated);
    leave();
    report
}

/// Runs all tasks step by step until the run is over. Returns the number of steps.
async fn steps(world: &Rc<World>) -> u64 {
    let (mut steps, mut here, mut instant) = (0_u64, 0_u64, Instant::now());
    while !world.done.get() && world.violation.borrow().is_none() {
        match world.executor.step() {
            Step::Ran(task) => {
                steps += 1;
                world.trace.borrow_mut().step(world::now_ms(), task);
                world.oracle.borrow_mut().after_step();
            }
            Step::Panicked => fail("I-16 nothing panics", "a task of the simulation".to_owned()),
            Step::Idle => world.executor.woken().await,
        }
        if let Some(panic) = PANIC.take() {
            world.violation.take();
            fail("I-16 nothing panics", panic);
        }
        here += 1;
        if Instant::now() != instant {
            (here, instant) = (0, Instant::now());
        }
        if here > MAX_STEPS {
            fail("time goes on", format!("{} tasks at one instant", world.executor.n_tasks()));
        }
    }
    steps
}

/// What happens in a run, in order.
async fn direct() {
    fleet::build();
    let machines = world().fleet.borrow().machines.clone();
    for (host, machine) in &machines {
        if machine.enlisted {
            fleet::start(*host);
        }
    }
    let end = Instant::now() + COME_UP;
    while let Some(why) = unsettled() {
        if Instant::now() >= end {
            return fail("a cluster without faults comes up", why);
        }
        sleep(Duration::from_millis(100)).await;
    }
    clients::prepare().await;
    world::trace(|| "the cluster is up".to_owned());
    spawn_on(ETERNAL, look_regularly());
    for client in 1..=world().scenario.n_clients {
        spawn_on(ETERNAL, clients::run(client));
    }
    if world().scenario.n_workers > 0 {
        spawn_on(ETERNAL, work::run(1));
        spawn_on(ETERNAL, work::run(2));
    }
    for machine in machines.values().filter(|machine| machine.timing.is_none()).take(3) {
        spawn_on(ETERNAL, watchers::run(machine.name.clone()));
    }
    faults::run().await;
    faults::stop();
    converge().await;
    for request in world().refused.borrow().iter() {
        world().ledger.borrow().told_nothing(*request);
    }
    world().oracle.borrow().check_acknowledged();
    world().done.set(true);
}

/// Checks at intervals what is too dear for each step.
async fn look_regularly() {
    loop {
        sleep(Duration::from_secs(1)).await;
        world().oracle.borrow().check_acknowledged();
    }
}

/// Waits until the cluster is as it should be, within its bound.
async fn converge() {
    let start = Instant::now();
    let end = start + world().scenario.bound;
    let mut round = 0;
    loop {
        round += 1;
        let why = match unsettled() {
            Some(why) => why,
            None if !clients::all_answer(round).await => {
                "a control node does not answer".to_owned()
            }
            None if !work::all_answer(9_000 + round).await => "a worker does not answer".to_owned(),
            None => match world().ledger.borrow().unheard() {
                Some(unheard) => format!("nobody has heard of {unheard}"),
                None => break,
            },
        };
        if Instant::now() >= end {
            return fail("the cluster converges when faults stop", why);
        }
        sleep(Duration::from_millis(250)).await;
    }
    world().converged_in.set(start.elapsed());
    world::trace(|| format!("converged in {:?}", start.elapsed()));
}

/// Why the cluster is not as it should be.
fn unsettled() -> Option<String> {
    let world = world();
    let fleet = world.fleet.borrow();
    let enlisted = |host: &Host| fleet.machines.get(host).is_some_and(|machine| machine.enlisted);
    let expected: Vec<Host> = fleet.controls().into_iter().filter(enlisted).collect();
    let controls = world.controls.borrow();
    let running: Vec<&Rc<Control>> =
        expected.iter().filter_map(|host| controls.get(host)).collect();
    if running.len() != expected.len() {
        return Some("not all control nodes run".to_owned());
    }
    let first = running.first()?;
    let leadership = first.replica.leadership().borrow().clone();
    let Some(leader) = leadership.leader else { return Some("no leader".to_owned()) };
    let wanted = match expected.len() {
        n if n >= 5 => 5,
        n if n % 2 == 0 => n - 1,
        n => n,
    };
    let state = first.replica.state();
    for control in &running {
        let now = control.replica.leadership().borrow().clone();
        if now.leader.as_ref() != Some(&leader) {
            return Some(format!("{} follows {:?}, not {leader}", control.me, now.leader));
        }
        if now.voters.len() != wanted {
            return Some(format!("{} voters of {wanted}, says {}", now.voters.len(), control.me));
        }
        let theirs = control.replica.state();
        if !theirs.node(&control.me).is_some_and(|node| node.active) {
            return Some(format!("{} is not active", control.me));
        }
        if theirs.epoch() != state.epoch() {
            return Some(format!("{} is of another epoch", control.me));
        }
    }
    let workers = world.workers.borrow();
    for host in fleet.workers() {
        let Some(worker) = workers.get(&host) else { return Some("a worker is down".to_owned()) };
        if let Some(why) = misplaced(&running, &state, &worker.me) {
            return Some(why);
        }
    }
    None
}

fn misplaced(
    running: &[&Rc<Control>],
    state: &remuda_state::ClusterState,
    worker: &NodeId,
) -> Option<String> {
    let owner = state.owner_of(worker)?;
    for control in running {
        let proxy = control.proxies.borrow().get(worker).cloned();
        let connected = proxy.is_some_and(|proxy| proxy.connected.get());
        if connected != (control.me == owner) {
            return Some(format!("{worker} of {owner}: {} says {connected}", control.me));
        }
    }
    state.node(worker).is_none().then(|| format!("{worker} has no record"))
}
