//! What the leader does about the membership: a decision on what it sees, taken again and again.
//!
//! Nothing is remembered but for how long a control node has been out of reach and who said
//! goodbye, so a lost message or a new leader only costs time.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use remuda_model::{LinkUrl, NodeId};
use remuda_state::voters;

/// A control node that the cluster knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub active: bool,
    pub addresses: Vec<LinkUrl>,
}

/// What the leader sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// The control nodes of the state.
    pub controls: BTreeMap<NodeId, Known>,
    /// Those it has a link to, itself included.
    pub linked: BTreeSet<NodeId>,
    /// Who votes.
    pub voters: BTreeSet<NodeId>,
    /// Who replicates without a vote.
    pub learners: BTreeSet<NodeId>,
    /// The level of the cluster, once it is founded.
    pub level: Option<u16>,
    /// The protocol versions of those it has a link to, itself included.
    pub spoken: BTreeMap<NodeId, u16>,
}

impl Sight {
    /// The level that all control nodes speak, when it is higher than the present one. One that is
    /// away may come back as an older version, so it holds the level down until it is removed.
    fn next_level(&self) -> Option<u16> {
        let all = self.controls.keys().chain(&self.voters).chain(&self.learners);
        let lowest = all.map(|node| self.spoken.get(node)).min()??;
        self.level.is_some_and(|level| level < *lowest).then_some(*lowest)
    }
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A control node that is gone owns no workers.
    Deactivate(NodeId),
    /// Replicate to this node.
    AddLearner(NodeId, Vec<LinkUrl>),
    /// These vote.
    SetVoters(BTreeSet<NodeId>),
    /// Replicate no longer to this node.
    Remove(NodeId),
    /// Everybody speaks this protocol version.
    RaiseLevel(u16),
}

/// Decides for one term of leadership.
#[derive(Debug)]
pub struct Membership {
    grace: Duration,
    lost_since: BTreeMap<NodeId, Duration>,
    leaving: BTreeSet<NodeId>,
}

impl Membership {
    /// `grace` is how long a control node may be out of reach before it owns no workers.
    pub fn new(grace: Duration) -> Self {
        Self { grace, lost_since: BTreeMap::new(), leaving: BTreeSet::new() }
    }

    /// A control node is here to stay.
    pub fn enlisted(&mut self, node: &NodeId) {
        self.leaving.remove(node);
        self.lost_since.remove(node);
    }

    /// A control node shuts down and wants to be done without.
    pub fn left(&mut self, node: &NodeId) {
        self.leaving.insert(node.clone());
    }

    /// What to do now, in order. `now` is monotonic; call it at least once a second.
    pub fn look(&mut self, now: Duration, sight: &Sight) -> Vec<Step> {
        self.leaving.retain(|node| {
            sight.controls.contains_key(node)
                || sight.voters.contains(node)
                || sight.learners.contains(node)
        });
        let mut steps = self.deactivate(now, sight);
        let stays = |node: &NodeId| !self.leaving.contains(node);
        let present = |node: &NodeId| sight.voters.contains(node) || sight.learners.contains(node);
        for (node, known) in &sight.controls {
            if known.active && stays(node) && sight.linked.contains(node) && !present(node) {
                steps.push(Step::AddLearner(node.clone(), known.addresses.clone()));
            }
        }
        let candidates: Vec<(NodeId, bool)> = sight
            .controls
            .iter()
            // Whoever does not replicate yet cannot vote yet.
            .filter(|(node, _)| stays(node) && present(node))
            .map(|(node, known)| {
                // A vote is taken from whoever was out of reach for the whole grace, and given only
                // to somebody within reach.
                let fit = sight.voters.contains(node) || sight.linked.contains(node);
                (node.clone(), known.active && fit)
            })
            .collect();
        let wanted = voters::plan(&candidates, &sight.voters);
        if wanted != sight.voters {
            steps.push(Step::SetVoters(wanted.clone()));
        }
        for node in &sight.learners {
            // Whoever leaves needs the log to learn that its workers have moved.
            let has_left = !stays(node) && !sight.linked.contains(node);
            if !wanted.contains(node) && (has_left || !sight.controls.contains_key(node)) {
                steps.push(Step::Remove(node.clone()));
            }
        }
        steps.extend(sight.next_level().map(Step::RaiseLevel));
        steps
    }

    fn deactivate(&mut self, now: Duration, sight: &Sight) -> Vec<Step> {
        self.lost_since.retain(|node, _| {
            sight.controls.get(node).is_some_and(|known| known.active)
                && !sight.linked.contains(node)
        });
        // A leader that cannot reach a majority is itself the one that is cut off. Its own clock
        // must not run on meanwhile either.
        let n_linked = sight.voters.intersection(&sight.linked).count();
        if 2 * n_linked <= sight.voters.len() {
            self.lost_since.clear();
            return Vec::new();
        }
        let mut steps = Vec::new();
        for (node, known) in &sight.controls {
            if !known.active {
                continue;
            }
            if self.leaving.contains(node) {
                steps.push(Step::Deactivate(node.clone()));
            } else if !sight.linked.contains(node) {
                let since = *self.lost_since.entry(node.clone()).or_insert(now);
                if now.saturating_sub(since) >= self.grace {
                    steps.push(Step::Deactivate(node.clone()));
                }
            }
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::subsequence};

    use super::*;

    fn ids(text: &str) -> BTreeSet<NodeId> {
        text.split_whitespace().map(|id| id.parse().unwrap()).collect()
    }

    fn id(text: &str) -> NodeId {
        text.parse().unwrap()
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// `active`, `linked`, `voters` and `learners` by name; every named node is a control node.
    fn sight(active: &str, linked: &str, voters: &str, learners: &str) -> Sight {
        let active = ids(active);
        let all: BTreeSet<_> =
            active.iter().chain(&ids(voters)).chain(&ids(learners)).cloned().collect();
        let known = |node: &NodeId| Known { active: active.contains(node), addresses: Vec::new() };
        Sight {
            controls: all.iter().map(|node| (node.clone(), known(node))).collect(),
            linked: ids(linked),
            voters: ids(voters),
            learners: ids(learners),
            level: None,
            spoken: BTreeMap::new(),
        }
    }

    fn core() -> Membership {
        Membership::new(secs(5))
    }

    #[test]
    fn a_cluster_grows_from_one_voter_to_three() {
        let mut core = core();
        let steps = core.look(secs(0), &sight("a b", "a b", "a", ""));
        assert_eq!(steps, [Step::AddLearner(id("b"), Vec::new())]);
        assert_eq!(core.look(secs(1), &sight("a b", "a b", "a", "b")), []);
        let steps = core.look(secs(2), &sight("a b c", "a b c", "a", "b c"));
        assert_eq!(steps, [Step::SetVoters(ids("a b c"))]);
        assert_eq!(core.look(secs(3), &sight("a b c", "a b c", "a b c", "")), []);
    }

    #[test]
    fn a_silent_control_node_loses_its_workers_after_the_grace() {
        let mut core = core();
        let silent = sight("a b c", "a b", "a b c", "");
        assert_eq!(core.look(secs(10), &silent), []);
        assert_eq!(core.look(secs(14), &silent), []);
        assert_eq!(core.look(secs(15), &silent), [Step::Deactivate(id("c"))]);
    }

    #[test]
    fn a_link_that_comes_back_in_time_starts_the_grace_anew() {
        let mut core = core();
        let silent = sight("a b c", "a b", "a b c", "");
        assert_eq!(core.look(secs(10), &silent), []);
        assert_eq!(core.look(secs(12), &sight("a b c", "a b c", "a b c", "")), []);
        assert_eq!(core.look(secs(16), &silent), []);
        assert_eq!(core.look(secs(21), &silent), [Step::Deactivate(id("c"))]);
    }

    #[test]
    fn a_leader_without_majority_deactivates_nobody() {
        let mut core = core();
        let alone = sight("a b c", "a", "a b c", "");
        for now in [0, 10, 100] {
            assert_eq!(core.look(secs(now), &alone), []);
        }
        // The time without a majority does not count.
        assert_eq!(core.look(secs(101), &sight("a b c", "a b", "a b c", "")), []);
    }

    #[test]
    fn a_dead_voter_is_replaced_by_a_learner() {
        let mut core = core();
        assert_eq!(core.look(secs(0), &sight("a b c d", "a b d", "a b c", "d")), []);
        let steps = core.look(secs(0), &sight("a b d", "a b d", "a b c", "d"));
        assert_eq!(steps, [Step::SetVoters(ids("a b d"))]);
    }

    #[test]
    fn who_leaves_gives_up_workers_then_vote_then_copy() {
        let mut core = core();
        core.left(&id("c"));
        let steps = core.look(secs(0), &sight("a b c", "a b c", "a b c", ""));
        assert_eq!(steps, [Step::Deactivate(id("c")), Step::SetVoters(ids("a"))]);
        assert_eq!(core.look(secs(1), &sight("a b", "a b c", "a", "b c")), []);
        let steps = core.look(secs(2), &sight("a b", "a b", "a", "b c"));
        assert_eq!(steps, [Step::Remove(id("c"))]);
        assert_eq!(core.look(secs(3), &sight("a b", "a b", "a", "b")), []);
    }

    #[test]
    fn who_comes_back_is_taken_again() {
        let mut core = core();
        core.left(&id("c"));
        core.enlisted(&id("c"));
        let steps = core.look(secs(0), &sight("a b c", "a b c", "a", "b"));
        assert_eq!(steps, [Step::AddLearner(id("c"), Vec::new())]);
    }

    #[test]
    fn a_removed_control_node_gets_no_more_entries() {
        let mut core = core();
        let mut sight = sight("a b", "a b", "a b c", "");
        sight.controls.remove(&id("c"));
        assert_eq!(core.look(secs(0), &sight), [Step::SetVoters(ids("a"))]);
        sight.voters = ids("a");
        sight.learners = ids("b c");
        assert_eq!(core.look(secs(1), &sight), [Step::Remove(id("c"))]);
    }

    /// The step that follows when control nodes speak these versions.
    fn raised(level: u16, spoken: &[(&str, u16)]) -> Vec<Step> {
        let mut sight = sight("a b", "a b c", "a b c", "");
        sight.controls.get_mut(&id("c")).expect("it votes").active = true;
        sight.level = Some(level);
        sight.spoken = spoken.iter().map(|(node, version)| (id(node), *version)).collect();
        core().look(secs(0), &sight)
    }

    #[test]
    fn the_level_is_raised_when_every_control_node_speaks_it() {
        assert_eq!(raised(1, &[("a", 2), ("b", 2), ("c", 2)]), [Step::RaiseLevel(2)]);
        assert_eq!(raised(2, &[("a", 2), ("b", 2), ("c", 2)]), []);
        assert_eq!(raised(1, &[("a", 3), ("b", 3), ("c", 2)]), [Step::RaiseLevel(2)]);
        assert_eq!(raised(1, &[("a", 2), ("b", 2), ("c", 1)]), [], "one is older");
        assert_eq!(raised(1, &[("a", 2), ("b", 2)]), [], "one is away");
        assert_eq!(raised(1, &[("a", 2), ("c", 2)]), [], "another one is away");
    }

    #[test]
    fn a_control_node_that_left_holds_the_level_until_it_is_removed() {
        let mut sight = sight("a b", "a b", "a", "b");
        sight.level = Some(1);
        sight.spoken = [(id("a"), 2), (id("b"), 2)].into();
        sight.controls.insert(id("c"), Known { active: false, addresses: Vec::new() });
        assert_eq!(core().look(secs(0), &sight), []);
        sight.controls.remove(&id("c"));
        assert_eq!(core().look(secs(0), &sight), [Step::RaiseLevel(2)]);
        sight.level = None;
        assert_eq!(core().look(secs(0), &sight), [], "before the cluster is founded");
    }

    fn some_of() -> impl Strategy<Value = BTreeSet<NodeId>> {
        subsequence(vec!["a", "b", "c", "d", "e"], 0..=5)
            .prop_map(|names| names.into_iter().map(id).collect())
    }

    proptest! {
        /// Whatever a leader sees, for however long.
        #[test]
        fn the_vote_is_never_lost_and_a_cut_off_leader_deactivates_nobody(
            active in some_of(),
            linked in some_of(),
            voters in some_of(),
            learners in some_of(),
            leaving in some_of(),
        ) {
            prop_assume!(!voters.is_empty());
            let names = |nodes: &BTreeSet<NodeId>| {
                nodes.iter().map(NodeId::as_str).collect::<Vec<_>>().join(" ")
            };
            let learners: BTreeSet<_> = learners.difference(&voters).cloned().collect();
            let sight =
                sight(&names(&active), &names(&linked), &names(&voters), &names(&learners));
            let mut core = core();
            for node in &leaving {
                core.left(node);
            }
            let reached = 2 * voters.intersection(&linked).count() > voters.len();
            for now in [0, 3, 6, 60] {
                for step in core.look(secs(now), &sight) {
                    match step {
                        Step::Deactivate(node) => {
                            prop_assert!(reached);
                            prop_assert!(leaving.contains(&node) || !linked.contains(&node));
                        }
                        Step::SetVoters(wanted) => {
                            prop_assert!(!wanted.is_empty());
                            for node in wanted.difference(&voters) {
                                prop_assert!(learners.contains(node) && linked.contains(node));
                            }
                        }
                        Step::AddLearner(node, _) => prop_assert!(linked.contains(&node)),
                        Step::Remove(node) => prop_assert!(learners.contains(&node)),
                        Step::RaiseLevel(_) => prop_assert!(false, "no version is known"),
                    }
                }
            }
        }
    }
}
