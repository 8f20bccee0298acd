//! Who owned a worker before the list of active control nodes changed.

use std::{
    collections::VecDeque,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use remuda_model::{Epoch, NodeId};
use remuda_state::{ClusterState, ownership};
use tokio::time::Instant;

/// How long after a change a worker may still be with its former owner.
const MOVING: Duration = Duration::from_mins(1);
/// How many former lists are remembered. Of more changes within [`MOVING`] the oldest are
/// forgotten.
const LISTS: usize = 8;

/// What this node remembers about ownership before the present.
#[derive(Debug, Default)]
pub struct History {
    lists: RwLock<Lists>,
}

#[derive(Debug, Default)]
struct Lists {
    epoch: Epoch,
    /// The list of the epoch; empty before the first.
    controls: Vec<NodeId>,
    former: VecDeque<Former>,
}

#[derive(Debug)]
struct Former {
    /// Empty when this node has seen none but the next list: it has just started or joined.
    controls: Vec<NodeId>,
    until: Instant,
}

impl History {
    /// The owners from which a worker may not have moved yet, the latest first; `None` when it has
    /// not moved of late. There may be owners of which this node has not heard.
    pub fn moved_from(&self, worker: &NodeId, state: &ClusterState) -> Option<Vec<NodeId>> {
        let owner = state.owner_of(worker);
        let lists = self.lists.read().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let latest = (lists.epoch != state.epoch()).then_some(&lists.controls);
        let former = lists.former.iter().rev().filter(|former| now < former.until);
        let mut moves = false;
        let mut owners = Vec::new();
        for controls in latest.into_iter().chain(former.map(|former| &former.controls)) {
            let before = ownership::owner_of(worker, controls);
            if before != owner {
                moves = true;
                owners.extend(before.filter(|before| !owners.contains(before)));
            }
        }
        moves.then_some(owners)
    }

    /// Remembers the list that was present until now.
    pub fn changed(&self, state: &ClusterState) {
        let mut lists = self.lists.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut lists.controls, state.controls());
        lists.epoch = state.epoch();
        // The only control node there is took its workers from nobody.
        if before.is_empty() && lists.controls.len() < 2 {
            return;
        }
        if lists.former.len() == LISTS {
            lists.former.pop_front();
        }
        lists.former.push_back(Former { controls: before, until: Instant::now() + MOVING });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use remuda_model::{Generation, Labels, Revision, Role, Roles};
    use remuda_state::{Change, Command, NodeRecord};
    use tokio::time::advance;

    use super::*;

    fn id(name: &str) -> NodeId {
        name.parse().expect("a name")
    }

    fn active(state: &mut ClusterState, name: &str, active: bool) {
        let node = NodeRecord {
            id: id(name),
            roles: Roles::from(vec![Role::Control]),
            generation: Generation(1),
            version: String::new(),
            addresses: Vec::new(),
            labels: Labels::default(),
            attributes: BTreeMap::new(),
            active,
            created: Revision(0),
            modified: Revision(0),
        };
        for change in [Change::PutNode(node), Change::SetActive { node: id(name), active }] {
            let applied = state.apply(state.applied() + 1, &Command { id: None, change });
            assert!(applied.outcome.is_ok(), "{applied:?}");
        }
    }

    /// A worker that belongs to the last of these as soon as that one is active.
    fn worker_of(controls: &[&str]) -> NodeId {
        let controls: Vec<_> = controls.iter().map(|name| id(name)).collect();
        let mut workers = (0..1000).map(|n| id(&format!("w{n}")));
        let last =
            |worker: &NodeId| ownership::owner_of(worker, &controls).as_ref() == controls.last();
        workers.find(last).expect("one of a thousand")
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_may_be_with_every_owner_of_the_last_minute() {
        let worker = worker_of(&["c1", "c2"]);
        let (history, mut state) = (History::default(), ClusterState::new());
        active(&mut state, "c1", true);
        history.changed(&state);
        assert_eq!(history.moved_from(&worker, &state), None, "there was nobody before");
        active(&mut state, "c2", true);
        let former = Some(vec![id("c1")]);
        assert_eq!(history.moved_from(&worker, &state), former, "before this node looks at it");
        history.changed(&state);
        assert_eq!(history.moved_from(&worker, &state), former);
        advance(MOVING / 2).await;
        active(&mut state, "c2", false);
        history.changed(&state);
        assert_eq!(history.moved_from(&worker, &state), Some(vec![id("c2")]));
        active(&mut state, "c2", true);
        history.changed(&state);
        assert_eq!(history.moved_from(&worker, &state), former, "although it came back");
        advance(MOVING).await;
        assert_eq!(history.moved_from(&worker, &state), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_has_just_joined_knows_that_any_worker_may_be_elsewhere() {
        let worker = worker_of(&["c1", "c2"]);
        let (history, mut state) = (History::default(), ClusterState::new());
        active(&mut state, "c1", true);
        active(&mut state, "c2", true);
        for _look in 0..2 {
            assert_eq!(history.moved_from(&worker, &state), Some(Vec::new()));
            history.changed(&state);
        }
        advance(MOVING).await;
        assert_eq!(history.moved_from(&worker, &state), None);
    }
}
