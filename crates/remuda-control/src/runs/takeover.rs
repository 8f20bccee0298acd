//! Runs that change their coordinator: taken over from a control node that is lost, given up to one
//! that has taken over.

use std::{io, time::Duration};

use remuda_model::{NodeId, Revision, RunId};
use remuda_runtime::blocking;
use remuda_state::{Change, ClusterState};
use tokio::time::sleep;

use super::dir::RunDir;
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
    TakeOver(RunId, Revision),
    /// It is this node's by now; its copy is to become a run.
    Adopt(RunId),
    /// It is another node's by now.
    GiveUp(RunId),
    /// Nobody needs this copy.
    Forget(RunId),
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
        let copies = &self.shared.runs.copies;
        let dir = copies.dir.clone();
        let found = blocking(move || super::standby::Copies::new(dir).all()).await;
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
                Step::TakeOver(run, revision) => self.take_over(run, *revision).await,
                Step::Adopt(run) => self.adopt(run).await,
                Step::GiveUp(run) => self.give_up_run(run).await,
                Step::Forget(run) => {
                    copies.close(run).await;
                    let dir = RunDir::of(&copies.dir, run);
                    removed(dir).await
                }
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
        let mut steps: Vec<Step> = copies
            .iter()
            .filter_map(|run| match state.run(run) {
                Some(record) if record.coordinator == *me => Some(Step::Adopt(run.clone())),
                Some(record) if record.standby.as_ref() == Some(me) => {
                    lost(&record.coordinator).then(|| Step::TakeOver(run.clone(), record.revision))
                }
                _ if self.shared.runs.copies.is_open(run) => None,
                _ => Some(Step::Forget(run.clone())),
            })
            .collect();
        let mine = self.shared.runs.ids();
        let gone = mine.into_iter().filter(|run| !self.is_mine(state, run));
        steps.extend(gone.map(Step::GiveUp));
        steps
    }

    /// Whether this node carries a run out that it has, by the state.
    pub(super) fn is_mine(&self, state: &ClusterState, run: &RunId) -> bool {
        state.run(run).is_none_or(|record| record.coordinator == self.shared.me)
    }

    async fn take_over(&self, run: &RunId, revision: Revision) -> io::Result<()> {
        if self.shared.runs.copies.found(run).is_none() {
            return Ok(());
        }
        let coordinator = self.shared.me.clone();
        let if_revision = Some(revision);
        let change = Change::PutRun { run: run.clone(), coordinator, standby: None, if_revision };
        self.propose(change, AGREE).await.map_err(io::Error::other)?;
        tracing::info!(%run, "takes over a run whose coordinator is lost");
        self.adopt(run).await
    }

    /// Makes a run of its copy, and carries it out.
    async fn adopt(&self, run: &RunId) -> io::Result<()> {
        let runs = &self.shared.runs;
        runs.copies.close(run).await;
        if runs.entry(run).is_ok() {
            // It was made of it before.
            return removed(RunDir::of(&runs.copies.dir, run)).await;
        }
        let Some(from) = runs.copies.found(run) else { return Ok(()) };
        let to = RunDir::of(&runs.dir, run);
        let moved = blocking(move || from.rename(&to).map(|()| to)).await;
        let dir = moved.map_err(io::Error::other)??;
        let at = dir.clone();
        let saved = blocking(move || at.load()).await.map_err(io::Error::other)??;
        self.take_up_run(dir, saved).await;
        Ok(())
    }

    /// Forgets a run that another control node carries out.
    async fn give_up_run(&self, run: &RunId) -> io::Result<()> {
        let Ok(entry) = self.shared.runs.entry(run) else { return Ok(()) };
        // One that has not ended is let go of by its own actor.
        if !entry.told.view.borrow().state.has_ended() {
            return Ok(());
        }
        self.let_go(run).await
    }

    /// Forgets what is here of a run.
    pub(super) async fn let_go(&self, run: &RunId) -> io::Result<()> {
        let Ok(entry) = self.shared.runs.entry(run) else { return Ok(()) };
        tracing::info!(%run, "another control node carries a run out");
        removed(entry.dir.clone()).await?;
        self.shared.runs.entries().remove(run);
        Ok(())
    }
}

async fn removed(dir: RunDir) -> io::Result<()> {
    let removed = blocking(move || match dir.remove() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    });
    removed.await.map_err(io::Error::other)?
}
