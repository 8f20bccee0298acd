//! The slots of the worker, as its runs hold them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use remuda_model::run::Priority;
use tokio::sync::Notify;

use super::shares::{Key, Shares};

/// The most runs that are open at a time.
const MAX_RUNS: usize = 1024;

/// The slots of the worker. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    held: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    shares: Shares,
    /// Runs that were refused a slot and not woken since.
    refused: BTreeMap<Key, Arc<Notify>>,
}

/// The membership of an open run; ends when it is dropped.
#[derive(Debug)]
pub(super) struct Member {
    pool: Pool,
    key: Key,
    wake: Arc<Notify>,
}

/// A slot in use; comes back when it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    pool: Pool,
    key: Key,
}

impl Pool {
    pub(super) fn new(slots: u32) -> Self {
        let state = State { shares: Shares::new(slots), refused: BTreeMap::new() };
        Self { held: Arc::new(Mutex::new(state)) }
    }

    /// Takes a run in; `None` when too many are open.
    pub(super) fn join(&self, priority: Priority) -> Option<Member> {
        let mut state = self.state();
        if state.shares.len() >= MAX_RUNS {
            return None;
        }
        let key = state.shares.join(priority);
        drop(state);
        Some(Member { pool: self.clone(), key, wake: Arc::default() })
    }

    /// How many runs are open, and how many slots they use.
    pub(super) fn load(&self) -> (usize, u32) {
        let state = self.state();
        (state.shares.len(), state.shares.in_use())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; if it did, the numbers would still be whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Those that were refused try again.
    fn wake(&mut self) {
        while let Some((_, wake)) = self.refused.pop_first() {
            wake.notify_one();
        }
    }
}

impl Member {
    /// Says how many slots the run could use now, those that it uses included.
    pub(super) fn need(&self, needs: u32) {
        let mut state = self.pool.state();
        if state.shares.need(self.key, needs) {
            state.wake();
        }
    }

    /// Its part of the slots.
    pub(super) fn part(&self) -> u32 {
        self.pool.state().shares.part(self.key)
    }

    /// A slot, if the run may have one now; otherwise [`freed`](Self::freed) tells when to try again.
    pub(super) fn take(&self) -> Option<Slot> {
        let mut state = self.pool.state();
        if state.shares.take(self.key) {
            return Some(Slot { pool: self.pool.clone(), key: self.key });
        }
        state.refused.insert(self.key, Arc::clone(&self.wake));
        None
    }

    /// Waits until there may be a slot after one was refused.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again; nothing is missed.
    pub(super) async fn freed(&self) {
        self.wake.notified().await;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        state.refused.remove(&self.key);
        if state.shares.leave(self.key) {
            state.wake();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        state.shares.give_back(self.key);
        state.wake();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn who_was_refused_is_woken_when_a_slot_comes_back() {
        let pool = Pool::new(1);
        let first = pool.join(Priority::Normal).expect("room");
        first.need(2);
        let slot = first.take().expect("the only slot");
        assert!(first.take().is_none());
        assert!(first.freed().now_or_never().is_none());
        drop(slot);
        assert!(first.freed().now_or_never().is_some());
        assert!(first.take().is_some());
    }

    #[test]
    fn who_was_refused_is_woken_when_another_run_leaves() {
        let pool = Pool::new(1);
        let first = pool.join(Priority::Normal).expect("room");
        first.need(1);
        let second = pool.join(Priority::Normal).expect("room");
        second.need(1);
        assert!(second.take().is_none(), "there are fewer slots than runs");
        drop(first);
        assert!(second.freed().now_or_never().is_some());
        assert!(second.take().is_some());
    }

    #[test]
    fn there_are_never_too_many_runs() {
        let pool = Pool::new(1);
        let members: Vec<_> = (0..MAX_RUNS).map_while(|_| pool.join(Priority::Low)).collect();
        assert_eq!(members.len(), MAX_RUNS);
        assert!(pool.join(Priority::High).is_none());
        drop(members);
        assert!(pool.join(Priority::High).is_some());
    }
}
