//! Which outputs have grown since the agent was last told.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use remuda_model::TaskId;
use tokio::sync::Notify;

/// Collects growth, so that an agent that is slow to listen learns the latest length of each output
/// and delays nobody. Holds at most one entry for each running task.
#[derive(Clone, Debug, Default)]
pub(super) struct Growth(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    lengths: Mutex<BTreeMap<TaskId, u64>>,
    grown: Notify,
}

impl Growth {
    /// Notes the length of an output.
    pub(super) fn note(&self, task: &TaskId, len: u64) {
        self.lengths().insert(task.clone(), len);
        self.0.grown.notify_one();
    }

    /// Forgets a task that has ended.
    pub(super) fn forget(&self, task: &TaskId) {
        self.lengths().remove(task);
    }

    /// Waits for growth, and takes all there is.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub(super) async fn take(&self) -> BTreeMap<TaskId, u64> {
        loop {
            self.0.grown.notified().await;
            let lengths = mem::take(&mut *self.lengths());
            if !lengths.is_empty() {
                return lengths;
            }
        }
    }

    fn lengths(&self) -> std::sync::MutexGuard<'_, BTreeMap<TaskId, u64>> {
        self.0.lengths.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
