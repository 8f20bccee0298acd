//! Fan-out runs: created at any control node, which coordinates them, and read from every one.
//!
//! The coordinator keeps what it needs in a directory of its own (`dir`), so that a run goes on
//! after a restart: targets without a record are contacted then, or with `at_most_once` end as
//! `unknown` if they may have been. Results never enter the Raft log.
//!
//! Where there is another control node, that has a second copy (`second`, `standby`) and takes the
//! run over when the coordinator is lost (`takeover`).

mod actor;
mod dir;
mod ended;
mod files;
mod following;
mod keep;
mod line;
mod parts;
mod reading;
mod records;
mod remote;
mod second;
mod share;
mod sites;
mod standby;
mod takeover;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use remuda_model::{
    ErrorKind, Failure, NodeId, NodeView, RunId,
    run::{RunSpec, RunState, RunView, Secrets},
};
use remuda_run::{Filter, Summary, Target, check, check_targets};
use remuda_runtime::{blocking, wall_ms};
use remuda_state::Change;
use remuda_wire::message::runs::Call;
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::timeout,
};

pub use self::{actor::RunChange, following::RunProgress, reading::RecordStream};
use self::{
    actor::{Order, Told, view_of},
    dir::{RunDir, Saved},
    line::Line,
    reading::Reading,
    standby::Copies,
    takeover::{is_kept_by, removed},
};
use crate::Control;

/// Runs that are carried out at a time; more wait in line.
const MAX_UNDER_WAY: usize = 256;
/// Runs that have not ended; more are refused.
const MAX_OPEN: usize = 1024;
/// The most contacts of a run, and of all that have not ended.
const MAX_CONTACTS: u32 = 4_000_000;
const MAX_OPEN_CONTACTS: u32 = 8_000_000;
/// The level from which on the state says who keeps a run.
const CLAIMS: u16 = 2;
/// How long a run may take to do what it was told, and the control nodes to agree on it.
const CHANGE: Duration = Duration::from_secs(10);
/// How long somebody waits for the runs of an earlier start to be known.
const KNOWN: Duration = Duration::from_secs(10);
/// Orders that wait for a run.
const ORDERS: usize = 16;

/// A run that is to be.
#[derive(Debug)]
pub struct NewRun {
    /// Its id; made unless given.
    pub id: Option<RunId>,
    /// What is done.
    pub spec: RunSpec,
    /// To whom.
    pub targets: Vec<Target>,
    /// What it needs and nobody may read.
    pub secrets: Secrets,
}

/// The runs of the cluster.
#[derive(Clone, Debug)]
pub struct FoundRuns {
    /// The newest first.
    pub runs: Vec<RunView>,
    /// Control nodes that did not answer, whose runs are missing.
    pub unreachable: Vec<NodeId>,
}

/// The runs that this control node coordinates, and the copies of those of others.
#[derive(Debug)]
pub(crate) struct Runs {
    dir: PathBuf,
    copies: Copies,
    entries: Mutex<BTreeMap<RunId, Arc<Entry>>>,
    line: Arc<Line>,
    /// Whether those of an earlier start are among them.
    known: watch::Sender<bool>,
    ready: watch::Sender<Arc<Vec<NodeView>>>,
    /// A run has begun.
    begun: Notify,
}

/// One of them.
#[derive(Debug)]
struct Entry {
    dir: RunDir,
    /// Tells it from an earlier or later one of the same name; none at a lower level.
    incarnation: Option<u64>,
    sites: usize,
    told: Arc<Told>,
    orders: mpsc::Sender<Order>,
    targets: Mutex<Weak<Vec<Target>>>,
}

impl Runs {
    /// Kept below this directory.
    pub(crate) fn new(control_dir: &Path) -> Self {
        let ready = watch::Sender::new(Arc::default());
        let known = watch::Sender::new(true);
        let (dir, copies) = (control_dir.join("runs"), Copies::new(control_dir.join("copies")));
        let (entries, line) = (Mutex::default(), Line::new(MAX_UNDER_WAY));
        Self { dir, copies, entries, line, known, ready, begun: Notify::new() }
    }

    /// From now on those of an earlier start are to be read first.
    pub(crate) fn expect_earlier(&self) {
        self.known.send_replace(false);
    }

    /// Waits until the runs of an earlier start are known: until then nobody can say that a run is
    /// not here, nor that its name is free.
    async fn known(&self) -> Result<(), Failure> {
        let mut known = self.known.subscribe();
        if let Ok(Ok(_)) = timeout(KNOWN, known.wait_for(|known| *known)).await {
            return Ok(());
        }
        let text = "this control node still reads the runs of its last start";
        Err(Failure::new(ErrorKind::Unavailable, text).code("runs_not_read"))
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, BTreeMap<RunId, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self, run: &RunId) -> Result<Arc<Entry>, Failure> {
        self.entries().get(run).cloned().ok_or_else(|| unknown_run(run))
    }

    fn ids(&self) -> Vec<RunId> {
        self.entries().keys().cloned().collect()
    }

    /// How each run stands, and how many bytes of records it has.
    pub(crate) fn each(&self, mut look: impl FnMut(&RunView, u64)) {
        for entry in self.entries().values() {
            look(&entry.told.view.borrow(), *entry.told.length.borrow());
        }
    }

    /// Forgets a run, unless another one of its name is there by now.
    fn forget(&self, run: &RunId, entry: &Arc<Entry>) {
        let mut entries = self.entries();
        if entries.get(run).is_some_and(|present| Arc::ptr_eq(present, entry)) {
            entries.remove(run);
        }
    }

    fn active(&self) -> usize {
        open(&self.entries()).count()
    }

    /// Takes the name of a run, if there is room for it.
    fn enter(&self, run: &RunId, entry: &Arc<Entry>, contacts: u32) -> Result<(), Failure> {
        let mut entries = self.entries();
        if entries.contains_key(run) {
            return Err(run_exists(run));
        }
        let (mut runs, mut all) = (1, contacts);
        for others in open(&entries) {
            (runs, all) = (runs + 1, all.saturating_add(others));
        }
        if runs > MAX_OPEN || all > MAX_OPEN_CONTACTS {
            let text = format!(
                "at most {MAX_OPEN} runs with {MAX_OPEN_CONTACTS} contacts may be under way or wait \
                 at a control node"
            );
            return Err(Failure::new(ErrorKind::NoCapacity, text)
                .code("too_many_runs")
                .hint("wait until others have ended, or create it at another control node"));
        }
        entries.insert(run.clone(), Arc::clone(entry));
        Ok(())
    }
}

impl Entry {
    /// The targets, read again when nobody has them any more.
    async fn targets(&self) -> Result<Arc<Vec<Target>>, Failure> {
        if let Some(targets) = self.known() {
            return Ok(targets);
        }
        let dir = self.dir.clone();
        let read = blocking(move || dir.targets()).await;
        let read = read.map_err(|error| Failure::internal(&error))?;
        let targets = Arc::new(read.map_err(|error| disk_failure(&error))?);
        self.know(&targets);
        Ok(targets)
    }

    fn known(&self) -> Option<Arc<Vec<Target>>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    fn know(&self, targets: &Arc<Vec<Target>>) {
        *self.targets.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(targets);
    }
}

impl Control {
    /// Creates a run, which this control node coordinates. It is on disk when this returns, and
    /// goes on whatever happens to this node.
    ///
    /// # Errors
    ///
    /// - [`Invalid`](ErrorKind::Invalid) names what is wrong with the spec or the targets;
    /// - [`Exists`](ErrorKind::Exists) when there is a run of this id in the cluster;
    /// - [`Unavailable`](ErrorKind::Unavailable) when there is no majority of the control nodes;
    /// - [`NoCapacity`](ErrorKind::NoCapacity) when 1024 runs, or runs with 8,000,000 contacts, have
    ///   not ended at this control node, or the disk is full;
    /// - [`NotFound`](ErrorKind::NotFound) when no worker has the label of `from_each`.
    ///
    /// # Cancel safety
    ///
    /// The run may be created when the future is dropped; never a part of it.
    pub async fn create_run(&self, new: NewRun) -> Result<RunView, Failure> {
        let made = self.make_run(new).await;
        self.shared.stats.runs.asked(&made);
        made
    }

    async fn make_run(&self, new: NewRun) -> Result<RunView, Failure> {
        let NewRun { id, spec, targets, secrets } = new;
        let checked = check(&spec, &secrets)?;
        let (targets, checked) = blocking(move || (check_targets(&checked, &targets), targets))
            .await
            .map(|(checked, targets)| (targets, checked))
            .map_err(|error| Failure::internal(&error))?;
        checked?;
        self.shared.runs.known().await?;
        let id = match id {
            Some(id) => self.unused(id).await?,
            None => RunId::random(),
        };
        let views = self.ready_nodes().await?;
        let sites = sites::all(&spec, &views);
        if let (true, Some(label)) = (sites.is_empty(), &spec.from_each) {
            let text = format!("spec: from_each: no ready worker has a label `{label}=…`");
            return Err(Failure::not_found(text).code("no_site"));
        }
        let contacts = targets.len() * sites.len();
        let bounded = u32::try_from(contacts).ok().filter(|contacts| *contacts <= MAX_CONTACTS);
        let contacts = bounded.ok_or_else(|| {
            let text = format!("{contacts} contacts are more than {MAX_CONTACTS}");
            Failure::invalid(text).code("too_many_targets")
        })?;
        let is_claimed = self.shared.replica.state().level() >= CLAIMS;
        let incarnation = is_claimed.then(|| fastrand::u64(1..));
        let saved = Saved {
            id: id.clone(),
            incarnation,
            spec,
            sites,
            targets: contacts,
            state: RunState::Running,
            created_ms: wall_ms(),
            started_ms: None,
            ended_ms: None,
            given_up: None,
            summary: None,
            slowest: Vec::new(),
        };
        let dir = RunDir::of(&self.shared.runs.dir, &id);
        let (entry, orders) = entry(dir.clone(), &saved, &self.shared.me, &Summary::default());
        // The name is taken before the disk is touched, and free again if that goes wrong.
        self.shared.runs.enter(&id, &entry, contacts)?;
        let (control, (reply, answer)) = (self.clone(), oneshot::channel());
        // What is on disk is carried out, even when nobody waits for the answer any more.
        self.shared.supervisor.spawn("new run", async move {
            let of = Arc::clone(&entry);
            let made = control.begin_run((entry, orders), saved, targets, secrets).await;
            if made.is_err() {
                // If it cannot be freed now, it is found to be nobody's later.
                drop(control.unclaim(&id, &of).await);
                control.shared.runs.forget(&id, &of);
            }
            drop(reply.send(made));
        });
        answer.await.map_err(|error| Failure::internal(&error))?
    }

    /// Claims the name of a run for this node, writes it down, and carries it out.
    async fn begin_run(
        &self,
        (entry, orders): (Arc<Entry>, mpsc::Receiver<Order>),
        saved: Saved,
        targets: Vec<Target>,
        secrets: Secrets,
    ) -> Result<RunView, Failure> {
        let id = saved.id.clone();
        if let Some(incarnation) = saved.incarnation {
            let (run, coordinator) = (id.clone(), self.shared.me.clone());
            let (standby, if_revision) = (None, None);
            let claim = Change::PutRun { run, incarnation, coordinator, standby, if_revision };
            self.propose(claim, CHANGE).await?;
        }
        let dir = entry.dir.clone();
        let written = blocking(move || dir.create(&saved, &targets, &secrets)).await;
        written
            .map_err(|error| Failure::internal(&error))?
            .map_err(|error| disk_failure(&error))?;
        let mut up = entry.told.up.subscribe();
        self.carry_out(id.clone(), entry, orders, true);
        self.shared.runs.begun.notify_one();
        // What is acknowledged has its second copy, wherever there can be one.
        let stop = self.shared.supervisor.token();
        tokio::select! {
            () = stop.cancelled() => {}
            _ = timeout(CHANGE, up.wait_for(|up| *up)) => {}
        }
        self.run_here(&id)
    }

    /// The id, unless a run has it at a control node that answers: whoever repeats a call whose
    /// answer was lost may do so at another one.
    async fn unused(&self, id: RunId) -> Result<RunId, Failure> {
        let state = self.shared.replica.state();
        if state.run(&id).is_some() {
            return Err(run_exists(&id));
        }
        if state.level() >= CLAIMS {
            return Ok(id);
        }
        let (found, _silent) = self.runs_elsewhere(&Call::Show(id.clone())).await;
        if found.is_empty() { Ok(id) } else { Err(run_exists(&id)) }
    }

    /// The runs that this node carries out.
    fn runs_here(&self) -> Vec<RunView> {
        self.shared.runs.ids().iter().filter_map(|run| self.run_here(run).ok()).collect()
    }

    /// One of them. What is here of a run that another control node has taken over is none.
    fn run_here(&self, run: &RunId) -> Result<RunView, Failure> {
        let entry = self.shared.runs.entry(run)?;
        let state = self.shared.replica.state();
        // The state may be older than what is here, and say nothing of it yet.
        if state.run(run).is_some() && !is_kept_by(&state, &self.shared.me, run, &entry) {
            return Err(unknown_run(run));
        }
        let mut view = RunView::clone(&entry.told.view.borrow());
        view.standby = state.run(run).and_then(|record| record.standby.clone());
        Ok(view)
    }

    /// Waits until a run that was taken up is carried out again.
    async fn is_up(&self, run: &RunId) -> bool {
        let Ok(entry) = self.shared.runs.entry(run) else { return true };
        let mut up = entry.told.up.subscribe();
        timeout(KNOWN, up.wait_for(|up| *up)).await.is_ok()
    }

    /// The runs of all control nodes.
    pub async fn runs(&self) -> FoundRuns {
        let (mut runs, mut unreachable) = self.runs_elsewhere(&Call::List).await;
        match self.shared.runs.known().await {
            Ok(()) => runs.extend(self.runs_here()),
            Err(_) => unreachable.push(self.shared.me.clone()),
        }
        runs.sort_by(|a, b| b.created_ms.cmp(&a.created_ms).then_with(|| a.id.cmp(&b.id)));
        FoundRuns { runs, unreachable }
    }

    /// One run, wherever it is coordinated.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound); [`Unavailable`](ErrorKind::Unavailable) when it is
    /// unknown, but a control node that may know it does not answer.
    pub async fn run(&self, run: &RunId) -> Result<RunView, Failure> {
        self.shared.runs.known().await?;
        self.is_up(run).await;
        if let Ok(view) = self.run_here(run) {
            return Ok(view);
        }
        let (found, silent) = self.runs_elsewhere(&Call::Show(run.clone())).await;
        match (found.into_iter().next(), silent.first()) {
            (Some(view), _) => Ok(view),
            (None, None) => Err(unknown_run(run)),
            (None, Some(control)) => {
                let text = format!("no run `{run}` at the control nodes that answer");
                Err(Failure::new(ErrorKind::Unavailable, text).code("run_unreachable").hint(
                    format!("control node `{control}` does not answer; it may coordinate it"),
                ))
            }
        }
    }

    /// Pauses, resumes or cancels a run. Answers how it stands then.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run); [`Conflict`](ErrorKind::Conflict) when the run has ended.
    pub async fn change_run(&self, run: &RunId, change: RunChange) -> Result<RunView, Failure> {
        let view = self.run(run).await?;
        if view.coordinator == self.shared.me {
            return self.change_run_here(run, change).await;
        }
        let call = match change {
            RunChange::Pause => Call::Pause(run.clone()),
            RunChange::Resume => Call::Resume(run.clone()),
            RunChange::Cancel => Call::Cancel(run.clone()),
        };
        self.ask_one(&view.coordinator, &call).await
    }

    /// Forgets a run that has ended, and its records.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run); [`Conflict`](ErrorKind::Conflict) while it has not ended.
    pub async fn remove_run(&self, run: &RunId) -> Result<(), Failure> {
        let view = self.run(run).await?;
        if view.coordinator == self.shared.me {
            return self.remove_run_here(run).await.map(drop);
        }
        self.ask_one(&view.coordinator, &Call::Remove(run.clone())).await.map(drop)
    }

    async fn ask_one(&self, control: &NodeId, call: &Call) -> Result<RunView, Failure> {
        let views = self.ask_runs(control, call).await?;
        views.into_iter().next().ok_or_else(|| crate::work::unexpected(control))
    }

    /// The records of a run that pass a filter; with `follow` also those that are to come, each once,
    /// also when another control node takes the run over meanwhile.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run), and when its files cannot be read.
    pub async fn run_records(
        &self,
        run: &RunId,
        filter: Filter,
        follow: bool,
    ) -> Result<RecordStream, Failure> {
        let view = self.run(run).await?;
        let records = self.records_of(&view, &filter, follow).await?;
        Ok(if follow { self.followed(&view, filter, records) } else { records })
    }

    /// The records of a run from where it is now.
    async fn records_of(
        &self,
        view: &RunView,
        filter: &Filter,
        follow: bool,
    ) -> Result<RecordStream, Failure> {
        if view.coordinator == self.shared.me {
            return self.records_here(&view.id, filter.clone(), follow).await;
        }
        let filter = serde_json::to_vec(filter).map_err(|error| Failure::internal(&error))?;
        let call = Call::Records { run: view.id.clone(), filter, follow };
        self.records_elsewhere(&view.coordinator, &call).await
    }

    async fn records_here(
        &self,
        run: &RunId,
        filter: Filter,
        follow: bool,
    ) -> Result<RecordStream, Failure> {
        let entry = self.shared.runs.entry(run)?;
        if !self.is_up(run).await {
            let text =
                format!("run `{run}` waits until the control nodes agree who carries it out");
            return Err(Failure::new(ErrorKind::Unavailable, text).code("run_not_up"));
        }
        let targets = entry.targets().await?;
        let (to, records) = RecordStream::channel();
        let reading = Reading {
            dir: entry.dir.clone(),
            sites: entry.sites,
            targets,
            filter,
            view: entry.told.view.subscribe(),
            length: entry.told.length.subscribe(),
            follow,
            stop: self.shared.supervisor.token(),
        };
        self.shared.supervisor.spawn("records of a run", reading.read(to));
        Ok(records)
    }

    async fn change_run_here(&self, run: &RunId, change: RunChange) -> Result<RunView, Failure> {
        let entry = self.shared.runs.entry(run)?;
        let (reply, answer) = oneshot::channel();
        let told = async {
            entry.orders.send((change, reply)).await.ok()?;
            answer.await.ok()
        };
        match timeout(CHANGE, told).await {
            Ok(Some(changed)) => changed?,
            Ok(None) => {
                let text = format!("run `{run}` has ended");
                return Err(Failure::new(ErrorKind::Conflict, text).code("run_ended"));
            }
            Err(_elapsed) => {
                let text = format!("run `{run}` does not answer");
                return Err(Failure::new(ErrorKind::TimedOut, text));
            }
        }
        self.run_here(run)
    }

    /// Frees the name of a run of this node.
    async fn unclaim(&self, run: &RunId, entry: &Entry) -> Result<(), Failure> {
        let state = self.shared.replica.state();
        match state.run(run) {
            Some(record)
                if entry.incarnation.is_some()
                    && is_kept_by(&state, &self.shared.me, run, entry) =>
            {
                let change = Change::RemoveRun { run: run.clone(), if_revision: record.revision };
                self.propose(change, CHANGE).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    async fn remove_run_here(&self, run: &RunId) -> Result<RunView, Failure> {
        let entry = self.shared.runs.entry(run)?;
        let view = self.run_here(run)?;
        if !view.state.has_ended() {
            let text = format!("run `{run}` is {}", view.state);
            return Err(Failure::new(ErrorKind::Conflict, text)
                .code("run_active")
                .hint(format!("`remuda fanout cancel {run}` ends it")));
        }
        self.unclaim(run, &entry).await?;
        removed(entry.dir.clone()).await.map_err(|error| disk_failure(&error))?;
        self.shared.runs.forget(run, &entry);
        Ok(view)
    }
}

fn entry(
    dir: RunDir,
    saved: &Saved,
    me: &NodeId,
    summary: &Summary,
) -> (Arc<Entry>, mpsc::Receiver<Order>) {
    let view = watch::Sender::new(Arc::new(view_of(saved, me, summary)));
    let (length, up) = (watch::Sender::new(0), watch::Sender::new(false));
    let told = Arc::new(Told { view, length, up });
    let (orders, receiver) = mpsc::channel(ORDERS);
    let (sites, targets) = (saved.sites.len().max(1), Mutex::default());
    let incarnation = saved.incarnation;
    (Arc::new(Entry { dir, incarnation, sites, told, orders, targets }), receiver)
}

/// The contacts of each run that has not ended.
fn open(entries: &BTreeMap<RunId, Arc<Entry>>) -> impl Iterator<Item = u32> {
    entries.values().filter_map(|entry| {
        let view = entry.told.view.borrow();
        (!view.state.has_ended()).then_some(view.targets)
    })
}

fn run_exists(run: &RunId) -> Failure {
    Failure::new(ErrorKind::Exists, format!("there is a run `{run}`")).code("run_exists")
}

fn unknown_run(run: &RunId) -> Failure {
    Failure::not_found(format!("no run `{run}`"))
        .code("unknown_run")
        .hint("`remuda fanout list` shows the runs of the cluster")
}

/// A file of a run cannot be read or written.
fn disk_failure(error: &io::Error) -> Failure {
    let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    let (kind, code) = if is_full {
        (ErrorKind::NoCapacity, "disk_full")
    } else {
        (ErrorKind::Internal, "run_files")
    };
    Failure::new(kind, format!("the files of the run: {error}")).code(code)
}

#[cfg(test)]
mod tests;
