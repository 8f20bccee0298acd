//! Who replicates, who votes, who owns workers: the decisions of `remuda-control`, and a copy of the
//! actor that carries them out.

use std::{rc::Rc, time::Duration};

use remuda_control::sim::{Known, Membership, Sight, Step};
use remuda_model::{ErrorKind, Failure, Generation, Labels, NodeId, Release, Revision, Roles};
use remuda_runtime::Backoff;
use remuda_state::{Change, ClusterRecord, Command, NodeRecord};
use remuda_store::{Leadership, MembershipError};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    control::{Control, url},
    world::{self, trace},
};

const GRACE: u32 = 5;
const LOOKS: u32 = 2;
const STEP: Duration = Duration::from_secs(10);
const ASKED: Duration = Duration::from_secs(30);
const CONFIRM: Duration = Duration::from_secs(3);
const CONFIRM_AGAIN: Duration = Duration::from_secs(10);
const LEAVE: Duration = Duration::from_secs(20);
pub(crate) const WAITING: usize = 16;

/// What another control node asks of the leader.
pub(crate) enum Asked {
    Enlist(NodeId),
    Leave(NodeId),
}

pub(crate) type Request = (Asked, oneshot::Sender<Result<(), Failure>>);

/// The first command of a cluster.
pub(crate) fn init() -> Command {
    Command::once(Change::Init(ClusterRecord {
        id: "0123456789abcdefghjkmnpqrs".parse().expect("a cluster id"),
        name: "simulated".to_owned(),
        created_ms: 1,
    }))
}

/// The leader's care; runs for ever and does something only while its node leads.
pub(crate) async fn keep(control: Rc<Control>, mut requests: mpsc::Receiver<Request>) {
    let mut leadership = control.replica.leadership();
    let election = control.timing.election_max;
    let mut term: Option<(u64, Membership)> = None;
    loop {
        let now = leadership.borrow_and_update().clone();
        if !now.is_leader {
            term = None;
        } else if term.as_ref().is_none_or(|(number, _)| *number != now.term) {
            term = Some((now.term, Membership::new(GRACE * election)));
        }
        if let Some((_, core)) = &mut term {
            for step in core.look(world::elapsed(), &sight(&control, &now)) {
                take(&control, step).await;
            }
        }
        tokio::select! {
            biased;
            Some((asked, answer)) = requests.recv() => {
                let result = match &mut term {
                    Some((_, core)) => answer_to(&control, core, asked).await,
                    None => Err(not_leader()),
                };
                drop(answer.send(result));
            }
            changed = leadership.changed() => if changed.is_err() { return },
            () = sleep(election / LOOKS) => (),
        }
    }
}

fn sight(control: &Control, leadership: &Leadership) -> Sight {
    let (state, linked) = (control.replica.state(), control.linked());
    let known =
        |node: &NodeRecord| Known { active: node.active, addresses: node.addresses.clone() };
    Sight {
        controls: state
            .nodes()
            .filter(|node| node.roles.is_control())
            .map(|node| (node.id.clone(), known(node)))
            .collect(),
        // All run one version here.
        spoken: linked.iter().map(|node| (node.clone(), Release::CURRENT.protocol)).collect(),
        linked,
        voters: leadership.voters.clone(),
        learners: leadership.learners.clone(),
        level: state.cluster().map(|_| state.level()),
    }
}

async fn take(control: &Rc<Control>, step: Step) {
    control.note(|| format!("membership {step:?}"));
    let replica = &control.replica;
    let taken = match &step {
        Step::Deactivate(node) => {
            let change = Change::SetActive { node: node.clone(), active: false };
            control.propose(change, STEP).await.map(drop)
        }
        Step::AddLearner(node, addresses) => {
            limited(replica.add_learner(node, addresses.clone())).await
        }
        Step::SetVoters(voters) => limited(replica.set_voters(voters.clone())).await,
        Step::Remove(node) => limited(replica.remove(node)).await,
        Step::RaiseLevel(level) => {
            let raise = Command::once(Change::RaiseLevel { level: *level });
            replica.propose(raise, STEP).await.map(drop).map_err(Failure::from)
        }
    };
    if let Err(failure) = taken {
        control.note(|| format!("not taken yet: {failure}"));
    }
}

async fn answer_to(
    control: &Rc<Control>,
    core: &mut Membership,
    asked: Asked,
) -> Result<(), Failure> {
    match asked {
        Asked::Enlist(node) => {
            enlisted(control, node.clone()).await?;
            core.enlisted(&node);
            Ok(())
        }
        Asked::Leave(node) => {
            core.left(&node);
            let change = Change::SetActive { node: node.clone(), active: false };
            control.propose(change, STEP).await?;
            let leadership = control.replica.leadership().borrow().clone();
            for step in core.look(world::elapsed(), &sight(control, &leadership)) {
                if matches!(step, Step::SetVoters(_)) {
                    take(control, step).await;
                }
            }
            let voters = control.replica.leadership().borrow().voters.clone();
            if voters.contains(&node) {
                return Err(Failure::new(ErrorKind::Unavailable, "it still votes"));
            }
            Ok(())
        }
    }
}

async fn enlisted(control: &Rc<Control>, node: NodeId) -> Result<(), Failure> {
    let addresses = vec![url(world::host(&node).expect("a known host"))];
    let leadership = control.replica.leadership().borrow().clone();
    let replicates = leadership.voters.contains(&node) || leadership.learners.contains(&node);
    if !replicates {
        limited(control.replica.add_learner(&node, addresses.clone())).await?;
    }
    let record = {
        let state = control.replica.state();
        match state.node(&node) {
            Some(record) => NodeRecord { roles: Roles::CONTROL, addresses, ..record.clone() },
            None => NodeRecord {
                id: node.clone(),
                roles: Roles::CONTROL,
                generation: Generation(0),
                version: String::new(),
                addresses,
                labels: Labels::default(),
                attributes: std::collections::BTreeMap::new(),
                active: false,
                created: Revision(0),
                modified: Revision(0),
            },
        }
    };
    control.propose(Change::PutNode(record), STEP).await?;
    control.propose(Change::SetActive { node, active: true }, STEP).await?;
    Ok(())
}

async fn ask(control: &Control, asked: Asked) -> Result<(), Failure> {
    let (answer, answered) = oneshot::channel();
    if control.membership.try_send((asked, answer)).is_err() {
        return Err(Failure::new(ErrorKind::Unavailable, "too many at a time"));
    }
    match timeout(ASKED, answered).await {
        Ok(answer) => answer.unwrap_or_else(|_dropped| Err(not_leader())),
        Err(_elapsed) => Err(Failure::new(ErrorKind::TimedOut, "the leader is busy")),
    }
}

/// Keeps this node enlisted until it leaves.
pub(crate) async fn keep_enlisted(control: Rc<Control>) {
    let mut states = control.replica.watch_state();
    let mut backoff =
        Backoff::new(Duration::from_millis(100), Duration::from_secs(5), fastrand::u64(..));
    let mut confirmed_until = Instant::now();
    while !control.leaving.get() {
        states.mark_unchanged();
        let is_listed =
            || control.replica.state().node(&control.me).is_some_and(|node| node.active);
        if is_listed() && Instant::now() >= confirmed_until {
            // A copy that gets no more entries does not know that the node was given up.
            let confirmed = control.catch_up(CONFIRM).await.is_ok();
            if confirmed && is_listed() {
                confirmed_until = Instant::now() + CONFIRM_AGAIN;
            }
        }
        if is_listed() && Instant::now() < confirmed_until {
            backoff.reset();
            tokio::select! {
                biased;
                changed = states.changed() => if changed.is_err() { return },
                () = sleep_until(confirmed_until) => (),
            }
            continue;
        }
        match enlist_once(&control).await {
            Ok(()) => control.note(|| "enlisted".to_owned()),
            Err(failure) => control.note(|| format!("not enlisted yet: {failure}")),
        }
        sleep(backoff.next_delay().max(Duration::from_millis(50))).await;
    }
}

async fn enlist_once(control: &Rc<Control>) -> Result<(), Failure> {
    let me = control.me.clone();
    if let Ok(None) = control.leader_elsewhere() {
        return ask(control, Asked::Enlist(me)).await;
    }
    let mut last = Failure::new(ErrorKind::Unavailable, "no other control node is linked");
    for other in control.linked().into_iter().filter(|other| *other != control.me) {
        let me = me.clone();
        let asked = control
            .ask(&other, 2 * STEP, move |there| async move { pass_enlist(&there, me, true).await });
        match asked.await {
            Ok(()) => return Ok(()),
            Err(failure) => last = failure,
        }
    }
    Err(last)
}

/// Answers a control node that offers itself, here or by way of the leader.
async fn pass_enlist(there: &Rc<Control>, node: NodeId, itself: bool) -> Result<(), Failure> {
    if itself {
        there.catch_up(CONFIRM).await?;
    }
    match there.leader_elsewhere()? {
        None => ask(there, Asked::Enlist(node)).await,
        Some(leader) if itself && leader != node => {
            let work = move |leader: Rc<Control>| async move {
                Box::pin(pass_enlist(&leader, node, false)).await
            };
            there.ask(&leader, 2 * STEP, work).await
        }
        Some(_) => Err(not_leader()),
    }
}

/// Takes a control node out of the cluster in good order, as far as that goes.
pub(crate) async fn leave(control: Rc<Control>) {
    let others = control.replica.state().controls();
    if others.iter().all(|other| *other == control.me) {
        return;
    }
    control.leaving.set(true);
    let end = Instant::now() + LEAVE;
    let mut backoff =
        Backoff::new(Duration::from_millis(100), Duration::from_secs(1), fastrand::u64(..));
    loop {
        let left = match control.leader_elsewhere() {
            Ok(None) => {
                control.replica.hand_over(STEP / 2).await;
                Err(not_leader())
            }
            Ok(Some(leader)) => {
                let me = control.me.clone();
                let work = |there: Rc<Control>| async move { ask(&there, Asked::Leave(me)).await };
                control.ask(&leader, STEP, work).await
            }
            Err(failure) => Err(failure),
        };
        match left {
            Ok(()) => {
                trace(|| format!("{} has left", control.me));
                return;
            }
            Err(_) if Instant::now() >= end => return,
            Err(_) => sleep(backoff.next_delay()).await,
        }
    }
}

async fn limited(
    operation: impl Future<Output = Result<(), MembershipError>>,
) -> Result<(), Failure> {
    match timeout(STEP, operation).await {
        Ok(result) => result.map_err(Failure::from),
        Err(_) => Err(Failure::new(ErrorKind::TimedOut, "the members did not change in time")),
    }
}

fn not_leader() -> Failure {
    Failure::new(ErrorKind::Unavailable, "this control node is not the leader")
}
