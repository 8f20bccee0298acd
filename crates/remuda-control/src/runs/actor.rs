//! Carries one run out: gives its targets to workers, keeps their records.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use remuda_model::{
    ErrorKind, Failure, NodeId, NodeStatus, NodeView,
    run::{Outcome, Record, RunState, RunView, Secrets, Slow, Trouble, TroubleKind, WorkerShare},
};
use remuda_run::{HandOut, Summary, Target};
use remuda_runtime::{CancellationToken, Ended, blocking, wall_ms};
use remuda_wire::message::run::{FromWorker, Given, Open, Share, ToWorker};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{MissedTickBehavior, interval},
};

use super::{
    dir::{RunDir, Saved},
    parts::Parts,
    records::RecordsWriter,
    second::Second,
    share::{self, Heard, Teller},
    sites,
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
/// When writing is tried again after the disk was full.
const DISK_AGAIN: Duration = Duration::from_secs(2);
/// Orders on their way to a worker, and messages on their way from all of them.
const ORDERS: usize = 64;
const HEARD: usize = 64;
/// The most targets of one message, and the bytes after which it is sent.
const TARGETS: usize = 1024;
const TARGET_BYTES: usize = 256 << 10;
/// One worker for so many targets, at most so many altogether.
const TARGETS_PER_WORKER: u32 = 64;
const MAX_WORKERS: u32 = 256;
/// How many targets are given up at a time when the run is cancelled.
const CANCELLED_AT_A_TIME: usize = 4096;

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

/// Targets that are noted as given to a worker.
struct Noted {
    node: NodeId,
    indices: Vec<u32>,
    /// They may be sent when so many bytes of notes count.
    needs: u64,
}

/// Who has the file.
enum Disk {
    Idle(RecordsWriter),
    Busy(BoxFuture<'static, Result<Written, Ended>>),
    /// Only while it changes hands.
    Nobody,
}

/// What came of writing.
struct Written {
    writer: RecordsWriter,
    result: std::io::Result<()>,
    /// What was not written.
    back: Vec<Record>,
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
            told,
            ready,
            heard,
            waiting: Vec::new(),
            waiting_bytes: 0,
            disk: Disk::Idle(writer),
            is_synced: true,
            second,
            noted: VecDeque::new(),
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
        self.save().await?;
        self.publish();
        if self.second.all_counts(CONFIRM).await {
            return Ok(());
        }
        let text = "it is so at this control node, but the one with the second copy is silent";
        Err(Failure::new(ErrorKind::OutcomeUnknown, text).code("second_copy_silent"))
    }

    /// Keeps where the run stands.
    async fn save(&mut self) -> Result<(), Failure> {
        self.save_as(self.saved.clone()).await
    }

    async fn save_as(&mut self, saved: Saved) -> Result<(), Failure> {
        let dir = self.dir.clone();
        let done = blocking(move || dir.save(&saved)).await;
        done.map_err(|error| Failure::internal(&error))?
            .map_err(|error| super::disk_failure(&error))?;
        self.second.has(|here| here.saves += 1);
        Ok(())
    }

    /// What has no record gets one that says why.
    fn give_up(&mut self, why: TroubleKind) {
        if self.saved.given_up.is_none() {
            self.saved.given_up = Some(why);
            self.parts.clear();
            self.noted.clear();
        }
    }

    fn give_up_some(&mut self) {
        let Some(why) = self.saved.given_up else { return };
        if self.waiting_bytes >= MAX_WAITING {
            return;
        }
        let text = match why {
            TroubleKind::Deadline => "the deadline of the run passed before there was an answer",
            _ => "the run was cancelled before there was an answer",
        };
        let open: Vec<u32> = self.hand_out.open().take(CANCELLED_AT_A_TIME).collect();
        for index in open {
            self.hand_out.settle(index);
            self.keep(Record::without_answer(index, Outcome::Cancelled, Trouble::new(why, text)));
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
            Heard::Said(FromWorker::Finished) => self.part_with(node, false),
            Heard::Said(FromWorker::Failed(failure)) | Heard::Gone(failure) => {
                tracing::info!(run = %self.saved.id, %node, %failure, "a worker leaves a run");
                self.part_with(node, true);
            }
        }
    }

    /// What a worker still has goes to others, or is given up.
    fn part_with(&mut self, node: &NodeId, failed: bool) {
        self.parts.remove(node, failed);
        // What it did not get, it cannot have contacted.
        for noted in self.noted.iter().filter(|noted| noted.node == *node) {
            self.hand_out.take_back(node, &noted.indices);
        }
        self.noted.retain(|noted| noted.node != *node);
        let left = self.hand_out.lose(node);
        for index in left.unknown {
            let text = format!("node `{node}` was lost while it had this target");
            let trouble = Trouble::new(TroubleKind::WorkerLost, text);
            let mut record = Record::without_answer(index, Outcome::Unknown, trouble);
            record.worker = Some(node.clone());
            self.keep(record);
        }
        self.divide();
    }

    fn keep(&mut self, record: Record) {
        self.summary.add(&record);
        self.waiting_bytes += 128 + record.body.len() + record.stderr.len();
        self.waiting.push(record);
    }

    /// Gives a worker what it takes.
    async fn give(&mut self, node: &NodeId) {
        let is_held = self.saved.state == RunState::Paused || self.full.is_some();
        if is_held || self.saved.given_up.is_some() {
            return;
        }
        let Some(part) = self.parts.get(node) else { return };
        if part.retired {
            return;
        }
        let indices = self.hand_out.give(node);
        if indices.is_empty() {
            return;
        }
        if self.saved.spec.at_most_once {
            let (dir, noted) = (self.dir.clone(), indices.clone());
            match blocking(move || dir.note_given(&noted)).await {
                Ok(Ok(length)) => {
                    self.second.has(|here| here.given = length);
                    self.noted.push_back(Noted { node: node.clone(), indices, needs: length });
                    self.send_noted();
                }
                failed => {
                    if let Ok(Err(error)) = failed {
                        self.disk_is_full(error.to_string());
                    }
                    self.give_back(node, &indices);
                }
            }
            return;
        }
        self.send(node, &indices);
    }

    /// Sends what is noted in both copies.
    fn send_noted(&mut self) {
        while let Some(noted) = self.noted.pop_front_if(|noted| noted.needs <= self.second.given())
        {
            self.send(&noted.node, &noted.indices);
        }
    }

    fn send(&mut self, node: &NodeId, indices: &[u32]) {
        let Some(part) = self.parts.get(node) else { return };
        let to = part.to.clone();
        if self.saved.started_ms.is_none() {
            self.saved.started_ms = Some(wall_ms());
        }
        let mut rest = indices;
        while !rest.is_empty() {
            let (given, count) = self.message(rest);
            if to.try_send(ToWorker::Targets(given)).is_err() {
                // It is slow to take orders, or lost; nothing of these was sent.
                self.give_back(node, rest);
                return;
            }
            rest = &rest[count..];
        }
    }

    /// What a worker did not get is given again, to it or to others.
    fn give_back(&mut self, node: &NodeId, indices: &[u32]) {
        self.hand_out.take_back(node, indices);
        self.hand_out.want(node, u32::try_from(indices.len()).unwrap_or(u32::MAX));
    }

    /// As many targets as go into one message.
    fn message(&self, indices: &[u32]) -> (Vec<Given>, usize) {
        let sites = u32::try_from(self.saved.sites.len()).unwrap_or(1).max(1);
        let (mut given, mut bytes) = (Vec::new(), 0);
        for index in indices.iter().take(TARGETS) {
            let Some(target) = self.targets.get((index / sites) as usize) else { break };
            let mut vars: Vec<(String, String)> = target
                .vars
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect();
            if let Some(site) = self
                .saved
                .spec
                .from_each
                .as_ref()
                .and(self.saved.sites.get((index % sites) as usize))
            {
                vars.push(("site".to_owned(), site.clone()));
            }
            let own: usize = vars.iter().map(|(name, value)| name.len() + value.len()).sum();
            bytes += target.host.len() + own + 8;
            given.push(Given { index: *index, host: target.host.to_string(), vars });
            if bytes >= TARGET_BYTES {
                break;
            }
        }
        let count = given.len();
        (given, count)
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

    /// Has more workers take part, as long as there is enough to do, and no more those that are not
    /// ready any more.
    fn recruit(&mut self) {
        let ready = self.ready.borrow_and_update().clone();
        for (node, part) in self.parts.all() {
            part.retired = !ready.iter().any(|view| view.id == *node);
        }
        let spec = &self.saved.spec;
        let sites = u32::try_from(self.saved.sites.len()).unwrap_or(1).max(1);
        let enough = (self.hand_out.left() / sites).div_ceil(TARGETS_PER_WORKER).min(MAX_WORKERS);
        let enough = enough.min(spec.limits.concurrency.unwrap_or(u32::MAX)).max(1);
        let mut asked = Vec::new();
        for (site, name) in (0_u32..).zip(&self.saved.sites) {
            let missing = (enough as usize).saturating_sub(self.parts.count(site));
            if missing == 0 {
                continue;
            }
            let mut able: Vec<&NodeView> = ready
                .iter()
                .filter(|view| sites::meets(spec, view) && sites::is_at(spec, view, name))
                .filter(|view| self.parts.may_ask(&view.id))
                .collect();
            fastrand::shuffle(&mut able);
            asked.extend(able.into_iter().take(missing).map(|view| (view.id.clone(), site)));
        }
        for (node, site) in asked {
            self.ask(&node, site);
        }
        self.divide();
    }

    fn ask(&mut self, node: &NodeId, site: u32) {
        let number = self.parts.next_number();
        let (to, orders) = mpsc::channel(ORDERS);
        let hold = self.saved.state == RunState::Paused;
        self.parts.add(node, (site, number, hold), to);
        self.hand_out.join(node.clone(), site);
        let open = Open {
            epoch: self.control.shared.replica.state().epoch(),
            run: self.saved.id.clone(),
            spec: self.spec.clone(),
            secrets: self.secrets.clone(),
            // Until the width is divided anew, which follows at once.
            share: Share { concurrency: 0, rate_milli: None },
            hold,
        };
        let teller = Teller { node: node.clone(), number, to: self.heard.clone() };
        let kept = share::keep(self.control.clone(), open, orders, teller);
        self.control.shared.supervisor.spawn("share of a run", kept);
    }

    /// Says to workers whether to begin with more. One whose queue is full hears it at the next
    /// look.
    fn tell_hold(&mut self) {
        let hold = self.saved.state == RunState::Paused;
        for (_, part) in self.parts.all() {
            if part.hold != hold && part.to.try_send(ToWorker::Hold(hold)).is_ok() {
                part.hold = hold;
            }
        }
    }

    fn divide(&mut self) {
        for (part, share) in self.parts.divide(&self.saved.spec.limits) {
            if part.share != Some(share) && part.to.try_send(ToWorker::Share(share)).is_ok() {
                part.share = Some(share);
            }
        }
    }

    /// Writes what waits, unless that is under way. It survives a loss of power before anybody sees
    /// it.
    fn write(&mut self, now: bool) {
        if self.full.is_some() || !now || (self.waiting.is_empty() && self.is_synced) {
            return;
        }
        let mut writer = match std::mem::replace(&mut self.disk, Disk::Nobody) {
            Disk::Idle(writer) => writer,
            busy => {
                self.disk = busy;
                return;
            }
        };
        let records = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        self.is_synced = false;
        self.disk = Disk::Busy(Box::pin(blocking(move || {
            let appended = if records.is_empty() { Ok(()) } else { writer.append(&records) };
            let back = if appended.is_err() { records } else { Vec::new() };
            let result = appended.and_then(|()| writer.sync());
            Written { writer, result, back }
        })));
    }

    fn wrote(&mut self, written: Written) {
        let Written { writer, result, mut back } = written;
        match result {
            Ok(()) => {
                self.is_synced = true;
                self.second.has(|here| here.records = writer.length());
            }
            Err(error) => self.disk_is_full(error.to_string()),
        }
        self.disk = Disk::Idle(writer);
        if !back.is_empty() {
            self.waiting_bytes += back
                .iter()
                .map(|record| 128 + record.body.len() + record.stderr.len())
                .sum::<usize>();
            back.append(&mut self.waiting);
            self.waiting = back;
        }
    }

    /// Shows the records that are in both copies.
    fn show_records(&mut self) {
        let counts = self.second.records();
        self.told.length.send_if_modified(|length| {
            let more = counts > *length;
            *length = counts.max(*length);
            more
        });
    }

    fn disk_is_full(&mut self, error: String) {
        tracing::warn!(run = %self.saved.id, error, "cannot keep the records of a run");
        self.full = Some((error, Instant::now() + DISK_AGAIN));
    }

    /// Ends the run. Returns whether that is kept.
    async fn end(&mut self) -> bool {
        if self.ended.is_none() && !self.keep_end().await {
            return false;
        }
        // Not before the second copy is whole too.
        if !self.second.has_all() {
            return false;
        }
        let Some(saved) = self.ended.take() else { return false };
        self.saved = saved;
        let dir = self.dir.clone();
        if let Ok(Err(error)) = blocking(move || dir.tidy()).await {
            tracing::warn!(run = %self.saved.id, %error, "the secrets of a run stay until it is removed");
        }
        self.publish();
        true
    }

    /// Writes down that the run has ended. Returns whether that was possible.
    async fn keep_end(&mut self) -> bool {
        if self.full.is_some() {
            return false;
        }
        let Disk::Idle(writer) = &mut self.disk else { return false };
        let synced = writer.sync().map_err(|error| super::disk_failure(&error));
        let length = writer.length();
        if synced.is_ok() {
            self.second.has(|here| here.records = length);
        }
        self.parts.clear();
        let is_cancelled = self.saved.given_up.is_some();
        let saved = Saved {
            state: if is_cancelled { RunState::Cancelled } else { RunState::Finished },
            ended_ms: Some(wall_ms()),
            summary: Some(self.summary.clone()),
            slowest: self.slowest(),
            ..self.saved.clone()
        };
        let kept = match synced {
            Ok(()) => self.save_as(saved.clone()).await,
            failed => failed,
        };
        match kept {
            Ok(()) => {
                self.ended = Some(saved);
                true
            }
            Err(failure) => {
                self.disk_is_full(failure.to_string());
                false
            }
        }
    }

    /// Keeps what came, for the next start.
    async fn leave(&mut self) {
        self.parts.clear();
        if let Some(written) = unfinished(&mut self.disk).await {
            self.wrote(written);
        }
        self.full = None;
        self.write(true);
        if let Some(written) = unfinished(&mut self.disk).await {
            self.wrote(written);
        }
        if let Err(failure) = self.save().await {
            tracing::warn!(run = %self.saved.id, %failure, "where a run stands is not kept");
        }
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
            } else if self.parts.is_empty() && self.saved.state == RunState::Running {
                view.state = RunState::Waiting;
                view.reason = Some(match &self.saved.spec.on {
                    Some(on) => format!("no ready worker that can be reached meets `{on}`"),
                    None => "no ready worker can be reached".to_owned(),
                });
            }
        }
        self.told.view.send_replace(Arc::new(view));
    }
}

/// Waits for what is being written; for ever when nothing is.
async fn written(disk: &mut Disk) -> Option<Written> {
    match disk {
        Disk::Busy(handle) => handle.await.ok(),
        Disk::Idle(_) | Disk::Nobody => std::future::pending().await,
    }
}

/// Waits for what is being written, if anything is.
async fn unfinished(disk: &mut Disk) -> Option<Written> {
    match disk {
        Disk::Busy(handle) => handle.await.ok(),
        Disk::Idle(_) | Disk::Nobody => None,
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
