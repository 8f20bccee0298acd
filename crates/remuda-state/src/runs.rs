//! Which control nodes keep a fan-out run.
//!
//! The run itself, its targets and its records are not here; only who carries it out and who has
//! the second copy, so that at every time one control node at most may say how it goes. It follows
//! the configuration manager of `PacificA` (Lin et al., 2008): the one with the second copy takes over
//! by a change that names the revision it has seen, and so does the coordinator that goes on
//! without a second copy; one of them wins.

use remuda_model::{NodeId, Revision, RunId};
use serde::{Deserialize, Serialize};

use crate::{ClusterState, Limit, Outcome, Refusal};

/// Who keeps a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Tells the run from an earlier or later one of the same name.
    pub incarnation: u64,
    /// Who carries it out, and says how it goes.
    pub coordinator: NodeId,
    /// Who has all of it that was shown to anybody, and takes over when the coordinator is lost.
    pub standby: Option<NodeId>,
    /// When this was changed last.
    pub revision: Revision,
}

impl ClusterState {
    /// Who keeps a run; `None` for one that began at a lower level.
    pub fn run(&self, run: &RunId) -> Option<&RunRecord> {
        self.added()?.runs.get(run)
    }

    /// All runs of which is said who keeps them, by id.
    pub fn runs(&self) -> impl Iterator<Item = (&RunId, &RunRecord)> {
        self.added().into_iter().flat_map(|added| &added.runs)
    }

    pub(crate) fn put_run(
        &mut self,
        run: &RunId,
        record: RunRecord,
        if_revision: Option<Revision>,
    ) -> Result<Outcome, Refusal> {
        let present = self.run(run);
        match (present, if_revision) {
            (None, Some(_)) => return Err(Refusal::RunMoved(run.clone())),
            (Some(_), None) => return Err(Refusal::RunExists(run.clone())),
            (Some(present), Some(expected))
                if present.revision != expected || present.incarnation != record.incarnation =>
            {
                return Err(Refusal::RunMoved(run.clone()));
            }
            _ => {}
        }
        for node in [Some(&record.coordinator), record.standby.as_ref()].into_iter().flatten() {
            match self.node(node) {
                None => return Err(Refusal::UnknownNode(node.clone())),
                Some(known) if !known.roles.is_control() => {
                    return Err(Refusal::NotControl(node.clone()));
                }
                Some(_) => {}
            }
        }
        if present.is_none() {
            let kept = self.added().map_or(0, |added| added.runs.size());
            Limit::Runs.check(kept + 1).map_err(Refusal::TooMuch)?;
        }
        let now = record.revision;
        self.added_mut()?.runs.insert_mut(run.clone(), record);
        Ok(Outcome::Changed(now))
    }

    pub(crate) fn remove_run(
        &mut self,
        now: Revision,
        run: &RunId,
        if_revision: Revision,
    ) -> Result<Outcome, Refusal> {
        match self.run(run) {
            None => return Ok(Outcome::Unchanged),
            Some(present) if present.revision != if_revision => {
                return Err(Refusal::RunMoved(run.clone()));
            }
            Some(_) => {}
        }
        self.added_mut()?.runs.remove_mut(run);
        Ok(Outcome::Changed(now))
    }

    /// Forgets the runs that no node of the cluster has any more.
    pub(crate) fn forget_runs_of_nobody(&mut self) {
        let is_known = |node: &NodeId| self.nodes.contains_key(node);
        let lost: Vec<RunId> = self
            .runs()
            .filter(|(_, record)| {
                !is_known(&record.coordinator) && !record.standby.as_ref().is_some_and(is_known)
            })
            .map(|(run, _)| run.clone())
            .collect();
        if let (false, Ok(added)) = (lost.is_empty(), self.added_mut()) {
            for run in &lost {
                added.runs.remove_mut(run);
            }
        }
    }

    pub(crate) fn check_runs(&self) -> Result<(), String> {
        if let Some((run, record)) =
            self.runs().find(|(_, record)| record.revision.0 > self.applied)
        {
            return Err(format!("run `{run}` was changed at {}, in the future", record.revision));
        }
        Limit::Runs.check(self.runs().count()).map_err(|limit| format!("more than {limit}"))
    }
}

#[cfg(test)]
mod tests {
    use remuda_model::Roles;

    use super::*;
    use crate::{
        Change, ClusterRecord, Command,
        testing::{id, node},
    };

    fn run() -> RunId {
        "nightly".parse().expect("a run")
    }

    /// A cluster of level 2 with the control nodes `a` and `b`.
    fn state() -> ClusterState {
        let id = "0123456789abcdefghjkmnpqrs".parse().expect("a cluster id");
        let mut state = ClusterState::new();
        let changes = [
            Change::Init(ClusterRecord { id, name: "c".to_owned(), created_ms: 1 }),
            Change::PutNode(node("a", Roles::CONTROL)),
            Change::PutNode(node("b", Roles::CONTROL)),
            Change::PutNode(node("w", Roles::WORKER)),
            Change::RaiseLevel { level: 2 },
        ];
        for change in changes {
            change_of(&mut state, change).expect("changed");
        }
        state
    }

    fn change_of(state: &mut ClusterState, change: Change) -> Result<Outcome, Refusal> {
        let index = state.applied() + 1;
        state.apply(index, &Command::once(change)).outcome
    }

    fn put(coordinator: &str, standby: Option<&str>, if_revision: Option<u64>) -> Change {
        Change::PutRun {
            run: run(),
            incarnation: 1,
            coordinator: id(coordinator),
            standby: standby.map(id),
            if_revision: if_revision.map(Revision),
        }
    }

    #[test]
    fn one_of_two_that_saw_the_same_wins() {
        let mut state = state();
        assert_eq!(
            change_of(&mut state, put("a", Some("b"), None)),
            Ok(Outcome::Changed(Revision(6)))
        );
        // The standby takes over, while the coordinator wants to go on alone.
        assert_eq!(
            change_of(&mut state, put("b", None, Some(6))),
            Ok(Outcome::Changed(Revision(7)))
        );
        assert_eq!(change_of(&mut state, put("a", None, Some(6))), Err(Refusal::RunMoved(run())));
        let (coordinator, revision) = (id("b"), Revision(7));
        let record = RunRecord { incarnation: 1, coordinator, standby: None, revision };
        assert_eq!(state.run(&run()), Some(&record));
    }

    #[test]
    fn a_name_is_taken_once() {
        let mut state = state();
        change_of(&mut state, put("a", None, None)).expect("changed");
        assert_eq!(change_of(&mut state, put("b", None, None)), Err(Refusal::RunExists(run())));
        let remove = |revision| Change::RemoveRun { run: run(), if_revision: Revision(revision) };
        assert_eq!(change_of(&mut state, remove(5)), Err(Refusal::RunMoved(run())));
        assert_eq!(change_of(&mut state, remove(6)), Ok(Outcome::Changed(Revision(9))));
        assert_eq!(change_of(&mut state, remove(6)), Ok(Outcome::Unchanged));
        assert_eq!(change_of(&mut state, put("b", None, Some(6))), Err(Refusal::RunMoved(run())));
        change_of(&mut state, put("b", None, None)).expect("the name is free again");
        let other = Change::PutRun {
            run: run(),
            incarnation: 2,
            coordinator: id("a"),
            standby: None,
            if_revision: state.run(&run()).map(|record| record.revision),
        };
        assert_eq!(change_of(&mut state, other), Err(Refusal::RunMoved(run())));
    }

    #[test]
    fn only_control_nodes_keep_runs() {
        let mut state = state();
        let unknown = Refusal::UnknownNode(id("x"));
        assert_eq!(change_of(&mut state, put("x", None, None)), Err(unknown));
        assert_eq!(
            change_of(&mut state, put("a", Some("w"), None)),
            Err(Refusal::NotControl(id("w")))
        );
        assert_eq!(state.runs().count(), 0);
    }

    #[test]
    fn a_run_is_forgotten_with_the_last_node_that_kept_it() {
        let mut state = state();
        change_of(&mut state, put("a", Some("b"), None)).expect("changed");
        change_of(&mut state, Change::RemoveNode { node: id("a"), now_ms: 1 }).expect("removed");
        assert!(state.run(&run()).is_some());
        change_of(&mut state, Change::RemoveNode { node: id("b"), now_ms: 1 }).expect("removed");
        assert_eq!(state.run(&run()), None);
    }
}
