//! Runs that change their coordinator: taken over from a control node that is lost, given up to one
//! that has taken over.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use remuda_model::{NodeId, RunId};
use remuda_runtime::blocking;
use remuda_state::{Change, ClusterState, RunRecord};
use tokio::time::sleep;

use super::{
    Entry,
    dir::RunDir,
    second::{Kept, second},
    standby::Copies,
};
use crate::Control;

/// How long the state may take to be complete, and a change of it to be made.
const AGREE: Duration = Duration::from_secs(5);
/// How often is looked, though nothing has changed.
const LOOK: Duration = Duration::from_secs(30);
/// Looks that do not succeed are repeated after so long.
const AGAIN: Duration = Duration::from_secs(1);
/// Changes of the state are looked at together for this long.
const GATHER: Duration = Duration::from_millis(100);

/// Something to do about a run.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Its coordinator is lost, and this node has the second copy.
    TakeOver(RunId, RunRecord),
    /// It is this node's by now; its copy is to become a run.
    Adopt(RunId),
    /// It is another node's by now, or was removed.
    GiveUp(RunId),
    /// Nobody needs this copy.
    Forget(RunId),
    /// It is this node's, which has nothing of it.
    Waive(RunId, RunRecord),
    /// This node has no second copy of it.
    Decline(RunId, RunRecord),
}

impl Control {
    /// Sees to it that the runs of which this node is coordinator or standby are where the state
    /// says, for ever.
    pub(super) async fn keep_places(&self) {
        let stop = self.shared.supervisor.token();
        let mut states = self.shared.replica.watch_state();
        loop {
            states.borrow_and_update();
            let again = match self.look_at_places().await {
                Ok(()) => LOOK,
                Err(()) => AGAIN,
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(GATHER) => (),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(again) => (),
                changed = states.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn look_at_places(&self) -> Result<(), ()> {
        let dir = self.shared.runs.copies.dir.clone();
        let found = blocking(move || Copies::all(&dir)).await;
        let found = found.map_err(io::Error::other).and_then(|found| found).map_err(|error| {
            tracing::warn!(%error, "the copies of runs cannot be read");
        })?;
        if self.steps(&self.shared.replica.state(), &found).is_empty() {
            return Ok(());
        }
        // This node's copy of the state may be older than what it has on disk.
        self.catch_up(AGREE).await.map_err(drop)?;
        let steps = self.steps(&self.shared.replica.state(), &found);
        let mut all = Ok(());
        for step in steps {
            let taken = match &step {
                Step::TakeOver(run, record) => self.take_over(run, record).await,
                Step::Adopt(run) => self.adopt(run).await,
                Step::GiveUp(run) => self.give_up_run(run).await,
                Step::Forget(run) => self.forget_copy(run).await,
                Step::Waive(run, record) => self.waive(run, record).await,
                Step::Decline(run, record) => self.decline(run, record).await,
            };
            if let Err(error) = taken {
                tracing::warn!(?step, %error, "a run stays where it is");
                all = Err(());
            }
        }
        all
    }

    fn steps(&self, state: &ClusterState, copies: &[RunId]) -> Vec<Step> {
        let me = &self.shared.me;
        let lost = |node: &NodeId| !state.node(node).is_some_and(|record| record.active);
        let mut steps = Vec::new();
        for run in copies {
            steps.extend(match state.run(run) {
                Some(record) if record.coordinator == *me => Some(Step::Adopt(run.clone())),
                Some(record) if record.standby.as_ref() == Some(me) => {
                    lost(&record.coordinator).then(|| Step::TakeOver(run.clone(), record.clone()))
                }
                _ => Some(Step::Forget(run.clone())),
            });
        }
        let entries = self.shared.runs.entries();
        let gone = entries.iter().filter(|(run, entry)| {
            // One that is carried out is let go of by whoever carries it out.
            entry.orders.is_closed() && !is_kept_by(state, me, run, entry)
        });
        steps.extend(gone.map(|(run, _)| Step::GiveUp(run.clone())));
        let nothing = state.runs().filter(|(run, record)| {
            record.coordinator == *me && !entries.contains_key(*run) && !copies.contains(run)
        });
        steps.extend(nothing.map(|(run, record)| Step::Waive(run.clone(), record.clone())));
        let missing = state.runs().filter(|(run, record)| {
            record.standby.as_ref() == Some(me)
                && record.coordinator != *me
                && !copies.contains(run)
        });
        steps.extend(missing.map(|(run, record)| Step::Decline(run.clone(), record.clone())));
        steps
    }

    async fn take_over(&self, run: &RunId, record: &RunRecord) -> io::Result<()> {
        if self.shared.runs.copies.found(run).is_none() {
            return Ok(());
        }
        self.put_run(run, record, &self.shared.me).await?;
        tracing::info!(%run, "takes over a run whose coordinator is lost");
        self.adopt(run).await
    }

    /// Says that this node keeps the run, and no other.
    async fn put_run(&self, run: &RunId, record: &RunRecord, node: &NodeId) -> io::Result<()> {
        let change = Change::PutRun {
            run: run.clone(),
            incarnation: record.incarnation,
            coordinator: node.clone(),
            standby: None,
            if_revision: Some(record.revision),
        };
        self.propose(change, AGREE).await.map(drop).map_err(io::Error::other)
    }

    /// Makes a run of its copy, and carries it out.
    async fn adopt(&self, run: &RunId) -> io::Result<()> {
        let runs = &self.shared.runs;
        let place = runs.copies.place(run);
        let _turn = place.turn.lock().await;
        let state = self.shared.replica.state();
        if state.run(run).is_none_or(|record| record.coordinator != self.shared.me) {
            return Err(io::Error::other("it is not this node's yet"));
        }
        if runs.entry(run).is_ok() {
            // It was made of it before.
            return removed(RunDir::of(&runs.copies.dir, run)).await;
        }
        let Some(from) = runs.copies.found(run) else {
            return removed(RunDir::of(&runs.copies.dir, run)).await;
        };
        let to = RunDir::of(&runs.dir, run);
        let moved = blocking(move || {
            let saved = from.load()?;
            if to.path().exists() {
                // It could not be read, or it would be a run.
                to.remove()?;
            }
            from.note_going()?;
            from.rename(&to)?;
            Ok::<_, io::Error>((to, saved))
        });
        let (dir, saved) = moved.await.map_err(io::Error::other)??;
        self.take_up_run(dir, saved).await;
        Ok(())
    }

    async fn forget_copy(&self, run: &RunId) -> io::Result<()> {
        let copies = &self.shared.runs.copies;
        let place = copies.place(run);
        let _turn = place.turn.lock().await;
        let state = self.shared.replica.state();
        let me = &self.shared.me;
        let is_needed = state
            .run(run)
            .is_some_and(|record| record.standby.as_ref() == Some(me) || record.coordinator == *me);
        if is_needed || place.streams.load(Ordering::SeqCst) > 0 {
            return Ok(());
        }
        removed(RunDir::of(&copies.dir, run)).await
    }

    /// Gives a run of which nothing is here to the node with its second copy, if there is one.
    async fn waive(&self, run: &RunId, record: &RunRecord) -> io::Result<()> {
        let dir: PathBuf = self.shared.runs.dir.join(run.as_str());
        let is_here = self.shared.runs.entry(run).is_ok();
        if is_here || self.shared.runs.copies.found(run).is_some() {
            return Ok(());
        }
        tracing::warn!(%run, dir = %dir.display(), "nothing can be read of a run that was here");
        if let Some(standby) = &record.standby {
            return self.put_run(run, record, standby).await;
        }
        // What cannot be read today may be read by another version, or after a repair.
        if dir.exists() {
            return Ok(());
        }
        let change = Change::RemoveRun { run: run.clone(), if_revision: record.revision };
        self.propose(change, AGREE).await.map(drop).map_err(io::Error::other)
    }

    /// Says that this node has no second copy of a run.
    async fn decline(&self, run: &RunId, record: &RunRecord) -> io::Result<()> {
        if self.shared.runs.copies.found(run).is_some() {
            return Ok(());
        }
        tracing::warn!(%run, "the second copy of a run is lost");
        if self.shared.replica.state().node(&record.coordinator).is_some() {
            return self.put_run(run, record, &record.coordinator).await;
        }
        // Nobody has it any more.
        let change = Change::RemoveRun { run: run.clone(), if_revision: record.revision };
        self.propose(change, AGREE).await.map(drop).map_err(io::Error::other)
    }

    /// Forgets a run that nobody carries out here.
    async fn give_up_run(&self, run: &RunId) -> io::Result<()> {
        let Ok(entry) = self.shared.runs.entry(run) else { return Ok(()) };
        let state = self.shared.replica.state();
        if !entry.orders.is_closed() || is_kept_by(&state, &self.shared.me, run, &entry) {
            return Ok(());
        }
        self.let_go(run, &entry).await
    }

    /// Forgets what is here of a run.
    pub(super) async fn let_go(&self, run: &RunId, entry: &Arc<Entry>) -> io::Result<()> {
        tracing::info!(%run, "a run is kept by others, or was removed");
        removed(entry.dir.clone()).await?;
        self.shared.runs.forget(run, entry);
        Ok(())
    }

    /// Sees to it that runs that have ended have a second copy, one after the other.
    pub(super) async fn copy_ended_runs(&self) {
        for run in self.shared.runs.ids() {
            if self.shared.supervisor.token().is_cancelled() {
                return;
            }
            let Ok(entry) = self.shared.runs.entry(&run) else { continue };
            let state = self.shared.replica.state();
            let Some(record) = state.run(&run) else { continue };
            if let Some(standby) = &record.standby
                && state.node(standby).is_none()
                && is_kept_by(&state, &self.shared.me, &run, &entry)
            {
                // Seen again at the next look.
                drop(self.put_run(&run, record, &self.shared.me).await);
                continue;
            }
            if record.standby.is_some() || !entry.told.view.borrow().state.has_ended() {
                continue;
            }
            let here = Kept { saves: 1, given: 0, records: *entry.told.length.borrow() };
            let of = (run, entry.incarnation);
            let (_second, keeper) = second(self.clone(), of, entry.dir.clone(), here);
            keeper.keep_ended().await;
        }
    }
}

/// Whether a run that is here is this node's, by the state. It says nothing of runs of a lower
/// level.
pub(super) fn is_kept_by(state: &ClusterState, me: &NodeId, run: &RunId, entry: &Entry) -> bool {
    let Some(incarnation) = entry.incarnation else { return true };
    state
        .run(run)
        .is_some_and(|record| record.incarnation == incarnation && record.coordinator == *me)
}

/// Removes a directory, unless it is gone already.
pub(super) async fn removed(dir: RunDir) -> io::Result<()> {
    let removed = blocking(move || match dir.remove() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    });
    removed.await.map_err(io::Error::other)?
}
