//! What goes wrong while faults last.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{
    executor::ETERNAL,
    fleet, members,
    net::Host,
    scenario::pick,
    world::{self, spawn_on, trace, world},
};

fn millis(from: u64, to: u64) -> Duration {
    Duration::from_millis(fastrand::u64(from..=to))
}

/// Makes trouble until the time is over; whatever is under way then ends soon after.
pub(crate) async fn run() {
    let scenario = world().scenario.clone();
    let end = Instant::now() + scenario.trouble;
    let every = u64::try_from(scenario.fault_every.as_millis()).unwrap_or(u64::MAX);
    let mut kinds: Vec<fn()> = vec![freeze, slow];
    if scenario.crashes {
        kinds.extend([crash_control, crash_control, crash_worker]);
    }
    if scenario.crash_all {
        kinds.push(crash_all);
    }
    if scenario.partitions {
        kinds.extend([split, isolate]);
    }
    if scenario.one_way {
        kinds.push(one_way);
    }
    if scenario.flapping {
        kinds.push(flap);
    }
    if scenario.joins_and_leaves {
        kinds.extend([join, leave]);
    }
    loop {
        let pause = millis(0, every);
        if Instant::now() + pause >= end {
            return;
        }
        sleep(pause).await;
        pick(&kinds)();
    }
}

/// Ends all faults: everything runs and everybody hears everybody, at a normal pace.
pub(crate) fn stop() {
    let world = world();
    world.calm.set(true);
    trace(|| "faults stop".to_owned());
    {
        let mut net = world.net.borrow_mut();
        net.heal();
        net.lost = 0;
        net.stragglers = 0;
        net.slowest = net.slowest.min(20);
    }
    let hosts: Vec<Host> = world.fleet.borrow().machines.keys().copied().collect();
    for host in hosts {
        fleet::freeze(host, false);
        let enlisted = world.fleet.borrow().machines.get(&host).is_some_and(|m| m.enlisted);
        if enlisted {
            fleet::start(host);
        }
    }
}

/// Does something later, unless faults have stopped by then.
fn later(after: Duration, what: impl FnOnce() + 'static) {
    spawn_on(ETERNAL, async move {
        sleep(after).await;
        if !world().calm.get() {
            what();
        }
    });
}

fn controls() -> Vec<Host> {
    world().fleet.borrow().controls()
}

fn everybody() -> Vec<Host> {
    world().fleet.borrow().machines.keys().copied().collect()
}

fn down(host: Host, for_ms: u64) {
    fleet::crash(host);
    later(millis(50, for_ms), move || fleet::start(host));
}

fn running(hosts: Vec<Host>) -> Vec<Host> {
    hosts.into_iter().filter(|host| fleet::is_up(*host)).collect()
}

fn crash_control() {
    let hosts = running(controls());
    if !hosts.is_empty() {
        down(*pick(&hosts), 10_000);
    }
}

fn crash_worker() {
    let hosts = running(world().fleet.borrow().workers());
    if !hosts.is_empty() {
        down(*pick(&hosts), 10_000);
    }
}

fn crash_all() {
    for host in running(controls()) {
        down(host, 3_000);
    }
}

fn freeze() {
    let hosts = running(everybody());
    if hosts.is_empty() {
        return;
    }
    let host = *pick(&hosts);
    fleet::freeze(host, true);
    let length = millis(100, 8_000);
    // It thaws even when it is another life by then: that one does not freeze.
    later(length, move || fleet::freeze(host, false));
}

fn slow() {
    let before = world::net(|net| net.slowest);
    world().net.borrow_mut().slowest = (before * 10).min(400);
    later(millis(500, 5_000), || {
        let normal = world().scenario.slowest;
        world().net.borrow_mut().slowest = normal;
    });
}

/// Nothing passes from one group to the other, in both directions or in one.
fn cut(from: &[Host], to: &[Host], both: bool) {
    let world = world();
    let mut net = world.net.borrow_mut();
    for a in from {
        for b in to.iter().filter(|b| *b != a) {
            net.part(*a, *b);
            if both {
                net.part(*b, *a);
            }
        }
    }
}

fn mend(from: &[Host], to: &[Host]) {
    let world = world();
    let mut net = world.net.borrow_mut();
    for a in from {
        for b in to {
            net.mend(*a, *b);
            net.mend(*b, *a);
        }
    }
}

fn two_groups() -> (Vec<Host>, Vec<Host>) {
    everybody().into_iter().partition(|_| fastrand::bool())
}

fn names(hosts: &[Host]) -> String {
    hosts.iter().map(|host| host.0.to_string()).collect::<Vec<_>>().join(",")
}

fn cut_for_a_while(from: Vec<Host>, to: Vec<Host>, both: bool) {
    let arrow = if both { "<->" } else { "->" };
    trace(|| format!("cut {} {arrow} {}", names(&from), names(&to)));
    cut(&from, &to, both);
    later(millis(200, 15_000), move || {
        trace(|| format!("mend {} {arrow} {}", names(&from), names(&to)));
        mend(&from, &to);
    });
}

fn split() {
    let (from, to) = two_groups();
    cut_for_a_while(from, to, true);
}

fn isolate() {
    let host = *pick(&controls());
    let others = everybody().into_iter().filter(|other| *other != host).collect();
    cut_for_a_while(vec![host], others, true);
}

fn one_way() {
    let host = *pick(&everybody());
    let others: Vec<Host> = everybody().into_iter().filter(|other| *other != host).collect();
    if fastrand::bool() {
        cut_for_a_while(vec![host], others, false);
    } else {
        cut_for_a_while(others, vec![host], false);
    }
}

fn flap() {
    let (from, to) = two_groups();
    trace(|| format!("flap {} <-> {}", names(&from), names(&to)));
    spawn_on(ETERNAL, async move {
        for _ in 0..fastrand::u32(5..30) {
            if world().calm.get() {
                break;
            }
            cut(&from, &to, true);
            sleep(millis(20, 800)).await;
            mend(&from, &to);
            sleep(millis(20, 800)).await;
        }
    });
}

fn join() {
    let down: Vec<Host> = controls().into_iter().filter(|host| !fleet::is_up(*host)).collect();
    if !down.is_empty() {
        fleet::start(*pick(&down));
    }
}

/// A control node hands over, stops, and comes back later.
fn leave() {
    let hosts = running(controls());
    if hosts.is_empty() {
        return;
    }
    let host = *pick(&hosts);
    let Some(control) = world::control(host) else { return };
    trace(|| format!("{} leaves", control.me));
    let life = control.life;
    spawn_on(life, async move {
        members::leave(control).await;
        spawn_on(ETERNAL, async move {
            // Faults may have stopped, or have crashed it, meanwhile.
            let same = world::control(host).is_some_and(|now| now.life == life);
            if same && !world().calm.get() {
                down(host, 15_000);
            } else if same {
                fleet::crash(host);
                fleet::start(host);
            }
        });
    });
}
