//! Carries one run out: gives its targets to workers, keeps their records.

mod giving;
mod keeping;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use remuda_model::{
    ErrorKind, Failure, NodeId, NodeStatus, NodeView,
    run::{Outcome, Record, RunState, RunView, Secrets, Slow, Trouble, TroubleKind, WorkerShare},
};
use remuda_run::{HandOut, Summary, Target};
use remuda_runtime::{CancellationToken, wall_ms};
use remuda_wire::message::run::FromWorker;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{MissedTickBehavior, interval},
};

use self::{
    giving::Noted,
    keeping::{Disk, written},
};
use super::{
    MAX_UNDER_WAY,
    dir::{RunDir, Saved},
    line::Turn,
    parts::Parts,
    records::RecordsWriter,
    second::Second,
    share::Heard,
};
use crate::Control;

/// How often the run is looked at and its view renewed.
const TICK: Duration = Duration::from_millis(200);
/// Records that wait for the disk, in bytes, before workers have to wait too.
const MAX_WAITING: usize = 16 << 20;
/// Records are written when so many bytes wait, or at the next look.
const BLOCK: usize = 256 << 10;
/// How long the second copy may take to have what is to be told.
const CONFIRM: Duration = Duration::from_secs(5);
/// Messages on their way from all workers.
const HEARD: usize = 64;
/// How many targets are given up at a time when the run is cancelled.
const CANCELLED_AT_A_TIME: usize = 4096;

/// Why a run is given up that all workers refuse.
const REFUSED: TroubleKind = TroubleKind::Internal;

/// What people may do to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunChange {
    /// Begin no more targets.
    Pause,
    /// Go on.
    Resume,
    /// Give up what has no record.
    Cancel,
}

/// An order for the actor.
pub(super) type Order = (RunChange, oneshot::Sender<Result<(), Failure>>);

/// What the actor says of the run to everybody.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) view: watch::Sender<Arc<RunView>>,
    /// How many bytes of records may be read.
    pub(super) length: watch::Sender<u64>,
    /// Whether the above is as it was when this node stopped last.
    pub(super) up: watch::Sender<bool>,
}

impl Told {
    /// Says why the run is not carried out now.
    pub(super) fn holds(&self, state: RunState, reason: String) {
        self.view.send_modify(|view| {
            let view = Arc::make_mut(view);
            (view.state, view.reason) = (state, Some(reason));
        });
    }
}

/// What a run needs to be carried out.
pub(super) struct Setup {
    pub(super) control: Control,
    pub(super) dir: RunDir,
    pub(super) saved: Saved,
    pub(super) targets: Arc<Vec<Target>>,
    pub(super) secrets: Secrets,
    pub(super) hand_out: HandOut,
    pub(super) summary: Summary,
    pub(super) writer: RecordsWriter,
    pub(super) second: Second,
    pub(super) turn: Turn,
    pub(super) told: Arc<Told>,
    pub(super) ready: watch::Receiver<Arc<Vec<NodeView>>>,
}

/// The actor of a run.
pub(super) struct Actor {
    control: Control,
    dir: RunDir,
    saved: Saved,
    targets: Arc<Vec<Target>>,
    spec: Vec<u8>,
    secrets: Vec<u8>,
    hand_out: HandOut,
    summary: Summary,
    parts: Parts,
    turn: Turn,
    told: Arc<Told>,
    ready: watch::Receiver<Arc<Vec<NodeView>>>,
    heard: mpsc::Sender<(NodeId, u64, Heard)>,
    /// Records that are not written yet.
    waiting: Vec<Record>,
    waiting_bytes: usize,
    disk: Disk,
    /// Whether what was written survives a loss of power.
    is_synced: bool,
    second: Second,
    /// With `at_most_once`: what is noted as given, and goes to workers when that counts.
    noted: VecDeque<Noted>,
    /// What a worker says when all of them refuse the run.
    refused: Option<String>,
    /// How the run has ended, once that is on this node's disk.
    ended: Option<Saved>,
    /// Why the disk takes nothing, and when it is tried again.
    full: Option<(String, Instant)>,
    recent: VecDeque<(Instant, u32)>,
}

/// Why the actor stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// Every target has its record.
    Ended,
    /// Another control node carries the run out.
    Displaced,
    /// The node shuts down; its next start goes on.
    ShuttingDown,
    /// Records may be lost in memory; what is on disk is to be read again.
    Broken,
}

impl Actor {
    pub(super) fn new(setup: Setup) -> (Self, mpsc::Receiver<(NodeId, u64, Heard)>) {
        let Setup {
            control,
            dir,
            saved,
            targets,
            secrets,
            hand_out,
            summary,
            writer,
            second,
            turn,
            told,
            ready,
        } = setup;
        let (heard, hears) = mpsc::channel(HEARD);
        let spec = serde_json::to_vec(&saved.spec).expect("a spec is plain data");
        let secrets = serde_json::to_vec(&secrets).expect("secrets are plain data");
        let actor = Self {
            control,
            dir,
            saved,
            targets,
            spec,
            secrets,
            hand_out,
            summary,
            parts: Parts::default(),
            turn,
            told,
            ready,
            heard,
            waiting: Vec::new(),
            waiting_bytes: 0,
            disk: Disk::Idle(writer),
            is_synced: true,
            second,
            noted: VecDeque::new(),
            refused: None,
            ended: None,
            full: None,
            recent: VecDeque::new(),
        };
        (actor, hears)
    }

    /// Runs until every target has its record on disk, or something ends it earlier.
    pub(super) async fn run(
        mut self,
        mut hears: mpsc::Receiver<(NodeId, u64, Heard)>,
        orders: &mut mpsc::Receiver<Order>,
        stop: &CancellationToken,
    ) -> Stopped {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    self.leave().await;
                    return Stopped::ShuttingDown;
                }
                Some((change, reply)) = orders.recv() => {
                    let changed = self.change(change).await;
                    // Whoever asked may be gone.
                    drop(reply.send(changed));
                }
                written = written(&mut self.disk) => match written {
                    Some(written) => self.wrote(written),
                    None => return Stopped::Broken,
                },
                Some((node, number, heard)) = hears.recv(), if self.waiting_bytes < MAX_WAITING => {
                    self.hear(&node, number, heard).await;
                }
                () = self.second.changed() => {}
                _ = tick.tick() => self.look().await,
            }
            if self.second.is_displaced() {
                self.parts.clear();
                return Stopped::Displaced;
            }
            self.show_records();
            self.send_noted();
            self.give_up_some();
            self.write(self.waiting_bytes >= BLOCK || self.hand_out.left() == 0);
            if self.hand_out.left() == 0 && self.waiting.is_empty() && self.end().await {
                return Stopped::Ended;
            }
        }
    }

    async fn change(&mut self, change: RunChange) -> Result<(), Failure> {
        if self.ended.is_some() {
            let text = format!("run `{}` has ended", self.saved.id);
            return Err(Failure::new(ErrorKind::Conflict, text).code("run_ended"));
        }
        match (change, self.saved.state) {
            (RunChange::Cancel, _) => self.give_up(TroubleKind::Cancelled),
            (RunChange::Pause, _) => self.saved.state = RunState::Paused,
            (RunChange::Resume, RunState::Paused) => self.saved.state = RunState::Running,
            (RunChange::Resume, _) => return Ok(()),
        }
        self.tell_hold();
        match self.save().await {
            Err(failure) if change == RunChange::Cancel => self.note_cancelled(failure).await?,
            saved => saved?,
        }
        self.publish();
        if self.second.all_counts(CONFIRM).await {
            return Ok(());
        }
        let text = "it is so at this control node, but the one with the second copy is silent";
        Err(Failure::new(ErrorKind::OutcomeUnknown, text).code("second_copy_silent"))
    }

    /// What has no record gets one that says why.
    fn give_up(&mut self, why: TroubleKind) {
        if self.saved.given_up.is_none() {
            self.saved.given_up = Some(why);
            self.parts.clear();
            self.noted.clear();
            self.turn.leave();
        }
    }

    fn give_up_some(&mut self) {
        let Some(why) = self.saved.given_up else { return };
        if self.waiting_bytes >= MAX_WAITING {
            return;
        }
        let (outcome, text) = match (why, &self.refused) {
            (REFUSED, Some(said)) => (Outcome::Failed, said.clone()),
            (REFUSED, None) => (Outcome::Failed, "all workers refuse the run".to_owned()),
            (TroubleKind::Deadline, _) => {
                let text = "the deadline of the run passed before there was an answer";
                (Outcome::Cancelled, text.to_owned())
            }
            _ => {
                let text = "the run was cancelled before there was an answer";
                (Outcome::Cancelled, text.to_owned())
            }
        };
        let open: Vec<u32> = self.hand_out.open().take(CANCELLED_AT_A_TIME).collect();
        for index in open {
            self.hand_out.settle(index);
            self.keep(Record::without_answer(index, outcome, Trouble::new(why, text.clone())));
        }
    }

    async fn hear(&mut self, node: &NodeId, number: u64, heard: Heard) {
        if self.parts.get(node).is_none_or(|part| part.number != number) {
            return;
        }
        match heard {
            Heard::Said(FromWorker::Welcome { .. }) => self.parts.pace(node, 0, 0),
            Heard::Said(FromWorker::Want(more)) => {
                self.hand_out.want(node, more);
                self.give(node).await;
            }
            Heard::Said(FromWorker::Records(records)) => {
                let mut brought = 0;
                for mut record in records {
                    if self.hand_out.record(node, record.index) {
                        record.worker = Some(node.clone());
                        self.keep(record);
                        brought += 1;
                    }
                }
                self.parts.brought(node, brought);
                self.give(node).await;
            }
            Heard::Said(FromWorker::Pace { window, in_flight }) => {
                self.parts.pace(node, window, in_flight);
            }
            Heard::Said(FromWorker::Finished) => self.part_with(node, None),
            Heard::Said(FromWorker::Failed(failure)) | Heard::Gone(failure) => {
                tracing::info!(run = %self.saved.id, %node, %failure, "a worker leaves a run");
                self.part_with(node, Some(failure));
            }
        }
    }

    /// Looks at what time brings.
    async fn look(&mut self) {
        let deadline = self.saved.spec.limits.deadline_ms;
        // A run that finds no worker shall not wait for ever either.
        let since = self.saved.started_ms.unwrap_or(self.saved.created_ms);
        if deadline.is_some_and(|limit| wall_ms().saturating_sub(since) > limit) {
            self.give_up(TroubleKind::Deadline);
        }
        if self.full.as_ref().is_some_and(|(_, again)| *again <= Instant::now()) {
            self.full = None;
        }
        if self.saved.given_up.is_none() && self.ended.is_none() {
            self.refused = self.refusal();
            if self.refused.is_some() {
                self.give_up(REFUSED);
            }
        }
        if self.saved.given_up.is_none() && self.ended.is_none() {
            self.recruit();
            self.tell_hold();
            let nodes: Vec<NodeId> = self.parts.all().map(|(node, _)| node.clone()).collect();
            for node in nodes {
                self.give(&node).await;
            }
        }
        self.write(true);
        self.publish();
    }

    /// The targets that took longest, by name.
    fn slowest(&self) -> Vec<Slow> {
        let sites = self.saved.sites.len().max(1);
        let host = |index: u32| Some(self.targets.get(index as usize / sites)?.host.to_string());
        let slowest = self.summary.slowest.iter();
        let named = slowest.filter_map(|slow| {
            Some(Slow { host: host(slow.index)?, duration_us: slow.duration_us })
        });
        named.collect()
    }

    /// Renews what everybody sees.
    pub(super) fn publish(&mut self) {
        self.show_records();
        let done = self.hand_out.total() - self.hand_out.left();
        let now = Instant::now();
        self.recent.push_back((now, done));
        while self.recent.len() > 25 {
            self.recent.pop_front();
        }
        let mut view = view_of(&self.saved, &self.control.shared.me, &self.summary);
        view.done = done;
        view.workers = self.parts.shown().clone();
        view.in_flight = view.workers.values().map(|share| share.in_flight).sum();
        view.slowest = self.slowest();
        if !self.saved.state.has_ended() {
            view.rate = match self.recent.front() {
                Some((at, before)) if now > *at => {
                    f64::from(done - before) / (now - *at).as_secs_f64()
                }
                _ => 0.0,
            };
            if self.ended.is_some() {
                view.reason = Some("its end waits for the second copy".to_owned());
            } else if let Some((error, _)) = &self.full {
                view.state = RunState::Paused;
                view.reason = Some(format!("cannot write its results: {error}"));
            } else if let Some(before) = self.turn.before() {
                view.state = RunState::Waiting;
                view.reason = Some(format!(
                    "{MAX_UNDER_WAY} runs are under way here; {before} more are before it"
                ));
            } else if self.parts.is_empty() && self.saved.state == RunState::Running {
                view.state = RunState::Waiting;
                let lapse = self.lapses().into_iter().find_map(|(node, why)| Some((node, why?)));
                view.reason = Some(match (lapse, &self.saved.spec.on) {
                    (Some((node, why)), _) => {
                        format!("node `{node}` does not take part: {}", why.message)
                    }
                    (None, Some(on)) => format!("no ready worker that can be reached meets `{on}`"),
                    (None, None) => "no ready worker can be reached".to_owned(),
                });
            }
        }
        self.told.view.send_replace(Arc::new(view));
    }
}

/// How a run stands, as far as its records tell.
pub(super) fn view_of(saved: &Saved, me: &NodeId, summary: &Summary) -> RunView {
    let elapsed = saved.ended_ms.zip(saved.started_ms);
    let done = summary.done();
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let rate = elapsed.map_or(0.0, |(end, start)| {
        f64::from(done) * 1000.0 / (end.saturating_sub(start).max(1)) as f64
    });
    let workers = summary
        .workers
        .iter()
        .map(|(node, done)| (node.clone(), WorkerShare { done: *done, ..WorkerShare::default() }));
    RunView {
        id: saved.id.clone(),
        spec: saved.spec.clone(),
        coordinator: me.clone(),
        state: saved.state,
        reason: None,
        standby: None,
        targets: saved.targets,
        done,
        counts: summary.counts.clone(),
        in_flight: 0,
        created_ms: saved.created_ms,
        started_ms: saved.started_ms,
        ended_ms: saved.ended_ms,
        rate,
        latency_us: summary.latency_us(),
        slowest: saved.slowest.clone(),
        workers: workers.collect(),
    }
}

/// The nodes that may be asked to take part.
pub(super) fn is_ready(view: &NodeView) -> bool {
    view.status == NodeStatus::Ready
}
