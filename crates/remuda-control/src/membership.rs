//! The leader's care for the membership: who replicates, who votes, who owns workers.

pub(crate) mod core;

use std::time::Duration;

use remuda_link::Peer;
use remuda_model::{
    Chain, ErrorKind, Failure, Generation, Labels, LinkUrl, NodeId, Revision, Roles,
};
use remuda_runtime::Backoff;
use remuda_state::{Change, Command, NodeRecord};
use remuda_store::{Leadership, MembershipError};
use remuda_wire::message::control::{self, Enlist};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use self::core::{Known, Membership, Sight, Step};
use crate::{Control, control::seed, removal::removed};

/// How long a control node may be out of the leader's reach before it owns no workers, in longest
/// election times: five seconds on a local network.
const GRACE: u32 = 5;
/// How often the leader looks: so many times in a longest election time.
const LOOKS: u32 = 2;
/// How long one step may take.
const STEP: Duration = Duration::from_secs(10);
/// How many requests may wait for the leader.
pub(crate) const WAITING: usize = 16;
/// How long the membership loop may take to answer.
const ASKED: Duration = Duration::from_secs(30);
/// How long the leader may take to confirm that this copy of the state is complete.
const CONFIRM: Duration = Duration::from_secs(3);
/// How often it is asked.
const CONFIRM_AGAIN: Duration = Duration::from_secs(10);
/// Every entry of the log is news, and each look goes through all nodes: it is made so often at most.
const GATHER: Duration = Duration::from_millis(20);
/// How long a departure may take in all.
const LEAVE: Duration = Duration::from_secs(20);

/// Something that another control node asks of the leader.
#[derive(Debug)]
pub(crate) enum Asked {
    Enlist(Enlist),
    Leave(NodeId),
}

/// A request and where its answer goes.
pub(crate) type Request = (Asked, oneshot::Sender<Result<(), Failure>>);

impl Control {
    /// Runs for ever; does something only while this node leads.
    pub(crate) async fn keep_membership(self, mut requests: mpsc::Receiver<Request>) {
        let stop = self.shared.supervisor.token();
        let mut leadership = self.shared.replica.leadership();
        let mut peers_changed = self.shared.peers.watch();
        let started = Instant::now();
        let election = self.shared.timing.election_max;
        // A new term begins with a new core: what an earlier leader saw does not count.
        let mut term: Option<(u64, Membership)> = None;
        loop {
            let now = leadership.borrow_and_update().clone();
            if !now.is_leader {
                term = None;
            } else if term.as_ref().is_none_or(|(number, _)| *number != now.term) {
                tracing::info!(term = now.term, "this control node leads");
                term = Some((now.term, Membership::new(GRACE * election)));
            }
            if let Some((_, core)) = &mut term {
                let steps = core.look(started.elapsed(), &self.sight(&now));
                for step in steps {
                    if stop.is_cancelled() {
                        return;
                    }
                    self.take(step).await;
                }
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(GATHER) => (),
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some((asked, answer)) = requests.recv() => {
                    let result = match &mut term {
                        Some((_, core)) => self.answer(core, started.elapsed(), asked).await,
                        None => Err(not_leader()),
                    };
                    drop(answer.send(result));
                }
                changed = leadership.changed() => if changed.is_err() { return },
                _ = peers_changed.changed() => (),
                () = tokio::time::sleep(election / LOOKS) => (),
            }
        }
    }

    fn sight(&self, leadership: &Leadership) -> Sight {
        let state = self.shared.replica.state();
        let known =
            |node: &NodeRecord| Known { active: node.active, addresses: node.addresses.clone() };
        Sight {
            controls: state
                .nodes()
                .filter(|node| node.roles.is_control())
                .map(|node| (node.id.clone(), known(node)))
                .collect(),
            linked: self.shared.peers.linked(),
            voters: leadership.voters.clone(),
            learners: leadership.learners.clone(),
            level: state.cluster().map(|_| state.level()),
            spoken: self.spoken(),
        }
    }

    async fn take(&self, step: Step) {
        let replica = &self.shared.replica;
        tracing::info!(?step, "membership");
        let taken = match &step {
            Step::Deactivate(node) => {
                let change = Change::SetActive { node: node.clone(), active: false };
                self.propose(change, STEP).await.map(drop)
            }
            Step::AddLearner(node, addresses) => {
                limited(replica.add_learner(node, addresses.clone())).await
            }
            Step::SetVoters(voters) => limited(replica.set_voters(voters.clone())).await,
            Step::Remove(node) => limited(replica.remove(node)).await,
            Step::RaiseLevel(level) => {
                // By this replica only: another leader may see control nodes that speak less.
                let raise = Command::once(Change::RaiseLevel { level: *level });
                replica.propose(raise, STEP).await.map(drop).map_err(Failure::from)
            }
        };
        if let Err(failure) = taken {
            // It is seen and tried again with the next look.
            tracing::info!(?step, %failure, "membership step not taken yet");
        }
    }

    async fn answer(
        &self,
        core: &mut Membership,
        now: Duration,
        asked: Asked,
    ) -> Result<(), Failure> {
        match asked {
            Asked::Enlist(enlist) => {
                let node = enlist.node.clone();
                self.enlisted(enlist).await?;
                core.enlisted(&node);
                Ok(())
            }
            Asked::Leave(node) => {
                core.left(&node);
                // First without workers, then without vote. It gets the log until it has gone.
                let change = Change::SetActive { node: node.clone(), active: false };
                self.propose(change, STEP).await?;
                let leadership = self.shared.replica.leadership().borrow().clone();
                for step in core.look(now, &self.sight(&leadership)) {
                    if matches!(step, Step::SetVoters(_)) {
                        self.take(step).await;
                    }
                }
                let voters = self.shared.replica.leadership().borrow().voters.clone();
                if voters.contains(&node) {
                    let message = format!("control node `{node}` still votes");
                    return Err(Failure::new(ErrorKind::Unavailable, message).code("still_votes"));
                }
                Ok(())
            }
        }
    }

    /// Replicates to a control node, then lets it own workers; its vote comes by itself.
    async fn enlisted(&self, enlist: Enlist) -> Result<(), Failure> {
        let Enlist { node, addresses } = enlist;
        if self.shared.replica.state().is_removed(&node) {
            return Err(removed(&node));
        }
        let leadership = self.shared.replica.leadership().borrow().clone();
        let replicates = leadership.voters.contains(&node) || leadership.learners.contains(&node);
        let moved = leadership.addresses.get(&node) != Some(&addresses);
        if !replicates || (moved && node != self.shared.me) {
            limited(self.shared.replica.add_learner(&node, addresses.clone())).await?;
        }
        let record = {
            let state = self.shared.replica.state();
            match state.node(&node) {
                Some(record) => NodeRecord { roles: Roles::CONTROL, addresses, ..record.clone() },
                None => new_record(node.clone(), addresses),
            }
        };
        self.propose(Change::PutNode(record), STEP).await?;
        self.propose(Change::SetActive { node, active: true }, STEP).await?;
        Ok(())
    }

    /// Asks the membership loop of this node.
    pub(crate) async fn ask_membership(&self, asked: Asked) -> Result<(), Failure> {
        let (answer, answered) = oneshot::channel();
        let stopped = || Failure::new(ErrorKind::Unavailable, "this control node shuts down");
        if self.shared.membership.try_send((asked, answer)).is_err() {
            return Err(Failure::new(ErrorKind::Unavailable, "too many control nodes at a time")
                .code("busy"));
        }
        match tokio::time::timeout(ASKED, answered).await {
            Ok(answer) => answer.unwrap_or_else(|_dropped| Err(stopped())),
            Err(_elapsed) => Err(Failure::new(ErrorKind::TimedOut, "the leader is busy")),
        }
    }

    /// Keeps this control node enlisted: asks the leader whenever the cluster does not have it as
    /// an active control node, until it leaves.
    pub(crate) async fn keep_enlisted(self) {
        let stop = self.shared.supervisor.token();
        let leaving = self.shared.leaving.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => (),
            () = leaving.cancelled() => (),
            () = self.enlist_again_and_again() => (),
        }
    }

    async fn enlist_again_and_again(&self) {
        let mut states = self.shared.replica.watch_state();
        let cap = Duration::from_secs(5);
        let mut backoff = Backoff::new(Duration::from_millis(100), cap, seed());
        let mut confirmed_until = Instant::now();
        loop {
            states.mark_unchanged();
            if self.is_listed() && Instant::now() >= confirmed_until {
                // A copy that gets no more entries does not know that the node was given up.
                let confirmed = self.catch_up(CONFIRM).await.is_ok();
                if confirmed && self.is_listed() {
                    confirmed_until = Instant::now() + CONFIRM_AGAIN;
                }
            }
            if self.is_listed() && Instant::now() < confirmed_until {
                backoff.reset();
                tokio::select! {
                    changed = states.changed() => if changed.is_err() { return },
                    () = tokio::time::sleep_until(confirmed_until) => (),
                }
                continue;
            }
            match self.enlist_once().await {
                Ok(()) => tracing::info!("enlisted as a control node"),
                Err(failure) => tracing::debug!(%failure, "not enlisted yet"),
            }
            tokio::time::sleep(backoff.next_delay().max(Duration::from_millis(50))).await;
        }
    }

    /// Whether the state, as far as it has come here, has this node as an active control node that
    /// others can dial. Changed addresses are announced by the worker part.
    fn is_listed(&self) -> bool {
        let hidden =
            |addresses: &[LinkUrl]| addresses.is_empty() && !self.shared.addresses().is_empty();
        let state = self.shared.replica.state();
        state.node(&self.shared.me).is_some_and(|node| node.active && !hidden(&node.addresses))
    }

    pub(crate) async fn enlist_once(&self) -> Result<(), Failure> {
        let enlist = Enlist { node: self.shared.me.clone(), addresses: self.shared.addresses() };
        if let Ok(None) = self.leader_elsewhere() {
            return self.ask_membership(Asked::Enlist(enlist)).await;
        }
        // Whoever is linked knows the leader, or is it.
        let mut last = no_control();
        for control in self.shared.peers.linked() {
            if control == self.shared.me {
                continue;
            }
            let call = control::Call::Enlist(Box::new(enlist.clone()));
            match self.call_control(&control, &call, 2 * STEP).await {
                Ok(_) => return Ok(()),
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    /// Answers a control node that offers itself, here or by way of the leader.
    pub(crate) async fn pass_enlist(&self, from: &Peer, enlist: Enlist) -> Result<(), Failure> {
        let itself = from.node == enlist.node;
        if itself {
            // This node may be behind and not know yet that the other was removed.
            self.catch_up(CONFIRM).await?;
            if self.shared.replica.state().is_removed(&from.node) {
                return Err(removed(&from.node));
            }
        }
        match self.leader_elsewhere()? {
            None => self.ask_membership(Asked::Enlist(enlist)).await,
            // Passed on once only: the leader may have changed meanwhile.
            Some(leader) if itself && leader != from.node => {
                let call = control::Call::Enlist(Box::new(enlist));
                self.call_control(&leader, &call, 2 * STEP).await.map(drop)
            }
            Some(_) => Err(not_leader()),
        }
    }

    /// Takes this control node out of the cluster in good order: workers and vote go to others,
    /// then nothing is left to do but to stop. Without another control node nothing happens. When
    /// the others do not take over within 20 s, stopping is like a crash, which they survive.
    pub async fn leave(&self) {
        if let Err(failure) = self.try_leave().await {
            tracing::warn!(%failure, "left the cluster without handing over");
        }
    }

    async fn try_leave(&self) -> Result<(), Failure> {
        let others = self.shared.replica.state().controls();
        if others.iter().all(|control| *control == self.shared.me) {
            return Ok(());
        }
        self.shared.leaving.cancel();
        let end = Instant::now() + LEAVE;
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1), seed());
        loop {
            let left = match self.leader_elsewhere() {
                Ok(None) => {
                    self.shared.replica.hand_over(STEP / 2).await;
                    Err(not_leader())
                }
                Ok(Some(leader)) => {
                    self.call_control(&leader, &control::Call::Leave, STEP).await.map(drop)
                }
                Err(failure) => Err(failure),
            };
            match left {
                Ok(()) => break,
                Err(failure) if Instant::now() >= end => return Err(failure),
                Err(_) => tokio::time::sleep(backoff.next_delay()).await,
            }
        }
        // Its workers are told where to go; they need a moment.
        while Instant::now() < end && self.has_live_workers() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    fn has_live_workers(&self) -> bool {
        self.shared.proxies.all().iter().any(|(_, proxy)| proxy.live().is_some())
    }
}

/// One operation of the replica with a deadline.
async fn limited(
    operation: impl Future<Output = Result<(), MembershipError>>,
) -> Result<(), Failure> {
    match tokio::time::timeout(STEP, operation).await {
        Ok(result) => result.map_err(|error| {
            tracing::debug!(error = %Chain(&error), "membership operation failed");
            Failure::from(error)
        }),
        Err(_elapsed) => {
            Err(Failure::new(ErrorKind::TimedOut, "the members did not change in time"))
        }
    }
}

/// A control node of which nothing is known yet but its name; its worker part says the rest.
pub(crate) fn new_record(id: NodeId, addresses: Vec<LinkUrl>) -> NodeRecord {
    NodeRecord {
        id,
        roles: Roles::CONTROL,
        generation: Generation(0),
        version: String::new(),
        addresses,
        labels: Labels::default(),
        attributes: std::collections::BTreeMap::new(),
        active: false,
        created: Revision(0),
        modified: Revision(0),
    }
}

fn not_leader() -> Failure {
    Failure::new(ErrorKind::Unavailable, "this control node is not the leader").code("not_leader")
}

fn no_control() -> Failure {
    Failure::new(ErrorKind::Unavailable, "no other control node is linked").code("no_control")
}
