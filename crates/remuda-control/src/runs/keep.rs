//! What goes on as long as the node runs: runs of an earlier start, runs that are under way, runs
//! that were kept long enough.

use std::{io, sync::Arc, time::Duration};

use remuda_model::{
    Failure, NodeView, RunId,
    run::{Outcome, Record, RunState, RunView, Trouble, TroubleKind},
};
use remuda_run::{HandOut, Summary};
use remuda_runtime::{Backoff, blocking, wall_ms};
use remuda_wire::message::copy::Growing;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use super::{
    Entry,
    actor::{Actor, Order, Setup, Stopped, is_ready},
    dir::{self, RunDir, Saved},
    entry,
    second::{Kept, second},
};
use crate::{Consistency, Control, control::seed};

/// Ended runs that are kept, for how long, and how many bytes of them.
const KEPT: usize = 1000;
const KEPT_MS: u64 = 7 * 24 * 60 * 60 * 1000;
const KEPT_BYTES: u64 = 10 << 30;
/// How often is looked for runs that are kept long enough.
const SWEEP: Duration = Duration::from_mins(10);
/// How often is looked for ended runs without a second copy.
const COPY: Duration = Duration::from_secs(15);
/// How long a new run waits for its second copy.
const SETTLE: Duration = Duration::from_secs(5);

impl Control {
    /// Takes up the runs of an earlier start.
    pub(crate) async fn keep_runs(self) {
        let stop = self.shared.supervisor.token();
        let (base, cap) = (Duration::from_millis(200), Duration::from_secs(10));
        let mut backoff = Backoff::new(base, cap, seed());
        let found = loop {
            let dir = self.shared.runs.dir.clone();
            let found = blocking(move || dir::all(&dir)).await.map_err(io::Error::other);
            match found.and_then(|found| found) {
                Ok((found, _unreadable)) => break found,
                Err(error) => tracing::error!(%error, "the runs of earlier cannot be read"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(backoff.next_delay()) => (),
            }
        };
        for (dir, saved) in found {
            self.take_up_run(dir, saved).await;
        }
        self.shared.runs.known.send_replace(true);
        tokio::join!(self.keep_ready(), self.sweep(), self.keep_places(), self.keep_copies());
    }

    /// Takes up a run that is on disk.
    pub(super) async fn take_up_run(&self, dir: RunDir, mut saved: Saved) {
        // Otherwise its end may be missing in the second copy.
        let has_ended = saved.state.has_ended() && dir.is_tidy();
        if !has_ended {
            saved.resume();
        }
        let summary = saved.summary.clone().unwrap_or_default();
        let (entry, orders) = entry(dir.clone(), &saved, &self.shared.me, &summary);
        if has_ended {
            let length = blocking(move || dir.length(Growing::Records)).await;
            entry.told.length.send_replace(length.ok().and_then(Result::ok).unwrap_or_default());
            entry.told.up.send_replace(true);
        }
        let id = saved.id;
        self.shared.runs.entries().insert(id.clone(), Arc::clone(&entry));
        if !has_ended {
            self.carry_out(id, entry, orders, false);
            self.shared.runs.begun.notify_one();
        }
    }

    /// Knows who is ready, as long as there are runs.
    async fn keep_ready(&self) {
        let stop = self.shared.supervisor.token();
        loop {
            let pause = if self.shared.runs.active() == 0 {
                Duration::MAX
            } else {
                match self.ready_nodes().await {
                    Ok(nodes) => {
                        let many = nodes.len() > 500;
                        self.shared.runs.ready.send_replace(Arc::new(nodes));
                        Duration::from_secs(if many { 5 } else { 1 })
                    }
                    Err(_) => Duration::from_secs(1),
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.shared.runs.begun.notified() => (),
                () = sleep(pause) => (),
            }
        }
    }

    pub(super) async fn ready_nodes(&self) -> Result<Vec<NodeView>, Failure> {
        let mut nodes = self.nodes(Consistency::Stale).await?;
        nodes.retain(is_ready);
        Ok(nodes)
    }

    /// Carries a run out, in the background.
    pub(super) fn carry_out(
        &self,
        id: RunId,
        entry: Arc<Entry>,
        mut orders: mpsc::Receiver<Order>,
        mut is_new: bool,
    ) {
        let control = self.clone();
        self.shared.supervisor.spawn("run", async move {
            let stop = control.shared.supervisor.token();
            let (base, cap) = (Duration::from_millis(200), Duration::from_secs(10));
            let mut backoff = Backoff::new(base, cap, seed());
            loop {
                let stopped = match control.set_up(&id, &entry, is_new).await {
                    Ok(setup) => control.run_actor(setup, &entry, &mut orders, is_new).await,
                    Err(error) => {
                        tracing::error!(run = %id, %error, "a run cannot be taken up");
                        let reason = format!("its files cannot be read: {error}");
                        entry.told.holds(RunState::Paused, reason);
                        Stopped::Broken
                    }
                };
                is_new = false;
                match stopped {
                    Stopped::Ended | Stopped::ShuttingDown => return,
                    Stopped::Displaced => {
                        if let Err(error) = control.let_go(&id, &entry).await {
                            tracing::warn!(run = %id, %error, "the files of a run stay");
                        }
                        entry.told.up.send_replace(true);
                        return;
                    }
                    Stopped::Broken => {}
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = sleep(backoff.next_delay()) => (),
                }
            }
        });
    }

    /// Carries a run out as soon as it is known that nobody else does, and where its second copy
    /// stands.
    async fn run_actor(
        &self,
        mut setup: Setup,
        entry: &Entry,
        orders: &mut mpsc::Receiver<Order>,
        is_new: bool,
    ) -> Stopped {
        let stop = self.shared.supervisor.token();
        // Nobody else has heard of a new one.
        let limit = if is_new { SETTLE } else { Duration::MAX };
        if !is_new {
            let reason = "it waits until the control nodes agree who carries it out";
            entry.told.holds(RunState::Waiting, reason.to_owned());
        }
        tokio::select! {
            () = stop.cancelled() => return Stopped::ShuttingDown,
            _ = timeout(limit, setup.second.settled()) => {}
        }
        if setup.second.is_displaced() {
            return Stopped::Displaced;
        }
        let told = Arc::clone(&entry.told);
        let (mut actor, hears) = Actor::new(setup);
        if !is_new {
            actor.publish();
        }
        told.up.send_replace(true);
        actor.run(hears, orders, &stop).await
    }

    /// Reads what there is of a run.
    async fn set_up(&self, id: &RunId, entry: &Entry, is_new: bool) -> io::Result<Setup> {
        let dir = entry.dir.clone();
        let read = blocking(move || {
            let mut saved = dir.load()?;
            saved.resume();
            let sites = u32::try_from(saved.sites.len().max(1)).map_err(io::Error::other)?;
            let mut hand_out = HandOut::new(saved.targets / sites, sites, saved.spec.at_most_once);
            let mut summary = Summary::default();
            let found = dir.find(|record| {
                if hand_out.settle(record.index) {
                    summary.add(record);
                }
            })?;
            let mut writer = dir.writer(found.length)?;
            let unknown: Vec<Record> = found
                .given
                .iter()
                .filter(|index| hand_out.settle(**index))
                .map(|index| {
                    let text = "its coordinator was restarted while a worker had this target";
                    let trouble = Trouble::new(TroubleKind::WorkerLost, text);
                    Record::without_answer(*index, Outcome::Unknown, trouble)
                })
                .collect();
            if !unknown.is_empty() {
                for record in &unknown {
                    summary.add(record);
                }
                writer.append(&unknown)?;
                writer.sync()?;
            }
            let given = dir.length(Growing::Given)?;
            Ok::<_, io::Error>((dir, saved, hand_out, summary, writer, found, given))
        });
        let read = read.await.map_err(io::Error::other)?;
        let (dir, saved, hand_out, summary, writer, found, given) = read?;
        let targets = Arc::new(found.targets);
        entry.know(&targets);
        let here = Kept { saves: 1, given, records: writer.length() };
        let of = (id.clone(), saved.incarnation);
        let (second, keeper) = second(self.clone(), of, dir.clone(), here);
        self.shared.supervisor.spawn("second copy of a run", keeper.keep(is_new));
        let turn = self.shared.runs.line.turn(id, saved.spec.priority, saved.created_ms);
        let (told, ready) = (Arc::clone(&entry.told), self.shared.runs.ready.subscribe());
        let (control, secrets) = (self.clone(), found.secrets);
        Ok(Setup {
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
        })
    }

    /// Sees to it, from time to time, that ended runs have a second copy.
    async fn keep_copies(&self) {
        let stop = self.shared.supervisor.token();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(COPY) => (),
            }
            self.copy_ended_runs().await;
        }
    }

    /// Forgets ended runs that were kept long enough, or are too many, or too large.
    async fn sweep(&self) {
        let stop = self.shared.supervisor.token();
        loop {
            let mut ended: Vec<RunView> = self.runs_here();
            ended.retain(|view| view.state.has_ended());
            ended.sort_by_key(|view| std::cmp::Reverse(view.ended_ms));
            let mut bytes = 0;
            for (at, view) in ended.iter().enumerate() {
                let Ok(entry) = self.shared.runs.entry(&view.id) else { continue };
                let dir = entry.dir.clone();
                bytes += blocking(move || dir.size()).await.unwrap_or_default();
                let age = wall_ms().saturating_sub(view.ended_ms.unwrap_or_default());
                if at < KEPT && age < KEPT_MS && bytes < KEPT_BYTES {
                    continue;
                }
                if let Err(failure) = self.remove_run_here(&view.id).await {
                    tracing::warn!(run = %view.id, %failure, "an old run stays");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(SWEEP) => (),
            }
        }
    }
}
