//! Users: they write and read at whatever control node, and keep what they were told.

use std::{rc::Rc, time::Duration};

use futures_util::future::join_all;
use remuda_model::{Generation, Labels, NodeId, Revision, Roles, TokenId};
use remuda_state::{Applied, Change, NodeRecord, Outcome, Scope, TokenRecord};
use tokio::{sync::oneshot, time::sleep};

use crate::{
    control::Control,
    scenario::pick,
    world::{fail, spawn_on, trace, world},
};

/// How long a change may take.
const CHANGE: Duration = Duration::from_secs(10);
const READ: Duration = Duration::from_secs(5);
/// How many changes one user asks for at once, at most.
const BURST: u32 = 12;

/// The records that are written and read.
pub(crate) fn registers() -> Vec<NodeId> {
    ["r1", "r2", "r3"].map(|name| name.parse().expect("a node name")).into()
}

fn blank(id: NodeId) -> NodeRecord {
    NodeRecord {
        id,
        roles: Roles::WORKER,
        generation: Generation(1),
        version: String::new(),
        addresses: Vec::new(),
        labels: Labels::default(),
        attributes: std::collections::BTreeMap::new(),
        active: false,
        created: Revision(0),
        modified: Revision(0),
    }
}

/// Does something at a control node, as its API would. `None` when it crashes meanwhile.
pub(crate) async fn at<T, F>(
    control: &Rc<Control>,
    work: impl FnOnce(Rc<Control>) -> F,
) -> Option<T>
where
    T: 'static,
    F: Future<Output = T> + 'static,
{
    let (done, doing) = oneshot::channel();
    let work = work(Rc::clone(control));
    spawn_on(control.life, async move { drop(done.send(work.await)) });
    doing.await.ok()
}

/// A control node that runs.
pub(crate) fn some_control() -> Option<Rc<Control>> {
    let world = world();
    let controls = world.controls.borrow();
    if controls.is_empty() {
        return None;
    }
    controls.values().nth(fastrand::usize(..controls.len())).cloned()
}

/// What came of a change.
enum Told {
    Done(u64, Applied),
    Nothing,
    Unknown,
}

async fn change(change: Change, by: Option<Rc<Control>>) -> Told {
    let Some(control) = by.or_else(some_control) else { return Told::Nothing };
    let proposed = at(&control, |control| async move { control.propose(change, CHANGE).await });
    match proposed.await {
        Some(Ok((index, applied))) => Told::Done(index, applied),
        Some(Err(failure)) if failure.kind.nothing_was_done() => Told::Nothing,
        Some(Err(_)) | None => {
            world().oracle.borrow_mut().n_unknown += 1;
            Told::Unknown
        }
    }
}

/// Makes the records that are written and read; before faults begin.
pub(crate) async fn prepare() {
    for id in registers() {
        world().oracle.borrow_mut().registers.begin(&id);
        loop {
            match change(Change::PutNode(blank(id.clone())), None).await {
                Told::Done(..) => break,
                Told::Nothing | Told::Unknown => sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

/// One user, for ever.
pub(crate) async fn run(client: u32) {
    let pause = world().scenario.client_pause;
    let mut n = 0_u64;
    loop {
        sleep(Duration::from_millis(fastrand::u64(0..=2 * pause))).await;
        n += 1;
        let unique = format!("c{client}n{n}");
        match fastrand::u32(..10) {
            0..=1 => token(&unique).await,
            // What comes at once shares entries of the log.
            2 => {
                let burst = fastrand::u32(2..=BURST);
                let unique = &unique;
                let each = |one| async move { token(&format!("{unique}x{one}")).await };
                join_all((0..burst).map(each)).await;
            }
            3..=4 => write(&unique, false).await,
            5..=6 => write(&unique, true).await,
            _ => read().await,
        }
    }
}

async fn token(unique: &str) {
    let id: TokenId = unique.parse().expect("a token id");
    if !make_token(&id, None).await || fastrand::bool() {
        return;
    }
    world().oracle.borrow_mut().registers.revoking.insert(id.clone());
    match change(Change::RevokeToken(id.clone()), None).await {
        Told::Done(index, applied) => match applied.outcome {
            Ok(_) => {
                let world = world();
                let mut oracle = world.oracle.borrow_mut();
                oracle.n_writes += 1;
                oracle.revoked.insert(id, index);
            }
            // Nobody else revokes it.
            Err(refusal) => fail("I-2 a command applies once", format!("{id}: {refusal}")),
        },
        Told::Nothing | Told::Unknown => (),
    }
}

/// Makes a token. Tells whether that was acknowledged.
pub(crate) async fn make_token(id: &TokenId, by: Option<Rc<Control>>) -> bool {
    let record = TokenRecord {
        id: id.clone(),
        name: id.to_string(),
        scope: *pick(&[Scope::Read, Scope::Operate]),
        hash: [7; 32],
        created_ms: 1,
        expires_ms: None,
    };
    let Told::Done(index, applied) = change(Change::CreateToken(record), by).await else {
        return false;
    };
    trace(|| format!("acknowledged {id} at {index}"));
    if let Err(refusal) = applied.outcome {
        fail("I-2 a command applies once", format!("{id}: {refusal}"));
    }
    let world = world();
    let mut oracle = world.oracle.borrow_mut();
    oracle.n_writes += 1;
    oracle.made.insert(id.clone(), index);
    true
}

async fn write(unique: &str, compares: bool) {
    let node = pick(&registers()).clone();
    let value = format!("v={unique}");
    let labels: Labels = value.parse().expect("labels");
    let value = labels.to_string();
    let if_revision = if compares {
        match look(&node).await {
            Some(revision) => Some(revision),
            None => return,
        }
    } else {
        None
    };
    let began = {
        let world = world();
        let mut oracle = world.oracle.borrow_mut();
        oracle.registers.attempt(&node, &value);
        oracle.registers.begin(&node)
    };
    let set = Change::SetLabels { node: node.clone(), labels, if_revision };
    let Told::Done(_, applied) = change(set, None).await else { return };
    let world = world();
    let mut oracle = world.oracle.borrow_mut();
    match applied.outcome {
        Ok(Outcome::Changed(at)) => {
            oracle.n_writes += 1;
            oracle.registers.wrote(&node, began, at, &value);
        }
        // Each value is a new one.
        Ok(Outcome::Unchanged) => {
            fail("I-2 a command applies once", format!("{node}: {value} was there before"));
        }
        Err(_) => oracle.registers.refused(&node, &value),
    }
}

async fn read() {
    let node = pick(&registers()).clone();
    look(&node).await;
}

/// A linearizable read.
async fn look(node: &NodeId) -> Option<Revision> {
    let control = some_control()?;
    let began = world().oracle.borrow_mut().registers.begin(node);
    let id = node.clone();
    let seen = at(&control, |control| async move {
        control.catch_up(READ).await.ok()?;
        let state = control.replica.state();
        state.node(&id).map(|record| (record.modified, record.labels.to_string()))
    });
    let (at, value) = seen.await??;
    let world = world();
    let mut oracle = world.oracle.borrow_mut();
    oracle.n_reads += 1;
    oracle.registers.read(node, began, at, &value);
    Some(at)
}

/// A change and a read through each control node that runs; tells whether all were answered.
pub(crate) async fn all_answer(round: u64) -> bool {
    let controls: Vec<Rc<Control>> = world().controls.borrow().values().cloned().collect();
    for control in controls {
        let id: TokenId = format!("calm{round}h{}", control.host.0).parse().expect("a token id");
        if !make_token(&id, Some(Rc::clone(&control))).await {
            return false;
        }
        let fresh = at(&control, |control| async move {
            control.catch_up(READ).await.is_ok() && control.replica.state().token(&id).is_some()
        });
        if fresh.await != Some(true) {
            trace(|| format!("{} does not answer", control.me));
            return false;
        }
    }
    true
}
